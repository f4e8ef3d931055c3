/** Certificates instead of passwords, on either leg. */
import t from 'tap'
import { Client } from 'pg'
import { checkCertificate } from '../../../src/proxy/pg/client-certificate.ts'
import { createAuthority } from '../../support/certificates.ts'
import type { Certificate } from '../../support/certificates.ts'
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
}

function pontoon({ certMap, certificate = app }: Options = {}): Promise<Pontoon> {
  const upstream = { host: '127.0.0.1', port: postgres.port }
  const { certPath: cert, keyPath: key } = certificate
  const tls = { mode: 'verify-full', ca: authority.ca.certPath, cert, key }
  const source = { ...upstream, user: 'app', tls }
  return startPontoon({
    source: upstream,
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

void t.test('a certificate that nobody vouches for is refused', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  await test.rejects(whoAmI(proxy, 'app'), 'none at all')
  await test.rejects(whoAmI(proxy, 'app', await stranger.client('app')), 'of another authority')
  const old = new Date(Date.now() - 3_600_000)
  const expired = await authority.client('app', {
    notBefore: new Date(Date.now() - 7_200_000),
    notAfter: old,
  })
  await test.rejects(whoAmI(proxy, 'app', expired), 'expired')
  // A server's certificate is for servers.
  await test.rejects(whoAmI(proxy, 'app', await authority.server({ commonName: 'app' })), 'purpose')
  const plain = new Client({ host: '127.0.0.1', port: proxy.port, user: 'app', ssl: false })
  await test.rejects(plain.connect(), { code: '28000', message: /over TLS only/ })
  test.equal(await whoAmI(proxy, 'app', app), 'app', 'and the service still runs')
})

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
