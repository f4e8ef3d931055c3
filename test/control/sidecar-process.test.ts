/** The sidecar as a process: start, signals, crashes, and what survives them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { Client } from 'pg'
import t from 'tap'
import { freePort } from '../support/free-port.ts'
import { startPostgres } from '../support/postgres.ts'
import { runPontoon, Sidecar } from './sidecar.ts'

t.setTimeout(120_000)
const source = await startPostgres({ major: 15 })
const target = await startPostgres({ major: 17 })
t.teardown(() => Promise.all([source.stop(), target.stop()]))

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  // A closed connection is met by the next query.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

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
  test.ok(performance.now() - startMs < 10_000, 'long before the pause ends')
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
  test.ok(performance.now() - startMs < 5_000)
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

void t.test(
  'it starts without its databases, says so, and works once they are there',
  async (test) => {
    const later = { port: await freePort(), password: 'postgres' }
    const never = { port: await freePort(), password: 'postgres' }
    const sidecar = await Sidecar.start(test, { source: later, target: never })
    test.equal((await sidecar.request('/health/ready')).status, 200)
    await sidecar.until('reported', () => sidecar.log.includes('a side cannot be reached'))
    const { json } = await sidecar.request('/v1/services/orders')
    test.match(json, { sides: { source: { state: 'unreachable', code: 'CONNECT_FAILED' } } })
    await test.rejects(connect(sidecar.url()), { code: /^08/ })
    const check = await runPontoon(['check', '--config', sidecar.configFile])
    test.equal(check.exit, 1)
    test.match(check.stdout, /FAILED +connect.*\[CONNECT_FAILED\]/)
    test.match(check.stdout, /2 of 2 sides cannot be used/)
    const server = await startPostgres({ major: 15, ...later })
    test.teardown(() => server.stop())
    const client = await connect(sidecar.url())
    test.match((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    await client.end()
    await sidecar.until('reachable', async () => {
      const view = await sidecar.request('/v1/services/orders')
      return Object(view.json['sides']).source.state === 'reachable'
    })
  },
)

void t.test(
  'a port in use, a state folder in use and a wrong file say so and exit with 1',
  async (test) => {
    const sidecar = await Sidecar.start(test, { source, target })
    const same = await runPontoon(['serve', '--config', sidecar.configFile])
    test.equal(same.exit, 1)
    test.match(same.stderr, /STATE_LOCKED/)
    const folder = test.testdir({
      'pontoon.yml': readFileSync(sidecar.configFile, 'utf8').replace(
        /admin: .*/,
        'admin: { listen: 127.0.0.1:0 }',
      ),
      'wrong.yml': 'services: { orders: { protocol: postgress } }',
    })
    const taken = await runPontoon(['serve', '--config', `${folder}/pontoon.yml`])
    test.equal(taken.exit, 1)
    test.match(taken.stderr, new RegExp(`127.0.0.1:${sidecar.port}.*LISTEN_IN_USE`))
    const wrong = await runPontoon(['serve', '--config', `${folder}/wrong.yml`])
    test.equal(wrong.exit, 1)
    test.match(wrong.stderr, /wrong.yml.*services.orders.protocol.*CONFIG_INVALID/s)
    const missing = await runPontoon(['serve', '--config', `${folder}/nowhere.yml`])
    test.match(missing.stderr, /nowhere.yml.*CONFIG_UNREADABLE/s)
  },
)

void t.test(
  'check says what is right with both sides, and what is wrong with a password',
  async (test) => {
    const folder = test.testdir({})
    const file = `${folder}/pontoon.yml`
    const write = (password: string): void =>
      writeFileSync(
        file,
        `
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:6432
    clientAuth: { mode: trust }
    source: { host: 127.0.0.1, port: ${source.port}, database: postgres, user: postgres, password: ${source.password} }
    target: { host: localhost, port: ${target.port}, database: postgres, user: postgres, password: ${password} }
`,
      )
    write(target.password)
    const good = await runPontoon(['check', '--config', file, '--json'])
    test.equal(good.exit, 0, good.stderr)
    test.match(JSON.parse(good.stdout), {
      ok: true,
      sides: [{ serverVersion: /^15/ }, { serverVersion: /^17/ }],
    })
    write('wrong')
    const bad = await runPontoon(['check', '--config', file])
    test.equal(bad.exit, 1)
    test.match(bad.stdout, /orders target.*FAILED +login.*password.*\[SERVER_AUTH_FAILED\]/s)
    test.match(bad.stdout, /1 of 2 sides cannot be used: orders target/)
    test.equal((await runPontoon(['check', '--config', file, '--offline'])).exit, 0)
  },
)
