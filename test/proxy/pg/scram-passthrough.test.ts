/** A server login by what the client proved: no password is configured anywhere. */
import t from 'tap'
import { Client } from 'pg'
import { startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const postgres = await startPostgres({ major: 17 })
const target = await startPostgres({ major: 15 })
t.teardown(() => Promise.all([postgres.stop(), target.stop()]))
await postgres.createUser({ name: 'app', password: 'app-password' })

async function verifierOf(name: string): Promise<string> {
  const [row] = await postgres.query(
    'SELECT rolpassword FROM pg_authid WHERE rolname = $1',
    'postgres',
    [name],
  )
  return String(row?.['rolpassword'])
}

const verifier = await verifierOf('app')

interface Options {
  readonly verifier?: string
  readonly mode?: string
  readonly pool?: object
}

function pontoon(options: Options = {}): Promise<Pontoon> {
  return startPontoon({
    source: { host: postgres.host, port: postgres.port },
    target: { host: target.host, port: target.port },
    config: {
      clientAuth: { mode: options.mode ?? 'scram' },
      users: { app: { verifier: options.verifier ?? verifier } },
    },
    ...(options.pool === undefined ? {} : { pool: { ...options.pool } }),
  })
}

async function connected(proxy: Pontoon, password = 'app-password'): Promise<Client> {
  const client = new Client({ connectionString: proxy.url('postgres', 'app', password) })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

void t.test('the keys that the client proved log Pontoon in', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  await test.rejects(connected(proxy, 'wrong'), { code: '28P01' })
  const clients = await Promise.all([connected(proxy), connected(proxy), connected(proxy)])
  const answers = await Promise.all(
    clients.map((client) => client.query('SELECT current_user, pg_sleep(0.05)')),
  )
  for (const { rows } of answers) test.equal(rows[0].current_user, 'app')
  test.ok(proxy.servers() >= 2, 'several servers were opened with the keys of one user')
  await Promise.all(clients.map((client) => client.end()))
})

void t.test('a reload keeps the keys of those who are in', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  const client = await connected(proxy)
  await client.query('SELECT 1')
  proxy.service.applyConfig(proxy.service.config)
  proxy.service.reconnect()
  await until(() => proxy.servers() === 0, 'no server is left')
  test.equal((await client.query('SELECT current_user')).rows[0].current_user, 'app')
  await client.end()
})

void t.test('a verifier that is not the one of the server is named', async (test) => {
  await postgres.createUser({ name: 'other', password: 'app-password' })
  const proxy = await pontoon({ verifier: await verifierOf('other') })
  test.teardown(() => proxy.stop())
  await test.rejects(connected(proxy), /SCRAM verifier of this user differs/)
})

void t.test('mode md5 with a SCRAM verifier does the same', async (test) => {
  const proxy = await pontoon({ mode: 'md5' })
  test.teardown(() => proxy.stop())
  const client = await connected(proxy)
  test.equal((await client.query('SELECT current_user')).rows[0].current_user, 'app')
  await client.end()
})

void t.test('an md5 hash logs in where the server asks for md5', async (test) => {
  const old = await startPostgres({ major: 15, auth: 'md5' })
  test.teardown(() => old.stop())
  await old.createUser({ name: 'app', password: 'app-password' })
  const [row] = await old.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
  const hash = String(row?.['rolpassword'])
  test.match(hash, /^md5[0-9a-f]{32}$/)
  const proxy = await startPontoon({
    source: { host: old.host, port: old.port },
    config: { clientAuth: { mode: 'md5' }, users: { app: { verifier: hash } } },
  })
  test.teardown(() => proxy.stop())
  await test.rejects(connected(proxy, 'wrong'), { code: '28P01' })
  const client = await connected(proxy)
  test.equal((await client.query('SELECT current_user')).rows[0].current_user, 'app')
  await client.end()
})

void t.test('nobody learns which names exist: the salt of an unknown one stays', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  const salts = new Set<string>()
  for (let attempt = 0; attempt < 3; attempt += 1) salts.add(await saltOf(proxy, 'nobody'))
  test.equal(salts.size, 1)
  test.not(await saltOf(proxy, 'nobody-else'), [...salts][0])
})

async function saltOf(proxy: Pontoon, user: string): Promise<string> {
  const { connect } = await import('../../support/pg-wire.ts')
  const { saslInitialResponse, startup } = await import('../../support/pg-frontend.ts')
  const wire = await connect('127.0.0.1', proxy.port)
  try {
    await wire.send(startup({ user, database: 'postgres' }))
    await wire.next()
    await wire.send(saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abcdefghijkl'))
    return /,s=([^,]+)/.exec((await wire.next()).body.toString())?.[1] ?? ''
  } finally {
    wire.destroy()
  }
}
