/** Certificates instead of passwords, on either leg. */
import { TLSSocket } from 'node:tls'
import t from 'tap'
import { Client } from 'pg'
import { silentLog } from '../../../src/shared/log.ts'
import type { Log } from '../../../src/shared/log.ts'
import { checkCertificate } from '../../../src/proxy/pg/client-certificate.ts'
import { createAuthority } from '../../support/certificates.ts'
import type { Certificate } from '../../support/certificates.ts'
import { sslRequest } from '../../support/pg-frontend.ts'
import { login as logIn } from '../../support/pg-login.ts'
import { connect } from '../../support/pg-wire.ts'
import { startPontoon } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const authority = await createAuthority()
const stranger = await createAuthority('another authority')
const shown = await authority.server()
const own = await authority.server()
const app = await authority.client('app')
const postgres = await startPostgres({
  major: 17,
  auth: 'cert',
  tls: { cert: own.cert, key: own.key, ca: authority.ca.cert, force: true },
})
t.teardown(async () => {
  await postgres.stop()
  authority.remove()
  stranger.remove()
})
await postgres.createUser({ name: 'app' })

interface Options {
  readonly certMap?: Readonly<Record<string, string>>
  /** What Pontoon shows to the server. */
  readonly certificate?: Certificate
  readonly log?: Log
}

function pontoon({ certMap, certificate = app, log = silentLog }: Options = {}): Promise<Pontoon> {
  const upstream = { host: '127.0.0.1', port: postgres.port }
  const { certPath: cert, keyPath: key } = certificate
  const tls = { mode: 'verify-full', ca: authority.ca.certPath, cert, key }
  const source = { ...upstream, user: 'app', tls }
  return startPontoon({
    source: upstream,
    log,
    config: {
      source,
      target: source,
      clientAuth: { mode: 'cert', ...(certMap === undefined ? {} : { certMap }) },
      clientTls: {
        mode: 'require',
        cert: shown.certPath,
        key: shown.keyPath,
        clientCa: authority.ca.certPath,
      },
    },
  })
}

async function whoAmI(proxy: Pontoon, user: string, certificate?: Certificate): Promise<unknown> {
  const client = new Client({
    host: '127.0.0.1',
    port: proxy.port,
    user,
    database: 'postgres',
    ssl: {
      rejectUnauthorized: false,
      ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
    },
  })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query('SELECT current_user')).rows[0]?.current_user
  } finally {
    await client.end()
  }
}

void t.test('the common name is the user', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'app', app), 'app')
  await test.rejects(whoAmI(proxy, 'postgres', app), {
    code: '28000',
    message: 'certificate authentication failed for user "postgres"',
  })
})

const inHours = (hours: number): Date => new Date(Date.now() + hours * 3_600_000)

void t.test('a certificate that nobody vouches for is refused', async (test) => {
  const logged: unknown[] = []
  const log: Log = { ...silentLog, info: (fields) => logged.push(fields) }
  const proxy = await pontoon({ log })
  test.teardown(() => proxy.stop())
  await test.rejects(whoAmI(proxy, 'app'), 'none at all')
  test.match(logged, [{ error: 'the TLS handshake failed: peer did not return a certificate' }])
  const refused: readonly (readonly [certificate: Certificate, why: string])[] = [
    [await stranger.client('app'), 'unable to verify the first certificate'],
    [
      await authority.client('app', { notBefore: inHours(-2), notAfter: inHours(-1) }),
      'certificate has expired',
    ],
    [
      await authority.client('app', { notBefore: inHours(1), notAfter: inHours(2) }),
      'certificate is not yet valid',
    ],
    // A server's certificate is for servers.
    [await authority.server({ commonName: 'app' }), 'unsuitable certificate purpose'],
  ]
  for (const [certificate, why] of refused) {
    const error = `connection requires a valid client certificate: ${why}`
    await test.rejects(whoAmI(proxy, 'app', certificate), { code: '28000', message: error })
    test.match(logged.at(-1), { code: 'CLIENT_NOT_ALLOWED', error }, 'and logged')
  }
  const plain = new Client({ host: '127.0.0.1', port: proxy.port, user: 'app', ssl: false })
  await test.rejects(plain.connect(), { code: '28000', message: /over TLS only/ })
  test.equal(await whoAmI(proxy, 'app', app), 'app', 'and the service still runs')
})

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  void t.test(`a client that comes back with its session of ${maxVersion}`, async (test) => {
    const proxy = await pontoon()
    test.teardown(() => proxy.stop())
    const comeBack = async (session: Buffer | undefined): Promise<TLSSocket> => {
      const wire = await connect('127.0.0.1', proxy.port)
      test.teardown(() => wire.destroy())
      await wire.send(sslRequest())
      test.equal(await wire.nextByte(), 'S')
      const { cert, key } = app
      const kept = session === undefined ? {} : { session }
      await wire.startTls({ maxVersion, cert, key, ...kept })
      // The session of TLS 1.3 comes after the handshake.
      await logIn(wire, { user: 'app', database: 'postgres' })
      if (!(wire.socket instanceof TLSSocket)) throw new Error('no TLS')
      return wire.socket
    }
    const session = (await comeBack(undefined)).getSession()
    test.ok(session)
    test.notOk((await comeBack(session)).isSessionReused(), 'shows its certificate again')
  })
}

void t.test('a map gives certificates their users', async (test) => {
  const proxy = await pontoon({ certMap: { batch: 'app', 'DNS:web.internal': 'app' } })
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'app', await authority.client('batch')), 'app')
  const web = await authority.client('whoever', { names: ['web.internal'] })
  test.equal(await whoAmI(proxy, 'app', web), 'app')
  await test.rejects(whoAmI(proxy, 'app', app), 'its own name does not count beside a map')
  await test.rejects(whoAmI(proxy, 'batch', await authority.client('batch')))
})

void t.test('the server asks Pontoon for a certificate too', async (test) => {
  const wrong = await pontoon({ certificate: await authority.client('somebody') })
  test.teardown(() => wrong.stop())
  await test.rejects(whoAmI(wrong, 'app', app), /certificate authentication failed for user "app"/)
  const both = await startPostgres({
    major: 10,
    tls: { cert: own.cert, key: own.key, ca: authority.ca.cert, requireClientCert: true },
  })
  test.teardown(() => both.stop())
  const login = (certificate: object): Promise<Pontoon> =>
    startPontoon({
      source: both,
      config: {
        source: {
          host: both.host,
          port: both.port,
          password: both.password,
          tls: { mode: 'require', ...certificate },
        },
      },
    })
  const bare = await login({})
  const shownToIt = await login({ cert: app.certPath, key: app.keyPath })
  test.teardown(() => Promise.all([bare.stop(), shownToIt.stop()]))
  await test.rejects(comesIn(bare), /valid client certificate/)
  test.equal(await comesIn(shownToIt), 'in')
})

async function comesIn(proxy: Pontoon): Promise<unknown> {
  const client = new Client({ connectionString: proxy.url() })
  await client.connect()
  await client.end()
  return 'in'
}

void t.test('names that could be read in two ways belong to nobody', async (test) => {
  test.doesNotThrow(() => check({ CN: 'app' }, '', 'app'))
  test.throws(() => check({ CN: ['app', 'postgres'] }, '', 'app'), { code: 'CLIENT_NOT_ALLOWED' })
  test.throws(() => check({}, '', ''), 'no name is no empty name')
  test.throws(() => check({ CN: 'app' }, '', 'app', {}))
  test.throws(() => check({ CN: '__proto__' }, '', 'app', {}))
  test.doesNotThrow(() => check({}, 'URI:spiffe://a/b, DNS:x', 'u', { 'URI:spiffe://a/b': 'u' }))
  test.throws(
    () => check({}, 'DNS:"evil, URI:spiffe://a/b"', 'u', { 'URI:spiffe://a/b': 'u' }),
    'one name that looks like two',
  )
  test.throws(() => checkCertificate(null, 'app', undefined), /valid client certificate/)
})

function check(
  subject: Readonly<Record<string, unknown>>,
  subjectaltname: string,
  user: string,
  map?: Readonly<Record<string, string>>,
): void {
  checkCertificate({ subject, subjectaltname }, user, map)
}
