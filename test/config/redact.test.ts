import t from 'tap'
import { redactConfig, redactUrl } from '../../src/config/redact.ts'
import { fullConfig } from './full-config.ts'

void t.test('no secret of a full configuration survives', async (test) => {
  const { config, secrets } = fullConfig()
  const before = JSON.stringify(config)
  const printed = JSON.stringify(redactConfig(config))
  test.ok(secrets.length >= 12, `the configuration has ${secrets.length} secrets`)
  for (const secret of secrets) {
    test.match(before, secret, 'the secret is in the configuration')
    test.notMatch(printed, secret)
  }
  test.notMatch(printed, 'secret-')
  test.match(printed, '"verifier":"***"')
  test.match(printed, 'text-of-host', 'the rest is still there')
  test.equal(JSON.stringify(config), before, 'the configuration itself is as before')
})

void t.test('a value that the schema does not know counts as a secret', async (test) => {
  const { config } = fullConfig()
  const odd = Object.assign(config, { apiKey: 'secret-x' })
  test.notMatch(JSON.stringify(redactConfig(odd)), 'secret-x')
})

void t.test('hides the password of a URL', async (test) => {
  const cases: readonly (readonly [string, string])[] = [
    ['postgres://app:pw@db:5432/orders?x=1', 'postgres://app:***@db:5432/orders?x=1'],
    ['postgres://app@db/orders', 'postgres://app@db/orders'],
    ['postgres://app:a:b%40@c@db/orders', 'postgres://app:***@db/orders'],
    ['postgresql:///o?user=a&password=pw&x=1', 'postgresql:///o?user=a&password=***&x=1'],
    ['redis://:pw@cache:6379/0', 'redis://:***@cache:6379/0'],
    ['rediss://default:pw@[::1]:6379', 'rediss://default:***@[::1]:6379'],
    ['postgres://app:p w@h1:1,h2:2/db', 'postgres://app:***@h1:1,h2:2/db'],
    ['postgres://app:p/w@h@db/orders', 'postgres://app:***@db/orders'],
    ['postgres://app:p?w#@db/orders', 'postgres://app:***@db/orders'],
    [
      'postgres://db:5432/orders?application_name=x',
      'postgres://db:5432/orders?application_name=x',
    ],
    ['no url at all', 'no url at all'],
  ]
  for (const [url, expected] of cases) test.equal(redactUrl(url), expected)
})
