/** The sidecar as a process: signals, crashes, what survives them (starts: sidecar-start.test.ts). */
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { startPostgres } from '../support/postgres.ts'
import { connect, Sidecar } from './sidecar.ts'

t.setTimeout(280_000)
const source = await startPostgres({ major: 15 })
const target = await startPostgres({ major: 17 })
t.teardown(() => Promise.all([source.stop(), target.stop()]))

void t.test('kill -9 and a restart keep the last route and leave no gate closed', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  await sidecar.cli('shift orders --reads 40')
  await sidecar.cli('pause orders --for 60s')
  test.equal(await sidecar.metric('pontoon_gate_paused{service="orders"}'), 1)
  test.equal(await sidecar.kill('SIGKILL'), 'SIGKILL')
  await sidecar.start()
  const { json } = await sidecar.request('/v1/services/orders')
  test.match(json, { route: { epoch: 2, reads: 40 }, gate: { state: 'open' } })
  const client = await connect(sidecar.url())
  test.match((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }])
  await client.end()
  const { json: audit } = await sidecar.request('/v1/audit')
  test.match(audit, { entries: [{ action: 'route.change' }, { action: 'gate.pause' }] })
})

void t.test(
  'SIGTERM lets a running transaction end, takes nobody new and exits with 0',
  async (test) => {
    const sidecar = await Sidecar.start(test, { source, target })
    const running = await connect(sidecar.url())
    const idle = await connect(sidecar.url())
    await running.query('CREATE TABLE drained (id int)')
    await running.query('BEGIN')
    await running.query('INSERT INTO drained VALUES (1)')
    sidecar.signal('SIGTERM')
    await sidecar.until('not ready', async () => {
      const answer = await sidecar.request('/health/ready')
      return answer.status === 503
    })
    test.equal((await sidecar.request('/health/live')).status, 200, 'it still lives')
    await test.rejects(connect(sidecar.url()), 'nobody new')
    await test.rejects(idle.query('SELECT 1'), 'an idle client is told to go')
    await running.query('INSERT INTO drained VALUES (2)')
    const { command } = await running.query('COMMIT')
    test.equal(command, 'COMMIT')
    test.equal(await sidecar.exited, 0)
    const direct = await connect(source.url())
    test.match((await direct.query('SELECT count(*)::int AS n FROM drained')).rows, [{ n: 2 }])
    await direct.end()
    await running.end().catch(() => undefined)
  },
)

void t.test('SIGTERM during a pause tells parked clients to go', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const parked = await connect(sidecar.url())
  await sidecar.cli('pause orders --for 60s')
  const answer = parked.query('SELECT 1').catch((error: unknown) => error)
  await sidecar.until('parked', async () => {
    const { json } = await sidecar.request('/v1/services/orders')
    return Object(json['gate']).parked === 1
  })
  const startMs = performance.now()
  test.equal(await sidecar.kill('SIGTERM'), 0)
  test.ok(performance.now() - startMs < 25_000, 'long before the pause ends')
  test.match(await answer, { code: '57P01' })
})

void t.test('a second signal ends at once', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const running = await connect(sidecar.url())
  await running.query('BEGIN')
  sidecar.signal('SIGTERM')
  await sidecar.until('draining', () => sidecar.log.includes('draining'))
  const startMs = performance.now()
  sidecar.signal('SIGINT')
  test.equal(await sidecar.exited, 1)
  test.ok(performance.now() - startMs < 20_000, 'long before the drain is cut')
})

void t.test('a drain that takes too long is cut', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target, extra: 'drainTimeoutMs: 200' })
  const running = await connect(sidecar.url())
  await running.query('BEGIN')
  test.equal(await sidecar.kill('SIGTERM'), 0)
  await test.rejects(running.query('COMMIT'))
})

void t.test('SIGHUP takes what can change and names what cannot', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const text = readFileSync(sidecar.configFile, 'utf8')
  writeFileSync(sidecar.configFile, text.replace('size: 5', 'size: 9, idleTimeoutMs: never'))
  sidecar.signal('SIGHUP')
  await sidecar.until('refused', () => sidecar.log.includes('nothing has changed'))
  test.match(sidecar.log, /idleTimeoutMs/)
  writeFileSync(
    sidecar.configFile,
    text
      .replace('size: 5', 'size: 9')
      .replace('services:', 'probe: { listen: 127.0.0.1:0 }\nservices:'),
  )
  sidecar.signal('SIGHUP')
  await sidecar.until('reloaded', () => sidecar.log.includes('some changes need a restart'))
  test.match(
    sidecar.log,
    /"applied":\["services.orders.pool.size"\],"needRestart":\["probe.listen"\]/,
  )
  const client = await connect(sidecar.url())
  await client.query('SELECT 1')
  const { json } = await sidecar.request('/v1/services/orders')
  test.match(json, { pools: [{ size: 9 }] })
  await client.end()
})
