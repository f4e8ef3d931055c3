/**
 * A forced switch away from a side that is lost with no switch under way, and what becomes of that
 * side when it comes back. Neighbours: forced-in-place.test.ts; kills of the sidecar and servers older
 * than 16 are in forced.soak.ts.
 */
import { Client } from 'pg'
import tap, { type Test } from 'tap'
import { pontoon } from '../../../cli/capture.ts'
import { controlQuery } from '../../../support/control-query.ts'
import { forced, lossOf, startForcedSwitches, stateOf } from '../../../support/forced-switches.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import type { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a primary that dies for good with no switch under way', async (t) => {
  const { pair, logged } = await startForcedSwitches(t)
  t.match(await forced(pair, 'cutover'), {
    state: 'refused',
    report: { reason: /the source answers \(PostgreSQL 17.*lets us in/ },
  })
  t.match(await forced(pair, 'rollback'), { state: 'refused', report: { reason: /source takes/ } })
  const idle = await pontoon(['cutover', 'orders', '--primary-lost', '--deadline', '2s'], {})
  t.match(idle, { exit: 2, err: /--deadline: has no meaning/ }, 'not what would do nothing')
  const writers = await startWriters({ url: pair.url(), writers: 4, createTable: false })
  await writers.untilAcknowledged(200)
  const acknowledgedAt: [number, number][] = []
  const noting = setInterval(() => acknowledgedAt.push([Date.now(), writers.acknowledged]), 5)
  const beganMs = Date.now() + 50
  const beat =
    'SELECT (extract(epoch FROM max(at)) * 1000)::float AS ms FROM pontoon.heartbeat_forward'
  await until(
    async () => Number((await pair.target.query(beat, 'shop'))[0]?.['ms']) > beganMs,
    'a heartbeat of after that has arrived',
    15_000,
  )
  await pair.source.kill9()
  clearInterval(noting)
  const asked = await pontoon(['cutover', 'orders', '--primary-lost', '--admin', pair.adminUrl], {})
  t.equal(asked.exit, 3, 'not without --yes')
  t.match(asked.out, /would go through[^]*acknowledged writes after 20.*Z may be missing/)
  t.match(asked.out, /others may be writing there[^]*no way back/, 'and what else it means')
  t.equal(stateOf(pair).routes.get('orders')?.primary, 'source')
  const done = await forced(pair, 'cutover')
  t.equal(done.state, 'done', done.report?.reason ?? '')
  await writers.untilAcknowledged(50)
  const lastBeatMs = Date.parse(/after (\S+) may/.exec(lossOf(done))?.[1] ?? '')
  const report = await writers.stop({ checkUrl: pair.target.url('shop') })
  const before = acknowledgedAt.findLast(([atMs]) => atMs < lastBeatMs)?.[1] ?? 0
  t.ok(before > 0, 'something was acknowledged before the last heartbeat')
  t.ok(report.acknowledged - report.lost.length >= before, 'and all of that is there')
  t.match(report, { duplicated: [], unexpected: [] })
  t.same(await pair.target.query('SELECT subname FROM pg_subscription'), [])
  t.same(await pair.target.query('SELECT slot_name FROM pg_replication_slots'), [])
  t.equal(stateOf(pair).switches.size, 0)
  await comesBack(t, pair, logged)
})

/** The source of the test above. */
async function comesBack(t: Test, pair: SwitchPair, logged: readonly string[]): Promise<void> {
  const count = async (): Promise<unknown> =>
    (await controlQuery(pair.source, 'SELECT count(*)::int AS n FROM records'))[0]?.['n']
  await pair.source.restart()
  const rows = await count()
  const client = new Client(pair.url())
  client.on('error', () => undefined)
  await client.connect()
  for (let number = 0; number < 20; number += 1)
    await client.query('INSERT INTO records (writer, number) VALUES (99, $1)', [number])
  await until(
    async () =>
      (await controlQuery(pair.source, 'SELECT parted FROM pontoon.mark'))[0]?.['parted'] ===
      'source',
    'the source is told',
    15_000,
  )
  t.match(await controlQuery(pair.source, 'SELECT epoch::int, primary_side FROM pontoon.mark'), [
    { epoch: 2, primary_side: 'target' },
  ])
  const application = new Client(pair.source.url('shop', 'app', 'app'))
  application.on('error', () => undefined)
  await t.rejects(application.connect(), /permission denied for database/)
  await client.query('INSERT INTO records (writer, number) VALUES (99, 20)')
  await client.end()
  t.equal(await count(), rows, 'nothing came from clients, nor by sync')
  t.same(await controlQuery(pair.source, 'SELECT slot_name FROM pg_replication_slots'), [])
  t.match(
    logged.filter((line) => line.includes('is back and was fenced')),
    [/nothing copies to a source/],
  )
  await until(
    async () =>
      (await pontoon(['status', 'orders', '--admin', pair.adminUrl], {})).out.includes(
        'the sides have parted ways',
      ),
    'status says so',
    15_000,
  )
  t.match(await runSwitch(pair.adminUrl, 'rollback'), {
    state: 'refused',
    report: {
      reason: /no sync from target to source\. a forced switch has left the source.*no way back/,
    },
  })
  await refusesCopy(t, pair)
}

/** As after `pontoon copy`, whose own rows the next one empties without asking. */
async function refusesCopy(t: Test, pair: SwitchPair): Promise<void> {
  const count = (): Promise<unknown> =>
    pair.target.query('SELECT count(*)::int AS n FROM records', 'shop')
  const rows = await count()
  for (const how of ['--dry-run', '--restart', '--jobs=2']) {
    const refused = await pontoon(['copy', 'orders', how, '--config', pair.configFile], {})
    t.match(refused.err, /target takes the writes since epoch 2.*Nothing copies back/, how)
    t.equal(refused.exit, 3)
  }
  t.same(await count(), rows)
}
