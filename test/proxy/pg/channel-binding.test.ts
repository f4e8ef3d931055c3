/** SCRAM-SHA-256-PLUS on both legs, against real servers, drivers and a man in the middle. */
import t from 'tap'
import { execFile } from 'node:child_process'
import { createServer, connect as connectTcp } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, connect as connectTls, TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { createAuthority } from '../../support/certificates.ts'
import type { Certificate } from '../../support/certificates.ts'
import { listenLocally } from '../../support/listen.ts'
import { postgresBinFolder } from '../../support/postgres-binaries.ts'
import { startPontoon } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const authority = await createAuthority()
const own = await authority.server()
const shown = await authority.server()
const other = await authority.server()
const postgres = await startPostgres({ major: 17, tls: { cert: own.cert, key: own.key } })
t.teardown(async () => {
  await postgres.stop()
  authority.remove()
})

interface Legs {
  readonly port?: number
  readonly channelBinding?: string
  readonly tls?: string
}

/** The application's TLS ends here, with another certificate than the server's. */
function pontoon({ port, channelBinding = 'prefer', tls = 'require' }: Legs): Promise<Pontoon> {
  const side = { host: '127.0.0.1', port: port ?? postgres.port, password: 'postgres' }
  const source = { ...side, tls: { mode: tls, channelBinding } }
  return startPontoon({
    source: side,
    config: {
      source,
      target: source,
      clientAuth: { mode: 'scram' },
      users: { postgres: { verifier: 'postgres' } },
      clientTls: { mode: 'prefer', cert: shown.certPath, key: shown.keyPath },
    },
  })
}

async function driver(port: number, enableChannelBinding: boolean): Promise<unknown> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: 'postgres',
    ssl: { rejectUnauthorized: false },
    enableChannelBinding,
  })
  await client.connect()
  try {
    return (await client.query('SELECT 1 AS one')).rows[0]
  } finally {
    await client.end()
  }
}

const libpq = (port: number, words: string): Promise<{ stdout: string }> =>
  promisify(execFile)(
    join(postgresBinFolder(15), 'psql'),
    [
      '-XAtc',
      'SELECT 1',
      `host=127.0.0.1 port=${port} user=postgres dbname=postgres password=postgres ${words}`,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  )

void t.test('both legs bind their own channel', async (test) => {
  const proxy = await pontoon({ channelBinding: 'require' })
  test.teardown(() => proxy.stop())
  test.same(await driver(proxy.port, true), { one: 1 })
  test.same(await driver(proxy.port, false), { one: 1 }, 'a client need not bind')
  const bound = await libpq(proxy.port, 'sslmode=require channel_binding=require')
  test.equal(bound.stdout, '1\n', 'libpq demands it and gets it')
  const plain = await libpq(proxy.port, 'sslmode=disable')
  test.equal(plain.stdout, '1\n', 'not offered without TLS')
  await test.rejects(
    libpq(proxy.port, 'sslmode=disable channel_binding=require'),
    /channel binding/,
    'and libpq says so',
  )
})

void t.test('a man in the middle of the server leg is found out', async (test) => {
  const middle = await manInTheMiddle(postgres.port, other)
  test.teardown(() => middle.server.close())
  const careless = await pontoon({ port: middle.port, channelBinding: 'disable' })
  test.teardown(() => careless.stop())
  test.same(await driver(careless.port, false), { one: 1 }, 'who binds nothing sees nothing')
  for (const channelBinding of ['prefer', 'require']) {
    const careful = await pontoon({ port: middle.port, channelBinding })
    test.teardown(() => careful.stop())
    await test.rejects(driver(careful.port, false), /SCRAM channel binding check failed/)
  }
})

void t.test('a man in the middle of the client leg is found out', async (test) => {
  const proxy = await pontoon({})
  test.teardown(() => proxy.stop())
  const middle = await manInTheMiddle(proxy.port, other)
  test.teardown(() => middle.server.close())
  test.same(await driver(middle.port, false), { one: 1 })
  await test.rejects(driver(middle.port, true), {
    code: '28P01',
    message: 'SCRAM channel binding check failed',
  })
  // libpq binds by itself whenever it is offered.
  await test.rejects(libpq(middle.port, 'sslmode=require'), /channel binding check failed/)
})

void t.test('require refuses a server that cannot be bound', async (test) => {
  const proxy = await pontoon({ channelBinding: 'require', tls: 'disable' })
  test.teardown(() => proxy.stop())
  await test.rejects(driver(proxy.port, false), /channelBinding is require.*without TLS/)
  const trusting = await startPostgres({
    major: 15,
    auth: 'trust',
    tls: { cert: own.cert, key: own.key },
  })
  test.teardown(() => trusting.stop())
  const strict = await pontoon({ port: trusting.port, channelBinding: 'require' })
  test.teardown(() => strict.stop())
  await test.rejects(driver(strict.port, false), /asks for no SCRAM/)
})

/** Ends TLS with its own certificate and opens another to the server, as a thief would. */
async function manInTheMiddle(
  upstream: number,
  certificate: Certificate,
): Promise<{ server: Server; port: number }> {
  const secureContext = createSecureContext({ cert: certificate.cert, key: certificate.key })
  const server = createServer((client) => {
    const onward = connectTcp(upstream, '127.0.0.1')
    client.on('error', () => onward.destroy())
    onward.on('error', () => client.destroy())
    client.once('data', (request) => {
      onward.write(request)
      onward.once('data', (answer) => {
        if (answer.toString() !== 'S') return void client.destroy()
        client.write(answer)
        const near = new TLSSocket(client, { isServer: true, secureContext })
        const far = connectTls({ socket: onward, rejectUnauthorized: false })
        near.on('error', () => far.destroy())
        far.on('error', () => near.destroy())
        near.pipe(far)
        far.pipe(near)
        return undefined
      })
    })
  })
  return { server, port: await listenLocally(server) }
}
