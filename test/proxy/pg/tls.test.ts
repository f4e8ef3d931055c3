/** TLS on both legs, and the addresses that a service listens on. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { postgres15BinFolder } from '../../../scripts/lib/requirements.ts'
import { createAuthority } from '../../support/certificates.ts'
import { gssEncRequest, sslRequest, startup } from '../../support/pg-frontend.ts'
import { login } from '../../support/pg-login.ts'
import { connect } from '../../support/pg-wire.ts'
import { rows, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'

const authority = await createAuthority()
const stranger = await createAuthority('another authority')
const [good, misnamed, expired, ours] = await Promise.all([
  authority.server(),
  authority.server({ names: ['elsewhere.example'] }),
  authority.expired(),
  authority.server(),
])
const serverWith = (tls: false | { cert: string; key: string }): Promise<PostgresServer> =>
  startPostgres({ major: 15, auth: 'trust', tls: tls === false ? false : { ...tls, force: true } })
const servers = {
  good: await serverWith(good),
  misnamed: await serverWith(misnamed),
  expired: await serverWith(expired),
  plain: await serverWith(false),
}
t.teardown(async () => {
  await Promise.all(Object.values(servers).map((server) => server.stop()))
  for (const one of [authority, stranger]) one.remove()
})

async function pontoonTo(
  test: Test,
  server: PostgresServer,
  tls: object,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Pontoon> {
  const source = { host: server.host, port: server.port, tls }
  const pontoon = await startPontoon({ source: server, config: { source, ...config } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const usesTls = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
const ca = authority.ca.certPath

interface ServerCase {
  readonly name: string
  readonly server: PostgresServer
  readonly tls: object
  /** 't' or 'f': the login works, with or without TLS; otherwise what the error says. */
  readonly outcome: 't' | 'f' | RegExp
}

const serverCases: readonly ServerCase[] = [
  {
    name: 'require asks for no more than TLS',
    server: servers.expired,
    tls: { mode: 'require' },
    outcome: 't',
  },
  { name: 'prefer takes TLS', server: servers.good, tls: { mode: 'prefer' }, outcome: 't' },
  { name: 'prefer does without', server: servers.plain, tls: { mode: 'prefer' }, outcome: 'f' },
  { name: 'disable asks for none', server: servers.plain, tls: { mode: 'disable' }, outcome: 'f' },
  {
    name: 'disable where TLS is wanted',
    server: servers.good,
    tls: { mode: 'disable' },
    outcome: /^28000: .*no encryption/,
  },
  { name: 'verify-full', server: servers.good, tls: { mode: 'verify-full', ca }, outcome: 't' },
  {
    name: 'verify-ca looks at no name',
    server: servers.misnamed,
    tls: { mode: 'verify-ca', ca },
    outcome: 't',
  },
  {
    name: 'verify-full with a name',
    server: servers.misnamed,
    tls: { mode: 'verify-full', ca, servername: 'elsewhere.example' },
    outcome: 't',
  },
  {
    name: 'require, but the server has no TLS',
    server: servers.plain,
    tls: { mode: 'require' },
    outcome: /^08001: .*does not offer TLS, but tls.mode is require/,
  },
  {
    name: 'verify-full, but the name is another',
    server: servers.misnamed,
    tls: { mode: 'verify-full', ca },
    outcome: /^08001: TLS with .* failed: its certificate is for another host name/,
  },
  {
    name: 'verify-full, but expired',
    server: servers.expired,
    tls: { mode: 'verify-full', ca },
    outcome: /^08001: .*its certificate has expired/,
  },
  {
    name: 'verify-ca, but expired',
    server: servers.expired,
    tls: { mode: 'verify-ca', ca },
    outcome: /^08001: .*its certificate has expired/,
  },
  {
    name: 'verify-full, but by an unknown CA',
    server: servers.good,
    tls: { mode: 'verify-full', ca: stranger.ca.certPath },
    outcome: /^08001: .*not signed by a CA we trust/,
  },
  {
    name: 'verify-ca, but by an unknown CA',
    server: servers.good,
    tls: { mode: 'verify-ca' },
    outcome: /^08001: .*not signed by a CA we trust/,
  },
]

for (const { name, server, tls, outcome } of serverCases) {
  void t.test(`server leg: ${name}`, async (test) => {
    const pontoon = await pontoonTo(test, server, tls)
    if (outcome instanceof RegExp) {
      await test.rejects(pontoon.client(), { message: outcome })
    } else {
      const client = await pontoon.client()
      test.equal(await value(client, usesTls), outcome)
      const long = await value(client, "SELECT repeat('x', 1000000)")
      test.equal(long?.length, 1_000_000)
    }
    await pontoon.untilIdle()
  })
}

const clientTls = { mode: 'prefer', cert: ours.certPath, key: ours.keyPath }

async function overTls(pontoon: Pontoon, options: object = {}): Promise<RawClient> {
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(gssEncRequest())
  if ((await wire.nextByte()) !== 'N') throw new Error('GSSENCRequest was not declined')
  await wire.send(sslRequest())
  if ((await wire.nextByte()) !== 'S') throw new Error('SSLRequest was not accepted')
  await wire.startTls(options)
  return { wire, ...(await login(wire, { user: 'postgres', database: 'postgres' })) }
}

void t.test('client leg: prefer takes both, require only TLS', async (test) => {
  const prefer = await pontoonTo(test, servers.plain, { mode: 'disable' }, { clientTls })
  const verified = { ca: authority.ca.cert, rejectUnauthorized: true, servername: 'localhost' }
  const client = await overTls(prefer, verified)
  test.strictSame(await rows(client, 'SELECT 1'), [['1']])
  const long = await value(client, "SELECT repeat('x', 3000000)")
  test.equal(long?.length, 3_000_000)
  test.equal(await value(await prefer.client(), 'SELECT 1'), '1')

  const strict = { ...clientTls, mode: 'require' }
  const require = await pontoonTo(test, servers.plain, { mode: 'disable' }, { clientTls: strict })
  test.equal(await value(await overTls(require), 'SELECT 1'), '1')
  await test.rejects(require.client(), {
    message: '28000: this service takes clients over TLS only',
  })
})

void t.test('client leg: bytes behind SSLRequest are refused', async (test) => {
  const pontoon = await pontoonTo(test, servers.plain, { mode: 'disable' }, { clientTls })
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(sslRequest(), startup({ user: 'postgres' }))
  const answer = await wire.next()
  test.equal(answer.type, 'E', 'no S, so that nothing is smuggled into the encrypted session')
  await wire.closed()
})

void t.test('client leg: a handshake that fails, or never comes', async (test) => {
  const limits = { loginTimeoutMs: 300 }
  const config = { clientTls, limits }
  const pontoon = await pontoonTo(test, servers.plain, { mode: 'disable' }, config)
  for (const bytes of [Buffer.from('this is no ClientHello at all'), Buffer.alloc(0)]) {
    const wire = await connect(pontoon.host, pontoon.port)
    await wire.send(sslRequest())
    test.equal(await wire.nextByte(), 'S')
    await wire.send(bytes)
    await wire.closed()
  }
  await test.rejects(overTls(pontoon, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }))
  await pontoon.untilIdle()
  test.equal(await value(await overTls(pontoon), 'SELECT 1'), '1')
})

void t.test('client leg: both encrypted, through drivers', async (test) => {
  const pontoon = await pontoonTo(test, servers.good, { mode: 'verify-full', ca }, { clientTls })
  const connectionString = pontoon.url()
  const client = new Client({
    connectionString,
    ssl: { ca: authority.ca.cert, servername: 'localhost' },
  })
  await client.connect()
  const { rows: found } = await client.query<{ ssl: boolean }>(usesTls)
  test.strictSame(found, [{ ssl: true }])
  await client.end()

  const environment = { ...process.env, PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca }
  const target = `host=localhost hostaddr=127.0.0.1 port=${pontoon.port} user=postgres dbname=postgres`
  const args = ['-XAtc', '\\conninfo', '-c', usesTls, target]
  const psql = spawn(join(postgres15BinFolder, 'psql'), args, { env: environment })
  let output = ''
  for (const stream of [psql.stdout, psql.stderr])
    stream.on('data', (text) => (output += String(text)))
  const exit = await new Promise((resolve) => psql.on('close', resolve))
  test.equal(exit, 0, output)
  test.match(output, /SSL connection \(protocol: TLSv1.3/)
})

async function answerFrom(host: string, port?: number): Promise<string | null> {
  const wire = await connect(host, port)
  const client = { wire, ...(await login(wire, { user: 'postgres', database: 'postgres' })) }
  const answer = await value(client, 'SELECT 1')
  wire.destroy()
  return answer
}

void t.test('it listens on both loopback addresses and on a Unix socket', async (test) => {
  // Not in the test's own folder: the path of a socket is short.
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-socket-'))
  test.teardown(() => rmSync(folder, { recursive: true }))
  const socketPath = join(folder, '.s.PGSQL.6432')
  const listen = ['localhost:0', socketPath]
  const pontoon = await pontoonTo(test, servers.plain, { mode: 'disable' }, { listen })
  const { listening } = pontoon.service.snapshot()
  test.equal(listening.length, 3, listening.join(' '))
  test.equal(await answerFrom('127.0.0.1', pontoon.port), '1')
  test.equal(await answerFrom('::1', pontoon.port), '1', 'the same port on ::1')
  test.equal(await answerFrom(socketPath), '1')
  const [unix] = pontoon.service.clients(10)
  test.ok(unix === undefined || unix.address !== '')
  await test.rejects(startPontoon({ source: servers.plain, config: { listen: socketPath } }), {
    code: 'LISTEN_IN_USE',
  })
  await pontoon.stop()
  test.notOk(existsSync(socketPath), 'the socket goes with the service')
})

void t.test('a Unix socket on the server leg', async (test) => {
  const { plain } = servers
  const source = { host: plain.socketDir, port: plain.port, tls: { mode: 'require' } }
  const pontoon = await startPontoon({ source: plain, config: { source } })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  test.equal(await value(client, 'SELECT inet_client_addr() IS NULL'), 't')
})
