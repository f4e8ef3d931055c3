/** Verifiers looked up on the primary side, against real servers. */
import t from 'tap'
import { Client } from 'pg'
import { answerOf, AuthQuery } from '../../../src/proxy/pg/auth-query.ts'
import type { QueryConnection, Rows } from '../../../src/net/pg/query.ts'
import { PontoonError } from '../../../src/shared/errors.ts'
import { startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const postgres = await startPostgres({ major: 17 })
t.teardown(() => postgres.stop())
await postgres.createUser({ name: 'lookup', password: 'lookup-password' })
await postgres.createUser({ name: 'app', password: 'app-password' })
await postgres.createUser({ name: 'listed', password: 'listed-password' })
await postgres.query(`
  CREATE FUNCTION public.user_lookup(asked text, OUT name text, OUT verifier text, OUT until timestamptz)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT rolname, rolpassword, rolvaliduntil FROM pg_authid WHERE rolname = asked';
  REVOKE ALL ON FUNCTION public.user_lookup FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION public.user_lookup TO lookup`)

const sql = 'SELECT * FROM public.user_lookup($1)'

interface Options {
  readonly query?: object
  readonly port?: number
  readonly mode?: string
}

function pontoon({
  query = {},
  port = postgres.port,
  mode = 'scram',
}: Options = {}): Promise<Pontoon> {
  return startPontoon({
    source: { host: postgres.host, port },
    config: {
      clientAuth: { mode, query: { sql, user: 'lookup', password: 'lookup-password', ...query } },
      users: { listed: { verifier: 'in-pontoon', source: { password: 'listed-password' } } },
    },
  })
}

async function whoAmI(proxy: Pontoon, user: string, password: string): Promise<unknown> {
  const client = new Client({ connectionString: proxy.url('postgres', user, password) })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query('SELECT current_user')).rows[0]?.current_user
  } finally {
    await client.end()
  }
}

/** How often the server has run the look-up. */
async function lookUps(): Promise<number> {
  const [row] = await postgres.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'pontoon auth_query'",
  )
  return Number(row?.['n'])
}

void t.test('users of the server come in with their own passwords', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
  await test.rejects(whoAmI(proxy, 'app', 'wrong'), { code: '28P01' })
  await test.rejects(whoAmI(proxy, 'nobody', 'x'), {
    code: '28P01',
    message: 'password authentication failed for user "nobody"',
  })
  test.equal(await whoAmI(proxy, 'listed', 'in-pontoon'), 'listed', 'a listed one by its entry')
  await test.rejects(whoAmI(proxy, 'listed', 'listed-password'), { code: '28P01' })
  test.equal(await lookUps(), 1, 'one connection for all look-ups')
})

void t.test('a name is a value, whatever it says', async (test) => {
  const proxy = await pontoon()
  test.teardown(() => proxy.stop())
  for (const name of ["app' OR true --", '$1', "'; DROP TABLE x; --", 'constructor'])
    await test.rejects(whoAmI(proxy, name, 'app-password'), { code: '28P01' })
})

void t.test('VALID UNTIL is honoured', async (test) => {
  const proxy = await pontoon({ query: { cacheMs: 1 } })
  test.teardown(() => proxy.stop())
  await postgres.query("ALTER ROLE app VALID UNTIL '2020-01-01'")
  await test.rejects(whoAmI(proxy, 'app', 'app-password'), { code: '28P01' })
  await postgres.query("ALTER ROLE app VALID UNTIL 'infinity'")
  await until(
    async () => (await whoAmI(proxy, 'app', 'app-password').catch(() => '')) === 'app',
    'in again',
  )
  await postgres.query("ALTER ROLE app VALID UNTIL '2100-01-01'")
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
  await postgres.query("ALTER ROLE app VALID UNTIL '20000-01-01'")
  await until(
    async () => (await whoAmI(proxy, 'app', 'app-password').catch(() => '')) === 'app',
    'in for long',
  )
})

void t.test('a password that was changed counts once a login has failed', async (test) => {
  await postgres.createUser({ name: 'changed', password: 'first' })
  const proxy = await pontoon({ query: { cacheMs: 3_600_000 } })
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'changed', 'first'), 'changed')
  await postgres.query("ALTER ROLE changed PASSWORD 'second'")
  await until(
    async () => (await whoAmI(proxy, 'changed', 'second').catch(() => '')) === 'changed',
    'in with the new one',
  )
  await test.rejects(whoAmI(proxy, 'changed', 'first'), { code: '28P01' })

  // The old one is still remembered here, and the server refuses it.
  await postgres.query("ALTER ROLE changed PASSWORD 'third'")
  proxy.service.reconnect()
  await until(() => proxy.servers() === 0, 'no server is left')
  await test.rejects(whoAmI(proxy, 'changed', 'second'), /SCRAM verifier of this user differs/)
  await until(
    async () => (await whoAmI(proxy, 'changed', 'third').catch(() => '')) === 'changed',
    'in again',
  )
})

void t.test('a connection that was cut is opened anew', async (test) => {
  const proxy = await pontoon({ query: { cacheMs: 1 } })
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
  await postgres.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pontoon auth_query'",
  )
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
})

void t.test('the default query needs a role that may read pg_shadow', async (test) => {
  const { authQueryDefault } = { authQueryDefault: { sql: undefined } }
  const bare = await pontoon({ query: authQueryDefault })
  test.teardown(() => bare.stop())
  await test.rejects(whoAmI(bare, 'app', 'app-password'), {
    message:
      /user "app" could not be looked up on the source: permission denied for view pg_shadow/,
  })
  await postgres.query('GRANT SELECT ON pg_catalog.pg_shadow TO lookup')
  test.equal(await whoAmI(bare, 'app', 'app-password'), 'app')
})

void t.test('what goes wrong is said', async (test) => {
  const gone = await pontoon({ port: 1 })
  const wrong = await pontoon({ query: { password: 'wrong' } })
  const odd = await pontoon({ query: { sql: 'SELECT $1::text' } })
  test.teardown(() => Promise.all([gone.stop(), wrong.stop(), odd.stop()]))
  await test.rejects(whoAmI(gone, 'app', 'x'), {
    code: '08004',
    message: /could not be looked up on the source/,
  })
  await test.rejects(whoAmI(wrong, 'app', 'x'), /password authentication failed for user "lookup"/)
  await test.rejects(whoAmI(odd, 'app', 'x'), /gave 1 columns/)
  test.equal(
    await whoAmI(gone, 'listed', 'in-pontoon').catch(
      (error: Error & { code?: string }) => error.code,
    ),
    '08001',
    'listed users need no look-up',
  )
})

void t.test('mode md5 asks for what the verifier is', async (test) => {
  const old = await startPostgres({ major: 15, auth: 'md5' })
  test.teardown(() => old.stop())
  await old.createUser({ name: 'app', password: 'app-password' })
  const proxy = await pontoon({
    mode: 'md5',
    port: old.port,
    query: { sql: undefined, user: 'postgres', password: 'postgres' },
  })
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
  await test.rejects(whoAmI(proxy, 'app', 'wrong'), { code: '28P01' })
})

void t.test('answers are remembered, also the negative ones, and look-ups joined', async (test) => {
  const asked: string[] = []
  let nowMs = 0
  let release: (() => void) | undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const connection: QueryConnection = {
    serverVersion: '17',
    pid: 1,
    isOpen: true,
    close: () => undefined,
    query: async (_sql, _timeoutMs, [user = ''] = []) => {
      asked.push(user)
      await held
      return user === 'app' ? [['app', 'verifier', '2026-01-01 00:00:00+00']] : []
    },
  }
  const lookUp = new AuthQuery({
    config: () => ({ sql, user: 'lookup', cacheMs: 10_000 }),
    primary: () => 'source',
    connect: () => Promise.resolve(connection),
    clock: { nowMs: () => nowMs, wallMs: () => Date.UTC(2025, 11, 31) + nowMs },
  })
  test.teardown(() => lookUp.close())
  const together = Promise.all([lookUp.lookUp('app'), lookUp.lookUp('app'), lookUp.lookUp('who')])
  release?.()
  test.same(await together, ['verifier', 'verifier', null])
  test.same([await lookUp.lookUp('app'), await lookUp.lookUp('who')], ['verifier', null])
  test.same(asked, ['app', 'who'])
  nowMs = 10_000
  test.equal(await lookUp.lookUp('who'), null)
  test.same(asked, ['app', 'who', 'who'], 'asked again when the answer is old')
  lookUp.forget()
  test.equal(await lookUp.lookUp('app'), 'verifier')
  test.same(asked, ['app', 'who', 'who', 'app'], 'asked again after a change')
  nowMs = 86_400_000
  test.equal(await lookUp.lookUp('app'), null, 'its time has come')
  const many = Array.from({ length: 201 }, (_, index) => lookUp.lookUp(`user-${index}`))
  const settled = await Promise.allSettled(many)
  test.equal(settled.filter(({ status }) => status === 'rejected').length, 1, 'a flood is bounded')
})

void t.test(
  'those who wait behind a side that does not answer hear of it at once',
  async (test) => {
    let attempts = 0
    let nowMs = 0
    const lookUp = new AuthQuery({
      config: () => ({ sql, user: 'lookup', cacheMs: 10_000 }),
      primary: () => 'target',
      connect: () => {
        attempts += 1
        return Promise.reject(new PontoonError('CONNECT_TIMEOUT', 'no answer'))
      },
      clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    })
    test.teardown(() => lookUp.close())
    const names = ['a', 'b', 'c']
    const settled = await Promise.allSettled(names.map((name) => lookUp.lookUp(name)))
    for (const [index, result] of settled.entries()) {
      const words = `user "${names[index]}" could not be looked up on the target: no answer`
      test.match(result, {
        status: 'rejected',
        reason: { code: 'AUTH_QUERY_FAILED', message: words },
      })
    }
    test.equal(attempts, 1)
    nowMs = 1_000
    await test.rejects(lookUp.lookUp('a'))
    test.equal(attempts, 2)
  },
)

void t.test('CVE-2025-12819: no search_path of anybody bends the look-up', async (test) => {
  await postgres.query(`
    CREATE SCHEMA evil;
    CREATE TABLE evil.pg_shadow (usename name, passwd text, valuntil timestamptz);
    INSERT INTO evil.pg_shadow VALUES ('app', 'md5' || md5('forgedapp'), NULL);
    GRANT USAGE ON SCHEMA evil TO PUBLIC;
    GRANT SELECT ON evil.pg_shadow TO PUBLIC;
    GRANT SELECT ON pg_catalog.pg_shadow TO lookup;
    ALTER ROLE lookup SET search_path = evil, pg_catalog`)
  test.teardown(() =>
    postgres.query('ALTER ROLE lookup RESET search_path; DROP SCHEMA evil CASCADE'),
  )
  const unqualified = 'SELECT usename, passwd FROM pg_shadow WHERE usename = $1'
  const proxy = await pontoon({ mode: 'md5', query: { sql: unqualified } })
  test.teardown(() => proxy.stop())
  const client = new Client({
    connectionString: proxy.url('postgres', 'app', 'forged'),
    options: '-c search_path=evil',
  })
  await test.rejects(client.connect(), { code: '28P01' })
  test.equal(await whoAmI(proxy, 'app', 'app-password'), 'app')
})

void t.test('answers that cannot be used let nobody in', async (test) => {
  const cases: readonly (readonly [Rows, RegExp])[] = [
    [[['app']], /1 columns/],
    [[['app', 'v', null, 'x']], /4 columns/],
    [[['App', 'v']], /another user/],
    [[[null, 'v']], /another user/],
    [
      [
        ['app', 'v'],
        ['app', 'w'],
      ],
      /more than one row/,
    ],
    [[['app', 'v', 'next week']], /no time stamp/],
  ]
  for (const [rows, message] of cases) test.throws(() => answerOf(rows, 'app'), message)
  test.equal(answerOf([['app', null]], 'app').verifier, null)
  test.equal(answerOf([], 'app').verifier, null)
  test.equal(
    answerOf([['app', 'v', '2026-01-01 00:00:00.5+00']], 'app').validUntilMs,
    Date.UTC(2026, 0, 1) + 500,
  )
  test.equal(answerOf([['app', 'v', '-infinity']], 'app').validUntilMs, Number.NEGATIVE_INFINITY)
})
