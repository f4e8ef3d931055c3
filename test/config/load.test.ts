import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig, type LoadedConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/mistake.ts'

const minimal = `
services:
  orders:
    protocol: postgres
    listen: localhost:6432
    clientAuth: { mode: trust }
    source: { host: db.internal, database: orders }
    target: { host: db.example.com, database: orders }
`

void t.test('fills in the defaults and freezes everything', async (test) => {
  const { config } = load(test, [minimal])
  const orders = config.services['orders']
  test.match(orders, {
    listen: 'localhost:6432',
    pool: { mode: 'transaction', size: 20, queueTimeoutMs: 5_000 },
    source: { port: 5432, tls: { mode: 'prefer' } },
    route: { phase: 'self-hosted', readAfterWriteMs: 1_000 },
  })
  test.equal(config.admin.listen, '127.0.0.1:7070')
  test.throws(() => Object.assign(orders?.pool ?? {}, { size: 1 }), TypeError)
  test.throws(() => Object.assign(config.services, { more: 1 }), TypeError)
})

void t.test(
  'overlays merge mappings, replace lists, and remove with an empty value',
  async (test) => {
    const base = `
drainTimeoutMs: 1000
services:
  orders:
    protocol: postgres
    listen: [localhost:6432, '127.0.0.1:6433']
    databases: [a, b]
    clientAuth: { mode: trust }
    pool: { size: 5, queueMax: 7 }
    source: { host: one, database: a }
    target: { host: two, database: a }
`
    const { config, files } = load(test, [
      base,
      'services: { orders: { pool: { size: 9 }, databases: [c] } }',
      'drainTimeoutMs:\nservices: { orders: { listen: localhost:7000 } }',
    ])
    test.equal(files.length, 3)
    test.match(config.services['orders'], {
      pool: { size: 9, queueMax: 7 },
      databases: ['c'],
      listen: 'localhost:7000',
    })
    test.equal(config.drainTimeoutMs, 30_000, 'the default is back')
  },
)

void t.test('substitutes the environment after parsing', async (test) => {
  const text = `
admin: { listen: 127.0.0.1:7070, tokens: [ { name: ops, role: operator, secret: \${TOKEN} } ] }
services:
  orders:
    protocol: postgres
    listen: localhost:\${LISTEN_PORT}
    users:
      app: { verifier: \${PASSWORD}, source: { password: 'cost: $$5 \${PASSWORD}' } }
    pool: { size: \${POOL_SIZE}, queueMax: \${QUEUE:-12} }
    source: { host: \${HOST:-fallback, with [odd]: #chars}, database: orders }
    target: { host: db-$1, database: orders, password: plain$sign }
`
  const password = 'a"b: {c} # ${TOKEN} $$'
  const { config } = load(test, [text], {
    TOKEN: 't: [x]',
    LISTEN_PORT: '6432',
    PASSWORD: password,
    POOL_SIZE: '33',
  })
  const orders = config.services['orders']
  test.equal(config.admin.tokens[0]?.secret, 't: [x]')
  test.ok(orders)
  if (orders === undefined) return
  test.equal(orders.listen, 'localhost:6432')
  test.equal(orders.users?.['app']?.verifier, password, 'values are not substituted again')
  test.equal(orders.users?.['app']?.source?.password, `cost: $5 ${password}`)
  test.equal(orders.pool.size, 33)
  test.equal(orders.pool.queueMax, 12)
  test.equal(orders.source.host, 'fallback, with [odd]: #chars')
  test.equal(orders.target.host, 'db-$1')
  test.equal(orders.target.password, 'plain$sign')
})

void t.test('an environment value is text even where it looks like a number', async (test) => {
  const text = minimal.replace('host: db.internal', 'host: db.internal, password: ${P}')
  const { config } = load(test, [text], { P: '0123' })
  test.equal(config.services['orders']?.source.password, '0123')
})

void t.test('secrets come from files, relative to the file that names them', async (test) => {
  const folder = test.testdir({
    'main.yml': `admin: { tokens: [{ name: a, role: viewer, secret: { file: '\${DIR}/pw' } }] }
${minimal.replace('host: db.internal', 'host: x, password: { file: ${DIR}/pw }')}`,
    secrets: { pw: 's3cret \n' },
  })
  const { config } = loadConfig([join(folder, 'main.yml')], { DIR: 'secrets' })
  test.equal(config.admin.tokens[0]?.secret, 's3cret ', 'only the last newline goes')
  const password = { file: join(folder, 'secrets/pw') }
  test.same(config.services['orders']?.source.password, password, 'read again at every login')
})

void t.test('relative paths count from the file that names them', async (test) => {
  const folder = test.testdir({
    base: { 'main.yml': minimal },
    over: {
      'prod.yml': `
services:
  orders:
    clientTls: { mode: prefer, cert: tls/cert.pem, key: /abs/key.pem }
    target: { tls: { mode: verify-full, ca: aws-rds } }
    source: { tls: { mode: verify-ca, ca: ../ca.pem } }
`,
    },
  })
  const { config } = loadConfig([join(folder, 'base/main.yml'), join(folder, 'over/prod.yml')], {})
  const orders = config.services['orders']
  test.equal(orders?.clientTls.cert, join(folder, 'over/tls/cert.pem'))
  test.equal(orders?.clientTls.key, '/abs/key.pem')
  test.equal(orders?.target.tls.ca, 'aws-rds')
  test.equal(orders?.source.tls.ca, join(folder, 'ca.pem'))
  test.equal(config.state.file, join(folder, 'base/state'), 'a default counts from the first file')
})

void t.test('anchors, aliases and merge keys work', async (test) => {
  const { config } = load(test, [
    `
services:
  orders: &orders
    protocol: postgres
    listen: localhost:6432
    clientAuth: &auth { mode: trust }
    source: { host: one, database: a }
    target: { host: two, database: a }
  stock:
    <<: *orders
    listen: localhost:6433
    clientAuth: *auth
`,
  ])
  test.equal(config.services['stock']?.source.host, 'one')
  test.equal(config.services['stock']?.listen, 'localhost:6433')
})

void t.test('reports every mistake with file, line and path', async (test) => {
  const text = `services:
  orders:
    protocol: postgres
    listen: 6432
    lisen: x
    clientAuth: { mode: trsut }
    pool:
      siez: 3
      size: "20"
      queueMax: 1.5
      queueTimeoutMs: 0
    source: { database: orders, port: 70000 }
    target: { host: "", database: 2024 }
    users:
    route: nothing
    databases: []
  Bad_Name:
    protocol: postgres
`
  const mistakes = mistakesOf(test, [text])
  test.strictSame(mistakes, [
    'config0.yml:4: services.orders.listen: expected text or a list of text, found 6432',
    'config0.yml:5: services.orders.lisen: unknown key; did you mean listen?',
    'config0.yml:6: services.orders.clientAuth.mode: expected one of trust, md5, scram, passthrough, cert, found text "trsut"; did you mean trust?',
    'config0.yml:8: services.orders.pool.siez: unknown key; did you mean size?',
    'config0.yml:9: services.orders.pool.size: expected a number, found text "20"',
    'config0.yml:10: services.orders.pool.queueMax: expected a whole number, found 1.5',
    'config0.yml:11: services.orders.pool.queueTimeoutMs: expected at least 1, found 0',
    'config0.yml:12: services.orders.source.host: is missing: Host name, address, or folder of a Unix socket.',
    'config0.yml:12: services.orders.source.port: expected at most 65535, found 70000',
    'config0.yml:13: services.orders.target.host: is empty',
    'config0.yml:13: services.orders.target.database: expected text, found 2024; put it in quotes',
    'config0.yml:14: services.orders.users: expected a mapping of names to values, found nothing; give it a value or leave the key out',
    'config0.yml:15: services.orders.route: expected a mapping of keys to values, found text "nothing"',
    'config0.yml:16: services.orders.databases: expected at least one entry',
    'config0.yml:17: services.Bad_Name: is no valid name: lower-case letters, digits and dashes, a letter first, 63 at most',
  ])
})

void t.test('checks across values run beside single mistakes', async (test) => {
  const mistakes = mistakesOf(test, [
    minimal.replace('clientAuth: { mode: trust }', 'clientTls: { mode: require, key: 3 }'),
    'admin: { listen: 0.0.0.0:7070, lsten: 1 }',
  ])
  test.strictSame(
    mistakes.map((line) => line.replace(/^config\d.yml:\d+: /, '')),
    [
      'services.orders.users: is needed: clientAuth scram must know who may come in',
      'services.orders.clientTls.key: expected text, found 3; put it in quotes',
      'services.orders.clientTls.cert: is missing: clientTls with mode require needs it',
      'admin.lsten: unknown key; did you mean listen?',
      'admin.tokens: is needed because admin listens on 0.0.0.0:7070',
      'admin.tls: is needed because admin listens on 0.0.0.0:7070',
    ],
  )
})

void t.test('a mistake in an overlay names the overlay', async (test) => {
  const mistakes = mistakesOf(test, [minimal, '\n\nservices: { orders: { pool: { size: no } } }'])
  test.strictSame(mistakes, [
    'config1.yml:3: services.orders.pool.size: expected a number, found text "no"',
  ])
})

void t.test('missing variables and secret files', async (test) => {
  const text = minimal.replace(
    'host: db.internal',
    'host: ${NO_HOST}, port: ${NO_PORT}, password: { file: ./none }',
  )
  const error = failure(test, [text])
  test.equal(error.code, 'CONFIG_ENV_MISSING')
  test.match(error.message, 'services.orders.source.host: environment variable NO_HOST is not set')
  test.match(error.message, 'services.orders.source.port: environment variable NO_PORT is not set')
  test.match(error.message, /source\.password: secret file .*none does not exist/)
  test.equal(error.mistakes.length, 3)
  const both = failure(test, [text.replace('protocol', 'protocoll')])
  test.equal(both.code, 'CONFIG_INVALID', 'the more general code where both kinds occur')
})

void t.test('messages show no secret and no value of the environment', async (test) => {
  const text = minimal.replace(
    'host: db.internal',
    'host: db.internal, password: 918273, port: ${PORT}',
  )
  const error = failure(test, [text], { PORT: 'hunter2' })
  test.notMatch(error.message, /918273|hunter2/)
  test.match(error.message, 'source.port: expected a number, found text from ${PORT}')
  test.match(error.message, 'source.password: expected text, found a number; put it in quotes')
})

void t.test('what cannot be read says so', async (test) => {
  const broken = failure(test, ['services: [\n', 'a: 1\na: 2\n'])
  test.equal(broken.code, 'CONFIG_UNREADABLE')
  test.match(broken.message, /config0\.yml:\d: /)
  test.match(broken.message, /config1\.yml:2: Map keys must be unique/, 'all files are reported')
  test.throws(() => loadConfig([join(test.testdir({}), 'none.yml')], {}), {
    code: 'CONFIG_UNREADABLE',
    message: /none\.yml: cannot be read: ENOENT/,
  })
  test.throws(() => loadConfig([], {}), { code: 'USAGE' })
  test.equal(failure(test, ['- a\n- b\n']).code, 'CONFIG_UNREADABLE')
  test.equal(failure(test, ['a: !secret x\n']).code, 'CONFIG_UNREADABLE', 'unknown tags')
  test.match(failure(test, ['']).message, 'services: is missing')
  const laughs = ['a0: &a0 [x, x]']
  for (let n = 1; n < 40; n += 1) laughs.push(`a${n}: &a${n} [*a${n - 1}, *a${n - 1}]`)
  test.match(failure(test, [laughs.join('\n')]).message, 'aliased too deep')
})

void t.test('malformed placeholders', async (test) => {
  const { message } = failure(test, [minimal.replace('db.internal', '"${1st} ${open"')])
  test.match(message, 'source.host: ${1st} is no placeholder: write ${NAME}, or $$ for a single $')
  test.match(message, 'source.host: ${open is no placeholder')
})

void t.test('an empty variable counts as an empty value', async (test) => {
  const text = minimal.replace('host: db.internal', 'host: db.internal, password: ${P}')
  test.match(failure(test, [text], { P: '' }).message, 'services.orders.source.password: is empty')
})

void t.test('names of JavaScript are names like any other', async (test) => {
  const text = minimal.replace(
    'clientAuth: { mode: trust }',
    'users: { constructor: { verifier: y } }',
  )
  const { config } = load(test, [text])
  test.strictSame(Object.keys(config.services['orders']?.users ?? {}), ['constructor'])
  test.match(failure(test, ['__proto__: 1']).message, 'config0.yml:1: __proto__ is no name')
  const unknown = failure(test, [`${minimal}\nconstructor: 1\ntoString: 2`]).message
  test.match(unknown, 'constructor: unknown key')
  test.match(unknown, 'toString: unknown key')
})

function load(test: Test, texts: readonly string[], env: NodeJS.ProcessEnv = {}): LoadedConfig {
  return loadConfig(write(test, texts), env)
}

function failure(test: Test, texts: readonly string[], env: NodeJS.ProcessEnv = {}): ConfigError {
  try {
    load(test, texts, env)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}

/** One line for each mistake, with the folder of the files left out. */
function mistakesOf(test: Test, texts: readonly string[]): readonly string[] {
  const { message } = failure(test, texts)
  const lines = message.split('\n').filter((line) => !/^\d+ mistakes/.test(line))
  return lines.map((line) => line.trim().replace(/^.*\/(?=config\d\.yml)/, ''))
}

function write(test: Test, texts: readonly string[]): readonly string[] {
  const names = texts.map((_, index) => `config${index}.yml`)
  const folder = test.testdir(
    Object.fromEntries(names.map((name, index) => [name, texts[index] ?? ''])),
  )
  return names.map((name) => join(folder, name))
}
