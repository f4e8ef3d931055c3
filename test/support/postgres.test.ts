/** Real servers of every major: start, crash, hang, TLS, every password method, no leftovers. */
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import tap from 'tap'
import { createAuthority } from './certificates.ts'
import { isAlive, processTree, waitUntilGone } from './child-processes.ts'
import { login } from './pg-login.ts'
import * as frontend from './pg-frontend.ts'
import { connect, errorFields, rowValues, summary } from './pg-wire.ts'
import { sweepAbandonedClusters } from './postgres-cluster.ts'
import { startPostgres } from './postgres.ts'
import { until } from './until.ts'
import { programArgs } from './program.ts'

const authority = await createAuthority()
tap.teardown(() => authority.remove())

// The oldest that can be a source, and those of most tests.
for (const major of [10, 15, 16, 17, 18] as const) {
  await tap.test(`PostgreSQL ${major}: crash, restart, hang, stop`, async (t) => {
    const server = await startPostgres({ major })
    t.teardown(() => server.stop())
    const [row] = await server.query('SHOW server_version')
    t.match(row, { server_version: new RegExp(`^${major}\\.`) })

    await server.createUser({ name: 'app user', password: "it's" })
    await server.createDatabase('app', 'app user')
    const url = server.url('app', 'app user', "it's")
    t.same(await ask(url, 'SELECT current_user::text AS name'), [{ name: 'app user' }])

    const tree = processTree(server.pid ?? 0)
    await server.kill9()
    t.notOk(tree.some(isAlive), 'postmaster and backends are gone')
    await t.rejects(server.query('SELECT 1'), { code: 'ECONNREFUSED' })
    await server.restart()
    t.same(await ask(url, 'SELECT 1 AS one'), [{ one: 1 }], 'same port, same data')

    server.pause()
    let answered = false
    const answer = server.query('SELECT 2 AS two').then((rows) => {
      answered = true
      return rows
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.notOk(answered, 'nothing answers while it hangs')
    server.resume()
    t.same(await answer, [{ two: 2 }])

    const pid = server.pid ?? 0
    await server.stop()
    t.notOk(isAlive(pid))
    t.notOk(existsSync(server.folder))
  })
}

const methods = {
  trust: 'trust',
  password: 'password',
  md5: 'md5',
  'scram-sha-256': 'scram',
} as const
for (const auth of ['trust', 'password', 'md5', 'scram-sha-256'] as const) {
  await tap.test(`logs in with ${auth}, over TCP and the Unix socket`, async (t) => {
    const server = await startPostgres({ major: 16, auth })
    t.teardown(() => server.stop())
    await server.createUser({ name: 'app', password: 'secret' })
    for (const host of [server.host, `${server.socketDir}/.s.PGSQL.${server.port}`]) {
      const wire = await connect(host, server.port)
      const session = await login(wire, { user: 'app', password: 'secret', database: 'postgres' })
      t.equal(session.method, methods[auth])
      t.match(session.parameters, { server_version: /^16/ })
      await wire.send(frontend.query("SELECT 1, NULL, 'a'"))
      const answer = await wire.until('Z')
      t.equal(summary(answer), 'TDCZ')
      const row = answer[1]
      t.same(row === undefined ? [] : rowValues(row), ['1', null, 'a'])
      await wire.send(frontend.terminate())
      t.match(await wire.closed(), /end|close/)
    }
    if (auth === 'trust') return
    const wire = await connect(server.host, server.port)
    await t.rejects(login(wire, { user: 'app', password: 'wrong' }), { message: /^28P01/ })
  })
}

await tap.test('speaks the extended protocol and answers garbage', async (t) => {
  const server = await startPostgres({ major: 17, auth: 'trust' })
  t.teardown(() => server.stop())
  const wire = await connect(server.host, server.port)
  await login(wire, { user: 'postgres' })
  await wire.send(
    frontend.parse('SELECT $1::text', 's'),
    frontend.describeStatement('s'),
    frontend.bind({ statement: 's', values: ['x'] }),
    frontend.execute(),
    frontend.closeStatement('s'),
    frontend.sync(),
  )
  t.equal(summary(await wire.until('Z')), '1tT2DC3Z')
  await wire.send(frontend.query('COPY (SELECT 1) TO STDOUT; SELECT nonsense'))
  const answer = await wire.until('Z')
  t.equal(summary(answer), 'HdcCEZ')
  const error = answer.find((message) => message.type === 'E')
  t.equal(error === undefined ? '' : errorFields(error)['C'], '42703')
  wire.destroy()
})

await tap.test(
  'takes TLS clients only when told so, and verifies their certificates',
  async (t) => {
    const { cert, key } = await authority.server()
    const tls = { cert, key, ca: authority.ca.cert, force: true, requireClientCert: true }
    const server = await startPostgres({ major: 18, auth: 'cert', tls })
    t.teardown(() => server.stop())
    await server.createUser({ name: 'app' })
    const client = await authority.client('app')
    const address = { host: 'localhost', port: server.port, user: 'app', database: 'postgres' }
    const ssl = { ca: authority.ca.cert, cert: client.cert, key: client.key }
    const good = new Client({ ...address, ssl })
    await good.connect()
    const { rows } = await good.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    t.same(rows, [{ ssl: true }])
    await good.end()
    const without = new Client({ ...address, ssl: { ca: authority.ca.cert } })
    await t.rejects(without.connect())
    await t.rejects(new Client(address).connect(), { code: '28000' }, 'plain TCP')
  },
)

await tap.test('reports why a server did not start', async (t) => {
  const settings = { shared_buffers: 'nonsense' }
  await t.rejects(startPostgres({ major: 15, settings }), { message: /shared_buffers/ })
})

await tap.test('two processes that need the same major first both get it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-cache-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const program = programArgs('test/support/postgres-copy.ts')
  const make = async (): Promise<string> => {
    const env = { ...process.env, TMPDIR: folder }
    const run = promisify(execFile)
    return (await run(process.execPath, [...program, '16'], { env })).stdout
  }
  const [first, second] = await Promise.all([make(), make()])
  t.equal(first, second)
  t.match(first, /^postgres \(PostgreSQL\) 16\./, 'it runs, so its libraries are found')
  const left = readdirSync(folder).filter((name) => name.startsWith('pontoon'))
  t.equal(left.length, 1, 'no half-made copy is left behind')
})

for (const how of ['throw', 'SIGTERM', 'SIGKILL', 'hang'] as const) {
  await tap.test(`no server outlives its process: ${how}`, async (t) => {
    const program = programArgs('test/support/postgres-orphan.ts')
    // Without TAP in its environment, so that it is an ordinary program like the demo.
    const { TAP: _, ...env } = process.env
    const run = promisify(execFile)(process.execPath, [...program, how], { env })
    const ended = run.then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    )
    const [pid, folder] = (await ended).trim().split(' ')
    t.ok(Number(pid) > 0, `the server had the pid ${pid}`)
    await waitUntilGone([Number(pid)], 30_000)
    // Nobody could tidy up after SIGKILL; the next start of any server does, once all are gone.
    await until(() => {
      if (how === 'SIGKILL') sweepAbandonedClusters()
      return !existsSync(folder ?? '')
    }, 'its folder is gone')
  })
}

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql)
    return rows
  } finally {
    await client.end()
  }
}
