import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseDatabaseUrl } from '../../src/cli/database-url.ts'
import { serviceName } from '../../src/cli/init-plan.ts'
import { runInit } from '../../src/cli/init.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { ServiceConfig } from '../../src/config/schema.ts'

interface Result {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly cwd: string
}

type Env = Readonly<Record<string, string>>

async function init(test: Test, args: readonly string[], env: Env = {}): Promise<Result> {
  return await initIn(test.testdir({}), args, env)
}

async function initIn(cwd: string, args: readonly string[], env: Env = {}): Promise<Result> {
  let stdout = ''
  let stderr = ''
  const exitCode = await runInit(args, {
    env,
    cwd,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  })
  return { exitCode, stdout, stderr, cwd }
}

const password = 'p@ss/w$o${r}d'

interface Case {
  readonly name: string
  readonly url: string
  readonly env?: Env
  readonly service: Partial<ServiceConfig> | object
  readonly newUrl: string
  readonly notes?: RegExp
}

const cases: readonly Case[] = [
  {
    name: 'the usual',
    url: `postgres://app:${encodeURIComponent(password)}@db.internal:5433/orders`,
    service: {
      listen: 'localhost:6432',
      databases: ['orders'],
      clientAuth: { mode: 'scram' },
      users: { app: { verifier: password } },
      source: { host: 'db.internal', port: 5433, database: 'orders', user: 'app', password },
      target: { host: 'target.example', port: 5432, database: 'orders', user: 'app' },
    },
    newUrl: 'postgres://app:***@localhost:6432/orders',
  },
  {
    name: 'names with every odd character',
    url: 'postgresql://a%40b%3A%24%7BX%7D:x@db/or%24%7BY%7D%22%23%20d?x=1',
    service: {
      databases: ['or${Y}"# d'],
      users: { 'a@b:${X}': { verifier: password } },
      source: { user: 'a@b:${X}', database: 'or${Y}"# d' },
    },
    newUrl: 'postgresql://a%40b%3A%24%7BX%7D:***@localhost:6432/or%24%7BY%7D%22%23%20d?x=1',
  },
  {
    name: 'query options',
    url: 'postgres://app:x@db/o?application_name=my%20app&sslmode=verify-full&sslrootcert=ca.pem&options=-c%20search_path%3Da,b&connect_timeout=3&channel_binding=require',
    service: {
      source: { tls: { mode: 'verify-full', ca: 'CWD/ca.pem', channelBinding: 'require' } },
    },
    newUrl:
      'postgres://app:***@localhost:6432/o?application_name=my%20app&options=-c%20search_path%3Da%2Cb&connect_timeout=3&sslmode=disable',
    notes: /goes now: sslmode, sslrootcert, channel_binding\./,
  },
  {
    name: 'TLS at once',
    url: 'postgres://app:x@db/o?sslmode=require&sslnegotiation=direct',
    service: { source: { tls: { mode: 'require', negotiation: 'direct' } } },
    newUrl: 'postgres://app:***@localhost:6432/o?sslmode=disable',
    notes: /goes now: sslmode, sslnegotiation\./,
  },
  {
    name: 'require with a root certificate, as libpq understands it',
    url: 'postgres://app:x@db/o?sslmode=require&sslrootcert=/ca.pem&sslcert=c.pem&sslkey=/k.pem',
    service: {
      source: { tls: { mode: 'verify-ca', ca: '/ca.pem', cert: 'CWD/c.pem', key: '/k.pem' } },
    },
    newUrl: 'postgres://app:***@localhost:6432/o?sslmode=disable',
  },
  {
    name: 'a driver name, and ssl=true',
    url: 'postgresql+psycopg2://app:x@db/o?ssl=true',
    service: { source: { tls: { mode: 'require' } } },
    newUrl: 'postgresql+psycopg2://app:***@localhost:6432/o?sslmode=disable',
  },
  {
    name: 'a list of hosts',
    url: 'postgres://app:x@h1:1,[::1]:2,h3/o?target_session_attrs=read-only',
    service: { source: { host: 'h1', port: 1 } },
    newUrl: 'postgres://app:***@localhost:6432/o',
    notes: /the source is the first, h1:1, and ::1:2, h3:5432 is left out.*asks for a replica/s,
  },
  {
    name: 'an IPv6 address',
    url: 'postgres://app:x@[2001:db8::1]:5432/o',
    service: { source: { host: '2001:db8::1', port: 5432 } },
    newUrl: 'postgres://app:***@localhost:6432/o',
  },
  {
    name: 'a Unix socket in the query',
    url: 'postgresql:///o?host=/var/run/postgresql&port=5433&user=app&password=x',
    service: {
      source: { host: '/var/run/postgresql', port: 5433, user: 'app', tls: { mode: 'disable' } },
    },
    newUrl: 'postgresql://app:***@localhost:6432/o',
  },
  {
    name: 'a Unix socket as host',
    url: 'postgresql://app:x@%2Fvar%2Frun%2Fpostgresql/o',
    service: { source: { host: '/var/run/postgresql', port: 5432 } },
    newUrl: 'postgresql://app:***@localhost:6432/o',
  },
  {
    name: 'no password',
    url: 'postgres://app@localhost/o',
    service: { clientAuth: { mode: 'trust' }, users: { app: {} }, source: { host: 'localhost' } },
    newUrl: 'postgres://app@localhost:6432/o',
    notes: /trusts whoever connects on loopback as app/,
  },
  {
    name: 'nothing but the scheme',
    url: 'postgres://',
    env: { USER: 'me', PGPASSWORD: 'x' },
    service: {
      clientAuth: { mode: 'scram' },
      databases: ['me'],
      source: { host: 'localhost', port: 5432, user: 'me', password },
    },
    newUrl: 'postgres://me@localhost:6432/me',
    notes: /names no user; me is assumed/,
  },
  {
    name: 'a pooler on the usual port of this machine',
    url: 'postgres://app:x@127.0.0.1:6432/o',
    service: { listen: 'localhost:6433', source: { port: 6432 } },
    newUrl: 'postgres://app:***@localhost:6433/o',
  },
]

for (const { name, url, env = {}, service, newUrl, notes } of cases) {
  void t.test(`writes a configuration that loads: ${name}`, async (test) => {
    const { exitCode, stdout, stderr, cwd } = await init(test, [url, '--json'], env)
    test.equal(stderr, '')
    test.equal(exitCode, 0)
    const result = JSON.parse(stdout)
    test.match(result, { file: 'pontoon.yml', written: true, services: [{ url: newUrl }] })
    if (notes !== undefined) test.match(result.notes.join('\n'), notes)
    const values = { CLIENT_PASSWORD: password, SOURCE_PASSWORD: password, TARGET_PASSWORD: 't' }
    const asked: readonly { readonly name: keyof typeof values }[] = result.environment
    const given = asked.map((variable) => [
      variable.name,
      values[variable.name] ?? 'target.example',
    ])
    const { config, warnings } = loadConfig([join(cwd, 'pontoon.yml')], Object.fromEntries(given))
    test.strictSame(warnings, [])
    const expected: unknown = JSON.parse(JSON.stringify(service).replaceAll('CWD', cwd))
    test.match(Object.values(config.services)[0], expected)
  })
}

const redisCases: readonly (readonly [url: string, service: object])[] = [
  [
    'redis://cache.internal/3',
    {
      protocol: 'redis',
      listen: 'localhost:6380',
      clientAuth: { mode: 'trust' },
      source: { host: 'cache.internal', port: 6379, tls: { mode: 'disable' } },
      target: { host: 'managed.example', port: 6379, tls: { mode: 'verify-full' } },
    },
  ],
  [
    'rediss://app:x@localhost:6380',
    {
      listen: 'localhost:6381',
      clientAuth: { mode: 'password' },
      users: { app: { verifier: password } },
      source: {
        host: 'localhost',
        port: 6380,
        user: 'app',
        password,
        tls: { mode: 'verify-full' },
      },
      target: { user: 'app', password },
    },
  ],
]

for (const [url, service] of redisCases) {
  void t.test(`a Redis service from ${url}`, async (test) => {
    const { cwd, exitCode } = await init(test, [url])
    test.equal(exitCode, 0)
    const { config } = loadConfig([join(cwd, 'pontoon.yml')], {
      REDIS_CLIENT_PASSWORD: password,
      REDIS_SOURCE_PASSWORD: password,
      REDIS_TARGET_PASSWORD: password,
      REDIS_TARGET_HOST: 'managed.example',
    })
    test.match(config.services, { cache: service })
  })
}

void t.test('neither prints nor writes a password', async (test) => {
  const secret = 'hunter2'
  const urls = [
    `postgres://app:${secret}@db/orders`,
    `postgres://db/orders?user=app&password=${secret}`,
    `postgres://app:x/${secret}@db:port/orders`,
    `mysql://app:${secret}@db/orders`,
  ]
  for (const url of urls) {
    for (const more of [[], ['--json'], ['--dry-run']]) {
      const result = await init(test, [url, `redis://:${secret}@cache`, ...more])
      test.notMatch(result.stdout + result.stderr, secret)
      const file = join(result.cwd, 'pontoon.yml')
      if (existsSync(file)) test.notMatch(readFileSync(file, 'utf8'), secret)
    }
  }
})

void t.test('says in words what to do next', async (test) => {
  const { stdout } = await init(test, ['postgres://app:x@db/orders', '--output', 'my.yml'])
  test.match(stdout, 'Wrote my.yml: service orders, listening on localhost:6432.')
  test.match(stdout, /CLIENT_PASSWORD {2}password with which the application logs in/)
  test.match(stdout, /TARGET_HOST {6}host name of the managed database/)
  test.match(stdout, '  postgres://app:***@localhost:6432/orders')
  test.match(stdout, 'pontoon check --config my.yml')
})

void t.test('takes the URLs from the environment, an argument before it', async (test) => {
  const env = { DATABASE_URL: 'postgres://a:x@db/env', REDIS_URL: 'redis://:pw@cache:6379' }
  const first = await init(test, [], env)
  test.match(first.stdout, 'service env,')
  test.match(first.stdout, 'service cache, listening on localhost:6380')
  test.match(first.stdout, '  redis://:***@localhost:6380')
  const second = await init(test, ['rediss://other/2', 'postgres://a:x@db/arg'], env)
  test.match(second.stdout, 'service arg,')
  test.match(second.stdout, '  redis://localhost:6380/2')
  test.match(second.stdout, 'asks for TLS')
})

void t.test('replaces a file only by --force', async (test) => {
  const cwd = test.testdir({ 'pontoon.yml': 'mine' })
  const url = 'postgres://app:x@db/orders'
  for (const more of [[], ['--dry-run']]) {
    const refused = await initIn(cwd, [url, ...more])
    test.equal(refused.exitCode, 1)
    test.match(refused.stderr, /exists already: --force replaces it/)
  }
  test.equal(readFileSync(join(cwd, 'pontoon.yml'), 'utf8'), 'mine')
  const dry = await initIn(cwd, [url, '--dry-run', '--force'])
  test.match(dry.stdout, 'protocol: postgres', 'the content is shown')
  test.match(dry.stdout, 'Would write pontoon.yml')
  test.equal(readFileSync(join(cwd, 'pontoon.yml'), 'utf8'), 'mine')
  test.equal((await initIn(cwd, [url, '--force'])).exitCode, 0)
  test.match(readFileSync(join(cwd, 'pontoon.yml'), 'utf8'), 'protocol: postgres')
})

const misused: readonly (readonly [args: readonly string[], message: RegExp])[] = [
  [[], /needs the URL .* in DATABASE_URL/],
  [['redis://'], /names no host|no URL/],
  [['redis://:a@b:x'], /no URL that can be read/],
  [['mysql://db/x'], /neither a postgres:\/\/ nor a redis:\/\/ URL/],
  [['postgres://a/b', 'postgres://c/d'], /one DATABASE_URL/],
  [['postgres://a/b', '--wrong'], /--wrong/],
  [['postgres://a:b:c/d'], /IPv6 stands in brackets/],
  [['postgres://a:99999/d'], /"99999" is no port/],
  [['postgres://u:%zz@a/d'], /write %25 for a %/],
  [['postgres:///?service=x'], /service file/],
  [['postgres://a/b#c'], /expected postgres:\/\//],
]

for (const [args, message] of misused) {
  void t.test(`refuses ${args.join(' ') || 'no argument'}`, async (test) => {
    const result = await init(test, args)
    test.equal(result.exitCode, 2)
    test.match(result.stderr, message)
    test.notOk(existsSync(join(result.cwd, 'pontoon.yml')))
    const json = await init(test, [...args, '--json'])
    test.match(JSON.parse(json.stdout), { error: { code: 'USAGE' } })
  })
}

void t.test('a folder that does not exist', async (test) => {
  const result = await init(test, ['postgres://a/b', '--output', 'none/x.yml'])
  test.equal(result.exitCode, 1)
  test.match(result.stderr, /none does not exist/)
})

void t.test('a DATABASE_URL that is none', async (test) => {
  const result = await init(test, [], { DATABASE_URL: 'mysql://u:hunter2@db/x' })
  test.equal(result.exitCode, 2)
  test.match(result.stderr, 'mysql://u:***@db/x')
})

void t.test('lists in the query pair hosts with ports', async (test) => {
  const { hosts } = parseDatabaseUrl('postgres:///d?host=a,,c&port=1,2,3')
  test.strictSame(hosts, [
    { host: 'a', port: 1 },
    { host: 'localhost', port: 2 },
    { host: 'c', port: 3 },
  ])
})

void t.test('service names', async (test) => {
  const names: readonly (readonly [string, string])[] = [
    ['orders', 'orders'],
    ['Orders_Prod', 'orders-prod'],
    ['2024', 'main'],
    ['2024_stock', 'stock'],
    ['__', 'main'],
    [`a${'b'.repeat(100)}`, `a${'b'.repeat(62)}`],
    [`a${'b'.repeat(61)}_c`, `a${'b'.repeat(61)}`],
  ]
  for (const [database, expected] of names) test.equal(serviceName(database), expected)
})
