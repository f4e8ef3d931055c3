/** TLS that begins without SSLRequest (PostgreSQL 17), on either leg. */
import { connect as connectTcp, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import { listenLocally } from '../../support/listen.ts'
import { cancelRequest, gssEncRequest, query, sslRequest } from '../../support/pg-frontend.ts'
import { login } from '../../support/pg-login.ts'
import { connect, errorFields } from '../../support/pg-wire.ts'
import type { PgWire } from '../../support/pg-wire.ts'
import { startPsql } from '../../support/psql.ts'
import { sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'

const authority = await createAuthority()
const certificate = await authority.server()
const { certPath: cert, keyPath: key } = certificate
const serverOf = (major: 15 | 17 | 18): Promise<PostgresServer> =>
  startPostgres({ major, auth: 'scram-sha-256', tls: { ...certificate, force: true } })
const [oldest, direct, newest] = await Promise.all([serverOf(15), serverOf(17), serverOf(18)])
t.teardown(async () => {
  await Promise.all([oldest, direct, newest].map((server) => server.stop()))
  authority.remove()
})

const alpn = { ALPNProtocols: ['postgresql'] }
const verified = { ca: authority.ca.cert, rejectUnauthorized: true, servername: 'localhost' }

async function pontoonTo(
  test: Test,
  server: { readonly host: string; readonly port: number; readonly password?: string },
  tls: object,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Pontoon> {
  const { host, port, password } = server
  const source = { host, port, tls, ...(password === undefined ? {} : { password }) }
  const pool = { holdMs: 0, size: 2 }
  const pontoon = await startPontoon({ source: server, pool, config: { source, ...config } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const toServer = { mode: 'verify-full', ca: authority.ca.certPath }
const clientTls = { mode: 'prefer', cert, key }
const offering = await startPontoon({
  source: newest,
  config: {
    source: { host: newest.host, port: newest.port, password: newest.password, tls: toServer },
    clientTls,
  },
})
t.teardown(() => offering.stop())

async function directly(port: number, options: ConnectionOptions = {}): Promise<PgWire> {
  const wire = await connect('127.0.0.1', port)
  await wire.startTls({ ...alpn, ...verified, ...options })
  return wire
}

async function logIn(wire: PgWire): Promise<RawClient> {
  return { wire, ...(await login(wire, { user: 'postgres', database: 'postgres' })) }
}

void t.test('client leg: ClientHello is the first thing on the wire', async (test) => {
  const client = await logIn(await directly(offering.port))
  test.equal(await value(client, 'SELECT 1'), '1')
  const long = await value(client, "SELECT repeat('x', 2000000)")
  test.equal(long?.length, 2_000_000)
  client.wire.destroy()
  await offering.untilIdle()
})

/** Sends a real ClientHello in pieces, waiting between them; gives what the server says to it. */
async function helloInPieces(port: number, bytes: number): Promise<Buffer> {
  const hello = await clientHello()
  const wire = await connect('127.0.0.1', port)
  for (let offset = 0; offset < hello.length; offset += bytes)
    await wire.send(hello.subarray(offset, offset + bytes))
  const first = Buffer.from(await wire.nextByte(), 'latin1')
  wire.destroy()
  return first
}

function clientHello(): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const trap = createServer((socket) => {
      socket.once('data', (bytes) => {
        socket.destroy()
        trap.close()
        resolve(bytes)
      })
    })
    listenLocally(trap)
      .then((port) => connectTls({ port, host: '127.0.0.1', ...alpn }).on('error', () => undefined))
      .catch(reject)
  })
}

void t.test('client leg: a ClientHello byte by byte', async (test) => {
  const serverHello = Buffer.from([0x16])
  test.strictSame(await helloInPieces(offering.port, 1), serverHello)
  test.strictSame(await helloInPieces(offering.port, 100), serverHello)
})

/** How a handshake ends, the same for both, and whether anything is said to an SSLRequest in it. */
async function outcome(port: number, ask: boolean, options: ConnectionOptions): Promise<string> {
  const wire = await connect('127.0.0.1', port)
  if (ask) {
    await wire.send(sslRequest())
    await wire.nextByte()
  }
  try {
    await wire.startTls({ ...verified, ...options })
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
  await wire.send(sslRequest()).catch(() => undefined)
  const first = await wire.nextByte().catch(() => 'closed')
  const rest = first === 'E' ? await wire.closed().then(() => Buffer.concat(wire.received)) : ''
  wire.destroy()
  return `${first}${rest
    .toString('latin1')
    .replace(/^.*unsupp/s, 'unsupp')
    .replace(/\0.*$/s, '')}`
}

void t.test('client leg: ALPN is demanded and refused as PostgreSQL 17 does', async (test) => {
  const tls12 = { maxVersion: 'TLSv1.2' } as const
  const cases: readonly (readonly [name: string, ask: boolean, options: ConnectionOptions])[] = [
    ['direct, our name', false, alpn],
    ['direct, no ALPN', false, {}],
    ['direct, no ALPN, TLS 1.2', false, tls12],
    ['direct, other names', false, { ALPNProtocols: ['h2', 'http/1.1'] }],
    ['direct, ours among others', false, { ALPNProtocols: ['h2', 'postgresql'] }],
    ['asked for, our name', true, alpn],
    ['asked for, no ALPN', true, {}],
    ['asked for, other names', true, { ALPNProtocols: ['h2'] }],
  ]
  for (const [name, ask, options] of cases) {
    const found = await outcome(offering.port, ask, options)
    test.equal(found, await outcome(newest.port, ask, options), name)
    test.match(found, name.includes('direct, no') ? 'closed' : /./, name)
  }
})

void t.test('client leg: no TLS is offered, and nothing is said in clear', async (test) => {
  const plain = await pontoonTo(test, newest, toServer)
  const wire = await connect('127.0.0.1', plain.port)
  await wire.send(await clientHello())
  await wire.closed()
  test.strictSame(wire.received, [])
})

void t.test('client leg: only the first byte of a connection may begin TLS', async (test) => {
  const wire = await connect('127.0.0.1', offering.port)
  await wire.send(gssEncRequest())
  test.equal(await wire.nextByte(), 'N')
  await wire.send(await clientHello())
  test.match(errorFields(await wire.next()), { C: '08P01', M: /invalid length of startup/ })
})

void t.test('client leg: a handshake that stops half way is closed in time', async (test) => {
  offering.tighten({ limits: { loginTimeoutMs: 1_500 } })
  test.teardown(() => offering.tighten({ limits: { loginTimeoutMs: 30_000 } }))
  const hello = await clientHello()
  const stops = [hello.subarray(0, 1), hello.subarray(0, 50), Buffer.from([0x16, 3, 1])]
  const silent = stops.map(async (bytes) => {
    const wire = await connect('127.0.0.1', offering.port)
    await wire.send(bytes)
    await wire.closed()
    return wire.received.length
  })
  test.strictSame(await Promise.all(silent), [0, 0, 0], 'nothing in clear')
  const wire = await connect('127.0.0.1', offering.port)
  await wire.send(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 5]), Buffer.alloc(100, 1)]))
  await wire.closed()
  await offering.untilIdle()
})

void t.test('server leg: direct, with a login and a cancel', async (test) => {
  for (const server of [direct, newest]) {
    // A listener in between that sees how each connection begins.
    const firstBytes: number[] = []
    const spy = createServer((socket: Socket) => {
      const through = connectTcp(server.port, server.host)
      socket.once('data', (bytes) => firstBytes.push(bytes[0] ?? -1))
      for (const one of [socket, through]) one.on('error', () => undefined)
      socket.pipe(through).pipe(socket)
    })
    const port = await listenLocally(spy)
    test.teardown(() => spy.close())
    const at = { host: '127.0.0.1', port, password: server.password }
    const pontoon = await pontoonTo(test, at, { ...toServer, negotiation: 'direct' })
    const client = await pontoon.client()
    test.equal(await value(client, 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'), 't')
    await client.wire.send(query('SELECT pg_sleep(20)'))
    await until(() => pontoon.service.snapshot().clients.active === 1, 'to run')
    const wire = await connect(pontoon.host, pontoon.port)
    await wire.send(cancelRequest(client.pid, client.secret))
    await wire.closed()
    test.equal(sqlstate(await client.wire.until('Z')), '57014')
    test.strictSame(firstBytes, [0x16, 0x16], `PostgreSQL ${server.major}`)
    client.wire.destroy()
  }
})

void t.test('server leg: direct, and the server is too old or no PostgreSQL', async (test) => {
  const tls = { ...toServer, negotiation: 'direct' }
  const old = await pontoonTo(test, oldest, tls)
  await test.rejects(old.client(), { message: /^08001: TLS with .* failed/ })
  const web = createTlsServer({ cert: certificate.cert, key: certificate.key })
  const port = await listenLocally(web)
  test.teardown(() => web.close())
  const wrong = await pontoonTo(test, { host: '127.0.0.1', port }, tls)
  await test.rejects(wrong.client(), {
    message:
      /^08001: .*did not agree on ALPN postgresql: tls.negotiation direct needs PostgreSQL 17/,
  })
})

void t.test('client leg: libpq 18 with sslnegotiation=direct', async (test) => {
  const target =
    `host=localhost hostaddr=127.0.0.1 port=${offering.port} user=postgres dbname=postgres ` +
    `sslmode=verify-full sslrootcert=${authority.ca.certPath} sslnegotiation=direct`
  const { exit, output } = await startPsql(18, target, ['\\conninfo', 'SELECT 6 * 7']).done
  test.equal(exit, 0, output)
  test.match(output, /SSL connection \(protocol: TLSv1.3/)
  test.match(output, /^42$/m)
})
