/** How clients prove themselves to Pontoon, and Pontoon to servers, in every ordinary way. */
import t from 'tap'
import type { Test } from 'tap'
import type { Login } from '../../support/pg-login.ts'
import { ask, rows, sqlstate, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresAuth, PostgresServer } from '../../support/postgres.ts'

const secret = 'sécret, with "quotes" and spaces'

async function serverWith(auth: PostgresAuth): Promise<PostgresServer> {
  const server = await startPostgres({ major: 15, auth, password: secret })
  t.teardown(() => server.stop())
  return server
}

const [trusting, scramServer] = await Promise.all([
  serverWith('trust'),
  serverWith('scram-sha-256'),
])

async function pontoonWith(
  test: Test,
  server: PostgresServer,
  config: Readonly<Record<string, unknown>>,
): Promise<Pontoon> {
  const source = { host: server.host, port: server.port }
  const pontoon = await startPontoon({ source, config })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const wrongPassword = { message: '28P01: password authentication failed for user "anna"' }

interface ClientCase {
  readonly mode: string
  readonly verifier: string
  readonly method: string
}

void t.test('clients by password', async (test) => {
  await scramServer.createUser({ name: 'stored', password: secret })
  const [row] = await scramServer.query<{ rolpassword: string }>(
    "SELECT rolpassword FROM pg_authid WHERE rolname = 'stored'",
  )
  const [hash] = await scramServer.query<{ md5: string }>(
    "SELECT 'md5' || md5($1) AS md5",
    'postgres',
    [`${secret}anna`],
  )
  const cases: readonly ClientCase[] = [
    { mode: 'scram', verifier: secret, method: 'scram' },
    { mode: 'scram', verifier: row?.rolpassword ?? '', method: 'scram' },
    { mode: 'md5', verifier: secret, method: 'md5' },
    { mode: 'md5', verifier: hash?.md5 ?? '', method: 'md5' },
    { mode: 'md5', verifier: row?.rolpassword ?? '', method: 'scram' },
  ]
  for (const { mode, verifier, method } of cases) {
    const name = `${mode} against ${verifier.slice(0, 8)}…`
    const as = { user: 'postgres' }
    const pontoon = await pontoonWith(test, trusting, {
      clientAuth: { mode },
      users: { anna: { verifier, source: as, target: as } },
    })
    const login = (changes: Partial<Login> = {}): ReturnType<Pontoon['client']> =>
      pontoon.client({ user: 'anna', password: secret, ...changes })
    const client = await login()
    test.equal(client.method, method, name)
    test.equal(await value(client, 'SELECT current_user'), 'postgres', 'as whom it goes out')
    await test.rejects(login({ password: 'wrong' }), wrongPassword, name)
    await test.rejects(login({ password: '' }), wrongPassword, name)
    await test.rejects(
      login({ user: 'nobody' }),
      { message: '28P01: password authentication failed for user "nobody"' },
      'an unknown user gets the same words',
    )
  }
})

void t.test('trust lets any user in, unless users are listed', async (test) => {
  const open = await pontoonWith(test, trusting, {})
  test.equal(await value(await open.client(), 'SELECT current_user'), 'postgres')
  const listed = await pontoonWith(test, trusting, { users: { postgres: {} } })
  test.equal(await value(await listed.client(), 'SELECT current_user'), 'postgres')
  await test.rejects(listed.client({ user: 'anna', database: 'postgres' }), {
    message: /^28000: user "anna" is not listed/,
  })
})

void t.test('passthrough: the primary side decides', async (test) => {
  await scramServer.query('CREATE TABLE IF NOT EXISTS seen (who text)')
  await scramServer.createUser({ name: 'anna', password: secret })
  const pontoon = await pontoonWith(test, scramServer, { clientAuth: { mode: 'passthrough' } })
  const login = (password: string, user = 'anna'): ReturnType<Pontoon['client']> =>
    pontoon.client({ user, password, database: 'postgres' })
  await test.rejects(login('wrong'), wrongPassword)
  const client = await login(secret)
  test.equal(client.method, 'password')
  test.equal(await value(client, 'SELECT current_user'), 'anna')
  await test.rejects(login('wrong'), wrongPassword, 'also when it was right once')
  await test.rejects(login(secret, 'nobody'), { message: /^28P01: .*"nobody"/ })
  const admin = await login(secret, 'postgres')
  test.equal(await value(admin, 'SELECT current_user'), 'postgres')
  test.equal(await value(client, 'SELECT current_user'), 'anna', 'each as itself')
  test.equal(sqlstate(await ask(client, 'SELECT * FROM pg_authid')), '42501')
})

const usersWith = (password: string): Readonly<Record<string, unknown>> => ({
  users: { anna: { source: { user: 'postgres', password } } },
})

for (const auth of ['trust', 'password', 'md5', 'scram-sha-256'] as const) {
  void t.test(`a server that asks for ${auth}`, async (test) => {
    const server =
      auth === 'trust' ? trusting : auth === 'scram-sha-256' ? scramServer : await serverWith(auth)
    const right = await pontoonWith(test, server, usersWith(secret))
    const client = await right.client({ user: 'anna', database: 'postgres' })
    test.strictSame(await rows(client, 'SELECT current_user'), [['postgres']])
    if (auth === 'trust') return
    const wrong = await pontoonWith(test, server, usersWith('wrong'))
    const refused = wrong.client({ user: 'anna', database: 'postgres' })
    await test.rejects(refused, {
      message: /^28P01: .* refused the login: password authentication failed/,
    })
    const none = await pontoonWith(test, server, { users: { anna: {} } })
    await test.rejects(none.client({ user: 'anna', database: 'postgres' }), {
      message: /^28000: .* asks for a password for user "anna", but none is configured/,
    })
    await none.untilIdle()
  })
}
