/** The way back is given up after a cutover, with a source that is there and with one that is gone. */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'

tap.setTimeout(280_000)

const rows = 'SELECT id, balance FROM accounts ORDER BY id'

await tap.test('a source that is there, 18 and 18', async (t) => {
  const operated = await OperatedPair.start(t, { source: 18, target: 18 })
  const { source, target } = operated.pair
  const metrics = async (): Promise<string> =>
    (await fetch(`${operated.pair.adminUrl}/metrics`)).text()
  const early = await operated.run('sync', '--drop', '--no-rollback', '--yes')
  t.match(early, { exit: 3, out: /source takes the writes, so there is no way back yet/ })
  t.match(await operated.run('sync', '--no-rollback'), { exit: 2, err: /belongs to --drop/ })
  t.match(await operated.patiently('cutover'), { exit: 0 })
  await operated.told(/rollback ready +yes/)

  const refused = await operated.run('sync', '--drop', '--yes')
  t.match(refused, { exit: 3, out: /pontoon sync orders --drop --no-rollback/ })
  const asked = await operated.run('sync', '--drop', '--no-rollback')
  t.match(asked, { exit: 3, out: /would drop the slot pontoon_orders_reverse on the target/ })
  t.match(asked.out, /no rollback any more; add --yes/)
  const printed = await operated.run('sync', '--drop', '--no-rollback', '--print-sql')
  t.match(printed.out, /DROP SUBSCRIPTION "pontoon_orders_reverse";/)
  t.same(await operated.slotsOf('target'), ['pontoon_orders_reverse'], 'nothing was done so far')

  const done = await operated.run('sync', '--drop', '--no-rollback', '--yes')
  t.equal(done.exit, 0, done.out + done.err)
  for (const side of ['source', 'target'] as const) {
    t.same(await operated.slotsOf(side), [], `no slot on the ${side}`)
    t.same(await operated.subscriptionsOf(side), [], `no subscription on the ${side}`)
  }
  const status = await operated.told(/rollback ready +no way back: it was given up at 20/)
  t.match(status, /missed +NO +the way back was given up.*pontoon sync SERVICE makes the way back/)
  t.notMatch(await metrics(), /pontoon_rollback_ready\{|pontoon_sync_up\{/, 'no alert is for ever')
  await operated.application('UPDATE accounts SET balance = 7 WHERE id < 9')
  const rollback = await operated.ask('rollback')
  t.match(rollback, { exit: 3, out: /REFUSED missed: the way back was given up at 20/ })
  t.match(rollback.out, /pontoon sync orders makes the way back anew/)
  const again = await operated.run('sync', '--drop', '--no-rollback', '--yes')
  t.match(again, { exit: 0, out: /nothing to take away/ })

  const anew = await operated.run('sync')
  t.equal(anew.exit, 0, anew.out + anew.err)
  t.match(await operated.ask('rollback'), { exit: 3, out: /verify orders --repair/ })
  t.match(await operated.run('verify', '--repair'), { exit: 0 })
  await operated.told(/rollback ready +yes/)
  t.match(await metrics(), 'pontoon_rollback_ready{service="orders"} 1')
  t.match(await operated.patiently('rollback'), { exit: 0 })
  t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))
  t.match(await operated.patiently('cutover'), { exit: 0 }, 'and all goes on as before')
})

await tap.test('a source that is gone, 15 and 15', async (t) => {
  const operated = await OperatedPair.start(t, { source: 15, target: 15 })
  const { source } = operated.pair
  t.match(await operated.patiently('cutover'), { exit: 0 })
  await operated.told(/rollback ready +yes/)
  // As an earlier version has made it.
  await operated.onSide('target', 'ALTER TABLE pontoon.missed DROP COLUMN given_up')
  await source.shutdown()
  const done = await operated.run('sync', '--drop', '--no-rollback', '--yes')
  t.match(done, { exit: 0, err: /source cannot be reached and is left as it is/ })
  t.same(await operated.slotsOf('target'), [])
  await operated.told(/rollback ready +no way back: it was given up at 20/)
  t.match(await operated.application('SELECT 1 AS one'), [{ one: 1 }])
  const dead = await operated.ask('rollback')
  t.equal(dead.exit, 3)
  t.match(dead.out, /source cannot be reached.*cannot connect to the source \(127/)
  t.match(dead.out, /given up at 20.* by pontoon sync orders --drop --no-rollback: nothing written/)
  t.match(dead.out, /Once the source is there, pontoon sync orders makes the way back anew/)
  t.match(dead.out, /gone for good, nothing has to be done/)

  // It was not gone after all.
  await source.restart()
  t.match(await operated.ask('rollback'), { exit: 3, out: /the way back was given up at 20/ })
  t.match(await operated.run('sync', '--drop', '--no-rollback', '--yes'), {
    exit: 0,
    err: /drop the subscription pontoon_orders_reverse_2 on the source/,
  })
  t.same(await operated.subscriptionsOf('source'), [], 'what was left of it goes as well')
  const anew = await operated.run('sync')
  t.equal(anew.exit, 0, anew.out + anew.err)
  t.match(await operated.run('verify', '--repair'), { exit: 0 })
  await operated.told(/rollback ready +yes/)
  t.match(await operated.patiently('rollback'), { exit: 0 })
})
