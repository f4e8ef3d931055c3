/**
 * Where a side is older than 16, each switch makes a sync with the epoch in its name. Whatever takes
 * its place leaves no slot of it behind, which would keep WAL for ever, and no subscription, which
 * would apply everything twice; and touches nothing that is not surely its own.
 */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { startWriters } from '../../../support/record-client.ts'

tap.setTimeout(280_000)

function slot(name: string): string {
  return `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`
}

await tap.test('a sync with an epoch in its name', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 15, target: 15 })
  const { pair } = operated
  const { target } = pair
  const move = async (t: typeof whole, kind: 'cutover' | 'rollback'): Promise<void> => {
    const done = await runSwitch(pair.adminUrl, kind)
    t.equal(done.state, 'done', `${kind}: ${done.report?.reason ?? ''}`)
  }
  const equal = async (t: typeof whole): Promise<void> => {
    const verify = await operated.run('verify')
    t.equal(verify.exit, 0, verify.out + verify.err)
  }

  await whole.test('that is lost but for its slot', async (t) => {
    await move(t, 'cutover')
    t.same(await operated.slotsOf('target'), ['pontoon_orders_reverse_2'])
    await operated.loseSubscription('source', 'pontoon_orders_reverse_2')
    // Of other services, of people, and of a subscription that is only switched off.
    const others = [
      'pontoon_orders_reverse_1234567890',
      'pontoon_orders_reverse_2_old',
      'pontoon_orders_reverse_9',
      'pontoon_orders_reverse_reverse',
      'pontoon_orders_reverse_reverse_2',
      'pontoon_shop_reverse_2',
    ]
    for (const name of others) await operated.onSide('target', slot(name))
    // Of another database of the cluster.
    await target.query(slot('pontoon_orders_reverse_3'))
    await operated.onSide(
      'source',
      `CREATE SUBSCRIPTION by_hand CONNECTION '${target.url('shop')}' PUBLICATION none
       WITH (connect = false, slot_name = pontoon_orders_reverse_9)`,
    )
    const left = [...others, 'pontoon_orders_reverse', 'pontoon_orders_reverse_3']

    t.match(
      (await operated.run('sync', '--print-sql')).out,
      /drop_replication_slot\('pontoon_orders_reverse_2'\)/,
    )
    t.notMatch(
      (await operated.run('sync', '--print-sql')).out,
      /drop_replication_slot.*(_9|_3|old)/,
    )
    const sync = await operated.run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.same(await operated.slotsOf('target'), left.toSorted())

    await operated.loseSubscription('source', 'by_hand')
    for (const name of [...others, 'pontoon_orders_reverse_3'])
      await target.query(`SELECT pg_drop_replication_slot('${name}')`)
    const verify = await operated.run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    await move(t, 'rollback')
    t.same(await operated.slotsOf('target'), [])
    await equal(t)
  })

  await whole.test('that a new copy takes the place of', async (t) => {
    t.same(await operated.subscriptionsOf('target'), ['pontoon_orders_forward_3'])
    const writers = await startWriters({ url: pair.url(), writers: 2, createTable: false })
    await writers.untilAcknowledged(20)
    t.match(await operated.copy(), {
      stderr: /has the subscription pontoon_orders_forward_3 already/,
    })
    const copied = await operated.copy('--restart')
    t.match(copied.stdout, /the subscription pontoon_orders_forward follows/i, copied.stderr)
    await writers.untilAcknowledged(20)
    t.match(await writers.stop(), { lost: [], duplicated: [], errors: [] })
    t.same(await operated.subscriptionsOf('target'), ['pontoon_orders_forward'])
    t.same(await operated.slotsOf('source'), ['pontoon_orders_forward'])
    await equal(t)
  })

  await whole.test('that is taken away', async (t) => {
    await move(t, 'cutover')
    await move(t, 'rollback')
    t.same(await operated.slotsOf('source'), ['pontoon_orders_forward_5'])
    t.match((await operated.copy()).stdout, /the subscription pontoon_orders_forward_5 follows/)
    await operated.loseSubscription('target', 'pontoon_orders_forward_5')
    const dropped = await operated.run('sync', '--drop', '--yes')
    t.equal(dropped.exit, 0, dropped.out + dropped.err)
    t.same(await operated.slotsOf('source'), [])
  })
})
