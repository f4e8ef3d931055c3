/**
 * Where a side is older than 16, each switch makes a sync with the epoch in its name. Whatever takes
 * its place leaves no slot of it behind, which would keep WAL for ever, and no subscription, which
 * would apply everything twice; and touches nothing that is not surely its own.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import tap from 'tap'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import type { Side } from '../../../../src/shared/side.ts'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { programArgs } from '../../../support/program.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { startWriters } from '../../../support/record-client.ts'

tap.setTimeout(280_000)

function slot(name: string): string {
  return `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`
}

await tap.test('a sync with an epoch in its name', async (whole) => {
  const pair = await SwitchPair.start({ source: 15, target: 15 })
  whole.teardown(() => pair.stop())
  const { config, configFile, source, target } = pair
  for (const server of [source, target]) await server.query('GRANT pg_read_all_data TO reader')
  const log = createLog('error', { write: (line) => process.stderr.write(line) })
  const runtime = await startRuntime({ config, configFiles: [configFile], log, clock: systemClock })
  whole.teardown(() => runtime.stop('test', 0))
  const run = (name: string, ...args: string[]): Promise<Captured> =>
    pontoon([name, 'orders', '--config', configFile, ...args])
  const slotsOf = async (side: Side): Promise<unknown[]> => {
    const rows = await pair[side].query('SELECT slot_name FROM pg_replication_slots ORDER BY 1')
    return rows.map(({ slot_name: name }) => name)
  }
  const subscriptionsOf = async (side: Side): Promise<unknown[]> => {
    const rows = await pair[side].query('SELECT subname FROM pg_subscription ORDER BY 1')
    return rows.map(({ subname }) => subname)
  }
  /** By an administrator, behind a fence too. */
  const onSide = (side: Side, sql: string): Promise<unknown> =>
    pair[side].query(`SET default_transaction_read_only = off; COMMIT; ${sql}`, 'shop')
  /** As somebody might who does not know that the slot stays. */
  const loseSubscription = (side: Side, name: string): Promise<unknown> => {
    const alter = `ALTER SUBSCRIPTION ${name}`
    return onSide(
      side,
      `${alter} DISABLE; ${alter} SET (slot_name = NONE); DROP SUBSCRIPTION ${name}`,
    )
  }
  const copy = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
    const line = [...programArgs('src/main.ts'), 'copy', 'orders', '--config', configFile, ...args]
    // One that fails has its words as well.
    return await promisify(execFile)(process.execPath, line, { timeout: 60_000 }).catch(
      (error: { stdout: string; stderr: string }) => error,
    )
  }
  const move = async (t: typeof whole, kind: 'cutover' | 'rollback'): Promise<void> => {
    const done = await runSwitch(pair.adminUrl, kind)
    t.equal(done.state, 'done', `${kind}: ${done.report?.reason ?? ''}`)
  }
  const equal = async (t: typeof whole): Promise<void> => {
    const verify = await run('verify')
    t.equal(verify.exit, 0, verify.out + verify.err)
  }

  await whole.test('that is lost but for its slot', async (t) => {
    await move(t, 'cutover')
    t.same(await slotsOf('target'), ['pontoon_orders_reverse_2'])
    await loseSubscription('source', 'pontoon_orders_reverse_2')
    // Of other services, of people, and of a subscription that is only switched off.
    const others = [
      'pontoon_orders_reverse_1234567890',
      'pontoon_orders_reverse_2_old',
      'pontoon_orders_reverse_9',
      'pontoon_orders_reverse_reverse',
      'pontoon_orders_reverse_reverse_2',
      'pontoon_shop_reverse_2',
    ]
    for (const name of others) await onSide('target', slot(name))
    // Of another database of the cluster.
    await target.query(slot('pontoon_orders_reverse_3'))
    await onSide(
      'source',
      `CREATE SUBSCRIPTION by_hand CONNECTION '${target.url('shop')}' PUBLICATION none
       WITH (connect = false, slot_name = pontoon_orders_reverse_9)`,
    )
    const left = [...others, 'pontoon_orders_reverse', 'pontoon_orders_reverse_3']

    t.match(
      (await run('sync', '--print-sql')).out,
      /drop_replication_slot\('pontoon_orders_reverse_2'\)/,
    )
    t.notMatch((await run('sync', '--print-sql')).out, /drop_replication_slot.*(_9|_3|old)/)
    const sync = await run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.same(await slotsOf('target'), left.toSorted())

    await loseSubscription('source', 'by_hand')
    for (const name of [...others, 'pontoon_orders_reverse_3'])
      await target.query(`SELECT pg_drop_replication_slot('${name}')`)
    const verify = await run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    await move(t, 'rollback')
    t.same(await slotsOf('target'), [])
    await equal(t)
  })

  await whole.test('that a new copy takes the place of', async (t) => {
    t.same(await subscriptionsOf('target'), ['pontoon_orders_forward_3'])
    const writers = await startWriters({ url: pair.url(), writers: 2, createTable: false })
    await writers.untilAcknowledged(20)
    t.match(await copy(), { stderr: /has the subscription pontoon_orders_forward_3 already/ })
    const copied = await copy('--restart')
    t.match(copied.stdout, /the subscription pontoon_orders_forward follows/i, copied.stderr)
    await writers.untilAcknowledged(20)
    t.match(await writers.stop(), { lost: [], duplicated: [], errors: [] })
    t.same(await subscriptionsOf('target'), ['pontoon_orders_forward'])
    t.same(await slotsOf('source'), ['pontoon_orders_forward'])
    await equal(t)
  })

  await whole.test('that is taken away', async (t) => {
    await move(t, 'cutover')
    await move(t, 'rollback')
    t.same(await slotsOf('source'), ['pontoon_orders_forward_5'])
    t.match((await copy()).stdout, /the subscription pontoon_orders_forward_5 follows/)
    await loseSubscription('target', 'pontoon_orders_forward_5')
    const dropped = await run('sync', '--drop', '--yes')
    t.equal(dropped.exit, 0, dropped.out + dropped.err)
    t.same(await slotsOf('source'), [])
  })
})
