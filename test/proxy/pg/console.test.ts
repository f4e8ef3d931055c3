/** The console after PgBouncer's: what it shows, what it does, and who may. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t from 'tap'
import { consolesMax } from '../../../src/proxy/pg/console/console.ts'
import { startPontoon } from '../../control/sidecar.ts'
import { freePort } from '../../support/free-port.ts'
import * as send from '../../support/pg-frontend.ts'
import { connect, errorFields, summary } from '../../support/pg-wire.ts'
import { startPgBouncer } from '../../support/pgbouncer.ts'
import { ask, rawClient, rows, sqlstate, until } from '../../support/pontoon.ts'
import type { RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { columnsIn, errorIn, noticesIn, startSidecar, tagIn } from './console-fixture.ts'

const server = await startPostgres({ major: 15 })
t.teardown(() => server.stop())

const shows =
  'CLIENTS CONFIG DATABASES DNS_HOSTS DNS_ZONES LISTS MEM POOLS SERVERS STATS STATS_AVERAGES ' +
  'STATS_TOTALS TOTALS USERS VERSION'

/** Rows as objects, as monitoring reads them. */
async function records(client: RawClient, sql: string): Promise<Record<string, string | null>[]> {
  const names = columnsIn(await ask(client, sql)).map(({ name }) => name)
  const all = await rows(client, sql)
  return all.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at] ?? null])))
}

void t.test('every table has the columns and types of a real PgBouncer', async (test) => {
  const bouncer = await startPgBouncer(server.port)
  test.teardown(() => bouncer.stop())
  const real = await rawClient(bouncer.port, { user: 'admin', database: 'pgbouncer' })
  const { open } = await startSidecar(test, server)
  const ours = await open()
  test.match(real.parameters['server_version'], /bouncer$/)
  const { server_version: version, ...welcome } = ours.parameters
  test.equal(version, '1.25.0/bouncer')
  const { server_version: _real, ...realWelcome } = real.parameters
  test.match(welcome, realWelcome, 'reports the same parameters')
  for (const what of shows.split(' ')) {
    const theirs = columnsIn(await ask(real, `SHOW ${what}`))
    const mine = columnsIn(await ask(ours, `show ${what.toLowerCase()};`))
    // 1.24 renamed it.
    const expected = theirs.map(({ name, type }) => ({
      name: name === 'reserve_pool' ? 'reserve_pool_size' : name,
      type,
    }))
    const kept = mine.filter(({ name }) => expected.some((one) => one.name === name))
    test.same(kept, expected, `SHOW ${what}: same names and types in the same order`)
  }
  const lists = (await rows(ours, 'SHOW LISTS')).map(([name]) => name)
  for (const [name] of await rows(real, 'SHOW LISTS')) test.ok(lists.includes(name), `list ${name}`)
  const totals = (await rows(ours, 'SHOW TOTALS')).map(([name]) => name)
  for (const [name] of await rows(real, 'SHOW TOTALS')) test.ok(totals.includes(name), `${name}`)
  for (const [sql, words] of [
    ['SELECT 1', "invalid command 'SELECT 1', use SHOW HELP;"],
    ['kill', 'a database is required'],
    ['resume', 'pooler is not paused/suspended'],
  ] as const) {
    const [theirs, mine] = [await ask(real, sql), await ask(ours, sql)]
    test.equal(errorIn(theirs), words, `PgBouncer: ${sql}`)
    test.equal(errorIn(mine), words, sql)
    test.equal(sqlstate(mine), sqlstate(theirs))
  }
})

void t.test('the columns are those of PgBouncer 1.25, to the letter', async (test) => {
  const { open } = await startSidecar(test, server)
  const admin = await open({ database: 'pontoon' })
  const names = async (what: string): Promise<string> =>
    columnsIn(await ask(admin, `SHOW ${what}`))
      .map(({ name }) => name)
      .join(' ')
  test.equal(
    await names('CLIENTS'),
    'type user database replication state addr port local_addr local_port connect_time ' +
      'request_time wait wait_us close_needed ptr link remote_pid tls application_name ' +
      'prepared_statements id',
  )
  test.equal(
    await names('DATABASES'),
    'name host port database force_user pool_size min_pool_size reserve_pool_size ' +
      'server_lifetime pool_mode load_balance_hosts max_connections current_connections ' +
      'max_client_connections current_client_connections paused disabled',
  )
  test.equal(
    await names('STATS'),
    'database total_server_assignment_count total_xact_count total_query_count total_received ' +
      'total_sent total_xact_time total_query_time total_wait_time total_client_parse_count ' +
      'total_server_parse_count total_bind_count avg_server_assignment_count avg_xact_count ' +
      'avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time ' +
      'avg_client_parse_count avg_server_parse_count avg_bind_count',
  )
  test.equal(
    await names('USERS'),
    'name pool_size reserve_pool_size pool_mode max_user_connections current_connections ' +
      'max_user_client_connections current_client_connections',
  )
  test.equal(await names('STATE'), 'key value')
  test.equal(await names('PEERS'), 'peer_id host port pool_size')
  test.equal(
    await names('PEER_POOLS'),
    'peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login',
  )
  test.match(await rows(admin, 'SHOW VERSION'), [[/^PgBouncer 1\.25\.0 \(console of Pontoon \d/]])
})

void t.test('it shows what clients and servers do', async (test) => {
  const { open, client } = await startSidecar(test, server)
  const admin = await open({ parameters: { application_name: 'watcher' } })
  const app = await client({ parameters: { application_name: 'shop' } })
  await ask(app, 'SELECT 1')
  await app.wire.send(
    send.parse('SELECT $1::int', 's1'),
    send.bind({ statement: 's1', values: ['1'] }),
  )
  await app.wire.send(send.execute(), send.sync())
  await app.wire.until('Z')
  await ask(app, 'BEGIN')
  const [pid] = (await rows(app, 'SELECT pg_backend_pid()')).flat()
  const clients = await records(admin, 'SHOW CLIENTS')
  const [busy] = clients.filter(({ database }) => database === 'postgres')
  test.match(busy, {
    type: 'C',
    user: 'postgres',
    state: 'active',
    addr: '127.0.0.1',
    application_name: 'shop',
    prepared_statements: '1',
    connect_time: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/,
  })
  const [watcher] = clients.filter(({ database }) => database === 'pgbouncer')
  test.match(watcher, { user: 'admin', state: 'active', application_name: 'watcher' })
  const servers = await records(admin, 'SHOW SERVERS')
  const [linked] = servers.filter(({ state }) => state === 'active')
  test.match(linked, { remote_pid: pid, link: busy?.['ptr'], port: String(server.port) })
  test.equal(busy?.['link'], linked?.['ptr'])
  const [pool] = await records(admin, 'SHOW POOLS')
  test.match(pool, { database: 'postgres', user: 'postgres', cl_active: '1', sv_active: '1' })
  await ask(app, 'COMMIT')
  const [idle] = await records(admin, 'SHOW CLIENTS')
  test.match(idle, { state: 'idle', link: '' })
  const [stats] = await records(admin, 'SHOW STATS')
  test.match(stats, {
    database: 'postgres',
    total_xact_count: '3',
    total_query_count: '5',
    total_client_parse_count: '1',
    total_bind_count: '1',
  })
  test.ok(Number(stats?.['total_received']) > 100)
  test.ok(Number(stats?.['total_xact_time']) > 0)
  const config = new Map((await rows(admin, 'SHOW CONFIG')).map(([key, value]) => [key, value]))
  test.equal(config.get('default_pool_size'), '5')
  test.equal(config.get('max_client_conn'), '10000')
  test.match(await records(admin, 'SHOW DATABASES'), [
    { name: 'postgres', host: '127.0.0.1', paused: '0', current_client_connections: '1' },
    { name: 'pgbouncer', host: null },
  ])
})

void t.test(
  'PAUSE waits for transactions, holds clients, and RESUME lets them go',
  async (test) => {
    const { open, client, audit } = await startSidecar(test, server)
    const [admin, other] = [await open(), await open()]
    const app = await client()
    await ask(app, 'BEGIN')
    await admin.wire.send(send.query('PAUSE'))
    await until(
      async () => (await records(other, 'SHOW DATABASES'))[0]?.['paused'] === '1',
      'paused',
    )
    await ask(app, 'COMMIT')
    const paused = await admin.wire.until('Z')
    test.equal(tagIn(paused), 'PAUSE')
    test.match(noticesIn(paused), /resumes by itself after 60 s/)
    await app.wire.send(send.query('SELECT 7'))
    await until(
      async () => (await records(other, 'SHOW POOLS'))[0]?.['cl_waiting'] === '1',
      'the client waits',
    )
    test.match(await records(other, 'SHOW CLIENTS'), [{ state: 'waiting' }])
    test.match(await rows(other, 'SHOW STATE'), [
      ['active', 'no'],
      ['paused', 'yes'],
    ])
    test.match(noticesIn(await ask(admin, 'PAUSE')), /lease starts anew/, 'PAUSE again extends')
    test.equal(tagIn(await ask(other, 'RESUME postgres')), 'RESUME')
    test.equal(summary(await app.wire.until('Z')), 'TDCZ')
    test.match(errorIn(await ask(admin, 'RESUME')), /not paused/)
    const entries = await audit()
    const ofGate = entries.filter(({ actor }) => actor === 'admin').map(({ action }) => action)
    test.same(ofGate, ['gate.pause', 'gate.pause', 'gate.resume'])
    test.match(entries[0], { role: 'operator', service: 'orders', outcome: 'done' })
    test.match(entries[0]?.['origin'], /^127\.0\.0\.1:\d+$/)
  },
)

void t.test('Ctrl-C at a PAUSE that waits resumes', async (test) => {
  const { open, client, port } = await startSidecar(test, server)
  const [admin, other] = [await open(), await open()]
  const app = await client()
  await ask(app, 'BEGIN')
  await admin.wire.send(send.query('PAUSE'))
  await until(async () => (await rows(other, 'SHOW STATE'))[1]?.[1] === 'yes', 'paused')
  const canceler = await connect('127.0.0.1', port)
  test.teardown(() => canceler.destroy())
  await canceler.send(send.cancelRequest(admin.pid, admin.secret))
  test.match(errorIn(await admin.wire.until('Z')), /canceling PAUSE/)
  test.equal((await rows(other, 'SHOW STATE'))[1]?.[1], 'no')
  test.equal(tagIn(await ask(app, 'COMMIT')), 'COMMIT')
})

void t.test('PAUSE of one database of several is refused, not widened', async (test) => {
  const { open } = await startSidecar(
    test,
    server,
    '\n    clientAuth: { mode: trust }\n    consoleUsers: [admin]\n    databases: [one, two]',
  )
  const admin = await open()
  test.match(errorIn(await ask(admin, 'PAUSE one')), /PAUSE of a single database is not supported/)
  test.match(errorIn(await ask(admin, 'PAUSE three')), /no such database: three/)
  test.equal(tagIn(await ask(admin, 'PAUSE orders')), 'PAUSE', 'the service by its name')
  test.equal(tagIn(await ask(admin, 'RESUME')), 'RESUME')
})

void t.test('RECONNECT, KILL and KILL_CLIENT', async (test) => {
  const { open, client, audit } = await startSidecar(test, server)
  const admin = await open()
  const app = await client()
  const [first] = (await rows(app, 'SELECT pg_backend_pid()')).flat()
  test.equal(tagIn(await ask(admin, 'RECONNECT postgres')), 'RECONNECT')
  const [second] = (await rows(app, 'SELECT pg_backend_pid()')).flat()
  test.not(second, first, 'a new server')
  test.match(errorIn(await ask(admin, 'RECONNECT nope')), /no such database: nope/)

  test.match(errorIn(await ask(admin, 'KILL pgbouncer')), /cannot kill admin db/)
  await app.wire.send(send.query('SELECT pg_sleep(60)'))
  await until(
    async () => (await records(admin, 'SHOW CLIENTS'))[0]?.['state'] === 'active',
    'the query runs',
  )
  const killed = await ask(admin, 'KILL postgres')
  test.equal(tagIn(killed), 'KILL')
  test.match(noticesIn(killed), /^1 sessions ended/)
  const [last] = await app.wire.until('E')
  test.match(last === undefined ? {} : errorFields(last), { S: 'FATAL', C: '57P01' })

  const [one, two] = [await client(), await client()]
  const ids = (await records(admin, 'SHOW CLIENTS')).map(({ id }) => id)
  test.equal(tagIn(await ask(admin, `KILL_CLIENT ${ids[0]}`)), 'KILL_CLIENT')
  test.equal(sqlstate(await one.wire.until('E')), '57P01')
  test.same(await rows(two, 'SELECT 1'), [['1']], 'the other one lives')
  test.match(errorIn(await ask(admin, 'KILL_CLIENT 99999')), /client not found/)
  test.match(
    (await audit()).findLast(({ action }) => action === 'session.end'),
    { actor: 'admin', details: { ended: 0 } },
  )
})

void t.test('RELOAD takes the file and says what came of it', async (test) => {
  const { open, writeConfig, runtime, audit } = await startSidecar(test, server)
  const admin = await open()
  const trust = '\n    clientAuth: { mode: trust }\n    databases: [postgres]'
  writeConfig(`${trust}\n    consoleUsers: [admin, second]\n    limits: { clientsMax: 77 }`)
  const reloaded = await ask(admin, 'RELOAD')
  test.equal(tagIn(reloaded), 'RELOAD')
  test.match(noticesIn(reloaded), /in force now: .*services\.orders\.limits\.clientsMax/)
  test.equal(runtime.services.get('orders')?.config.limits.clientsMax, 77)
  await open({ user: 'second' })
  await test.rejects(open({ user: 'stats' }), 'no longer listed')
  writeConfig('\n    nonsense: true')
  const refused = await ask(admin, 'RELOAD')
  test.match(errorIn(refused), /nonsense/)
  test.equal(summary(refused), 'EZ', 'the console goes on')
  test.match(await audit(), [
    { actor: 'admin', action: 'config.reload', outcome: 'done' },
    { actor: 'admin', action: 'config.reload', outcome: 'refused' },
  ])
})

void t.test('SHUTDOWN ends the process by the way of SIGTERM', async (test) => {
  const { open, client, runtime } = await startSidecar(test, server)
  const admin = await open()
  const app = await client()
  await ask(app, 'BEGIN')
  test.match(errorIn(await ask(admin, 'SHUTDOWN WAIT_FOR_CLIENTS')), /not supported/)
  test.match(errorIn(await ask(admin, 'SHUTDOWN now')), /invalid command/)
  test.equal(tagIn(await ask(admin, 'SHUTDOWN')), 'SHUTDOWN')
  test.equal(sqlstate(await app.wire.until('E')), '57P01')
  test.equal(sqlstate(await admin.wire.until('E')), '57P01')
  await runtime.stopped
  test.equal(runtime.health.state, 'stopping')
})

void t.test('who may: nobody by default, listed users, stats users only SHOW', async (test) => {
  const { open, audit } = await startSidecar(test, server)
  await test.rejects(open({ user: 'app' }), /not listed in consoleUsers or statsUsers/)
  const stats = await open({ user: 'stats' })
  test.ok((await rows(stats, 'SHOW POOLS')).length > 0)
  for (const sql of ['PAUSE', 'RELOAD', 'SHUTDOWN', 'KILL postgres', 'DISABLE postgres']) {
    const answer = await ask(stats, sql)
    test.equal(errorIn(answer), 'admin access needed', sql)
    test.equal(summary(answer), 'EZ')
  }
  const [entry] = await audit()
  test.match(entry, { actor: 'stats', outcome: 'refused', details: { command: 'pause' } })

  const closed = await startSidecar(test, server, '\n    clientAuth: { mode: trust }')
  await test.rejects(closed.open({ user: 'postgres' }), /database "pgbouncer" does not exist/)
})

void t.test('passwords are asked for as in the service itself', async (test) => {
  const users = 'admin: { verifier: secret-1 }, postgres: { verifier: secret-2 }'
  const { open } = await startSidecar(
    test,
    server,
    `\n    clientAuth: { mode: scram }\n    users: { ${users} }\n    consoleUsers: [admin]`,
  )
  await test.rejects(open({ password: 'wrong' }), /password authentication failed/)
  const admin = await open({ password: 'secret-1' })
  test.match(await rows(admin, 'SHOW VERSION'), [[/^PgBouncer/]])
  await test.rejects(open({ user: 'postgres', password: 'secret-2' }), /not listed/)
})

void t.test('a passthrough password is proved against a database that exists', async (test) => {
  const { open } = await startSidecar(
    test,
    server,
    '\n    clientAuth: { mode: passthrough }\n    consoleUsers: [postgres]',
  )
  await test.rejects(open({ user: 'postgres', password: 'wrong' }))
  const admin = await open({ user: 'postgres', password: server.password })
  test.match(await rows(admin, 'SHOW VERSION'), [[/^PgBouncer/]])
})

void t.test('what it does not do is said clearly, and the session goes on', async (test) => {
  const { open } = await startSidecar(test, server)
  const admin = await open()
  const refusals: readonly (readonly [sql: string, words: RegExp])[] = [
    ['SHOW FDS', /SHOW FDS is not supported: sockets are not handed over/],
    ['SHOW SOCKETS', /SHOW SOCKETS is not supported/],
    ['SHOW nothing', /invalid command 'SHOW nothing', use SHOW HELP;/],
    ['SHOW', /invalid command/],
    ['DISABLE postgres', /DISABLE is not supported/],
    ['ENABLE postgres', /ENABLE is not supported/],
    ['SUSPEND', /SUSPEND is not supported/],
    ['WAIT_CLOSE', /WAIT_CLOSE is not supported/],
    ['SET verbose = 1', /SET is not supported/],
    ['SHOW POOLS; SHOW STATS', /invalid command/],
    ['toString', /invalid command/],
    ['SHOW constructor', /invalid command/],
  ]
  for (const [sql, words] of refusals) {
    const answer = await ask(admin, sql)
    test.match(errorIn(answer), words, sql)
    test.equal(summary(answer), 'EZ', sql)
    test.equal(sqlstate(answer), '08P01', sql)
  }
  const select = await ask(admin, 'SELECT c.relname\n FROM pg_class c')
  test.match(errorFields(select[0] ?? { type: 'E', body: Buffer.of(0) })['H'], /runs no SQL/)
  test.equal(summary(await ask(admin, ' ; ')), 'IZ', 'what drivers ping with')
  test.equal(tagIn(await ask(admin, "SET client_encoding = 'UTF8'")), 'SET')
  test.equal(tagIn(await ask(admin, 'SHOW "version"')), 'SHOW')
  test.match(noticesIn(await ask(admin, 'SHOW HELP')), /Console usage/)
})

void t.test('extended protocol, broken and early messages', async (test) => {
  const { open, port, runtime } = await startSidecar(test, server)
  const extended = await open()
  await extended.wire.send(send.parse('SHOW POOLS'), send.sync())
  const answer = await extended.wire.until('E')
  test.equal(errorIn(answer), 'extended query protocol not supported by admin console')
  test.ok(await extended.wire.closed(), 'and the connection ends, as with PgBouncer')

  const broken = await open()
  await broken.wire.send(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]))
  test.equal(sqlstate(await broken.wire.until('E')), '08P01')

  const pipelined = await open()
  await pipelined.wire.send(send.query('SHOW VERSION'), send.query('SHOW STATE'))
  test.equal(summary(await pipelined.wire.until('Z')), 'TDCZ')
  test.equal(summary(await pipelined.wire.until('Z')), 'TDDDCZ')

  const early = await connect('127.0.0.1', port)
  test.teardown(() => early.destroy())
  const login = send.startup({ user: 'admin', database: 'pgbouncer' })
  await early.send(login, send.query('SHOW STATE'))
  await early.until('Z')
  test.equal(summary(await early.until('Z')), 'TDDDCZ', 'a query behind the startup packet')
  pipelined.wire.destroy()
  early.destroy()
  const watcher = await open()
  await until(async () => (await rows(watcher, 'SHOW CLIENTS')).length === 1, 'the others are gone')
  test.equal(runtime.health.state, 'running')
})

void t.test('SHUTDOWN ends pontoon serve with exit code 0', async (test) => {
  const port = await freePort()
  const side = '{ host: 127.0.0.1, password: postgres, port: '
  const folder = test.testdir({
    'database.yml': `
admin: { listen: 127.0.0.1:0 }
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    consoleUsers: [admin]
    source: ${side}${server.port} }
    target: ${side}1 }
`,
  })
  const child = await startPontoon(['serve', '--config', `${folder}/database.yml`])
  test.teardown(() => child.process.kill('SIGKILL'))
  const login = { user: 'admin', database: 'pgbouncer' }
  let admin: RawClient | undefined
  await until(
    async () => (admin = await rawClient(port, login).catch(() => undefined)) !== undefined,
    'the sidecar takes clients',
    20_000,
  )
  if (admin === undefined) throw new Error('no console')
  test.equal(tagIn(await ask(admin, 'SHUTDOWN WAIT_FOR_SERVERS')), 'SHUTDOWN')
  test.equal(await child.exited, 0)
})

void t.test('a resume while PAUSE waits is no pause', async (test) => {
  const { open, client } = await startSidecar(test, server)
  const [admin, other] = [await open(), await open()]
  const app = await client()
  await ask(app, 'BEGIN')
  await admin.wire.send(send.query('PAUSE'))
  await until(async () => (await rows(other, 'SHOW STATE'))[1]?.[1] === 'yes', 'paused')
  await ask(other, 'RESUME')
  await ask(app, 'COMMIT')
  test.match(errorIn(await admin.wire.until('Z')), /resumed while PAUSE waited/)
})

void t.test('the console has a limit of its own', async (test) => {
  const { open, client } = await startSidecar(test, server)
  const admins = await Promise.all(Array.from({ length: consolesMax }, () => open()))
  await test.rejects(open(), /53300: there are 100 clients at the console already/)
  const app = await client()
  test.same(await rows(app, 'SELECT 1'), [['1']])
  admins[0]?.wire.destroy()
  await until(
    () =>
      open().then(
        () => true,
        () => false,
      ),
    'one that left makes room',
  )
})

void t.test('psql and node-postgres', async (test) => {
  const { port } = await startSidecar(test, server)
  const psql = (command: string): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)('psql', [
      '-X',
      '-At',
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      'admin',
      '-c',
      command,
      'pgbouncer',
    ])
  test.match((await psql('SHOW POOLS')).stdout, /^pgbouncer\|pgbouncer\|1\|/m)
  test.match((await psql('SHOW HELP')).stderr, /SHOW STATS\b|STATS_TOTALS/)
  await test.rejects(psql('\\d'), /invalid command/)
  const client = new Client({ host: '127.0.0.1', port, user: 'admin', database: 'pgbouncer' })
  await client.connect()
  test.teardown(() => client.end())
  const { rows: pools } = await client.query('SHOW POOLS')
  test.match(pools, [{ database: 'pgbouncer', cl_active: 1, pool_mode: 'statement' }])
  await test.rejects(client.query('SELECT 1'), { code: '08P01' })
  test.match((await client.query('SHOW STATE')).rows, [{ key: 'active', value: 'yes' }])
})
