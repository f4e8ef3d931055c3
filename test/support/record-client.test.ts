/** The record client must find what it exists to find: planted losses and duplicates, real crashes. */
import tap from 'tap'
import { startPostgres } from './postgres.ts'
import { startWriters } from './record-client.ts'
import { startRelay } from './relay.ts'
import { until } from './until.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
tap.teardown(() => server.stop())

for (const mode of ['autocommit', 'transaction', 'prepared'] as const) {
  await tap.test(`nothing is found when nothing happens: ${mode}`, async (t) => {
    const writers = await startWriters({ url: server.url(), table: mode, writers: 3, mode })
    await writers.untilAcknowledged(60)
    const report = await writers.stop()
    t.ok(report.acknowledged >= 60)
    t.equal(report.attempted, report.acknowledged)
    t.same(report.errors, [])
    t.same(report.lost, [])
    t.same(report.duplicated, [])
    t.same(report.unexpected, [])
  })
}

await tap.test('planted losses, duplicates and strangers are found', async (t) => {
  const writers = await startWriters({ url: server.url(), table: 'planted', writers: 2 })
  const written =
    'SELECT FROM planted WHERE (writer = 0 AND number = 1) OR (writer = 1 AND number = 2)'
  await until(async () => (await server.query(written)).length === 2, 'both have written')
  await server.query(
    `DELETE FROM planted WHERE writer = 0 AND number = 1;
     INSERT INTO planted (writer, number) VALUES (1, 2), (7, 7)`,
  )
  const report = await writers.stop()
  t.same(report.lost, ['0/1'])
  t.same(report.duplicated, ['1/2'])
  t.same(report.unexpected, ['7/7'])
})

await tap.test('cut connections and a crash lose nothing that was acknowledged', async (t) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  t.teardown(() => relay.close())
  const url = server.url().replace(String(server.port), String(relay.port))
  const writers = await startWriters({ url, table: 'crash', writers: 4 })
  for (let round = 0; round < 3; round += 1) {
    await writers.untilAcknowledged(40)
    relay.cut()
  }
  await writers.untilAcknowledged(40)
  await server.kill9()
  await server.restart()
  await writers.untilAcknowledged(40)
  const report = await writers.stop({ checkUrl: server.url() })
  t.ok(report.errors.length > 0, 'the application saw the cuts')
  t.ok(report.acknowledged >= 200)
  t.same(report.lost, [])
  t.same(report.duplicated, [])
  t.same(report.unexpected, [])
})

await tap.test('a record whose answer is lost is in doubt, not lost', async (t) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  t.teardown(() => relay.close())
  const url = server.url().replace(String(server.port), String(relay.port))
  const writers = await startWriters({ url, table: 'doubt', writers: 1 })
  await writers.untilAcknowledged(5)
  relay.stall('down')
  const before = Number((await server.query('SELECT count(*) FROM doubt'))[0]?.['count'])
  let now = before
  await until(async () => {
    now = Number((await server.query('SELECT count(*) FROM doubt'))[0]?.['count'])
    return now > writers.acknowledged
  }, 'the insert under way arrives although its answer does not')
  relay.cut()
  relay.heal()
  await writers.untilAcknowledged(1)
  const report = await writers.stop()
  t.equal(report.storedUnacknowledged, 1)
  t.same(report.lost, [])
  t.same(report.duplicated, [])
})

await tap.test('the longest gap is the pause that the application felt', async (t) => {
  const beganMs = performance.now()
  const writers = await startWriters({ url: server.url(), table: 'gap', writers: 2 })
  await writers.untilAcknowledged(10)
  server.pause()
  // What was answered before that is read meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 50))
  const startMs = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 300))
  server.resume()
  const pausedMs = performance.now() - startMs
  await writers.untilAcknowledged(10)
  const wholeMs = performance.now() - beganMs
  const report = await writers.stop()
  t.same(report.errors, [])
  t.ok(report.longestGapMs >= pausedMs, `${report.longestGapMs} of ${pausedMs} ms`)
  t.ok(report.longestGapMs < wholeMs, `${report.longestGapMs} of ${wholeMs} ms`)
})
