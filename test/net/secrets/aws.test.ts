/** The real SDK: signing without a network, and GetSecretValue against a local server. */
import t from 'tap'
import { awsCalls, passwordIn, regionOfArn, regionOfHost } from '../../../src/net/secrets/aws.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { MockSecretsManager } from '../../support/mock-secrets-manager.ts'

process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE'
process.env['AWS_SECRET_ACCESS_KEY'] = 'example-secret-key'
process.env['AWS_SESSION_TOKEN'] = 'session'.repeat(100)
const arn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf'

void t.test('signs a token for the host, port and user', async (test) => {
  const host = 'orders.abc123.eu-central-1.rds.amazonaws.com'
  const request = { host, port: 5433, user: 'app', region: regionOfHost(host) }
  const token = await awsCalls.signToken(request)
  const url = new URL(`https://${token}`)
  test.equal(url.host, `${host}:5433`)
  test.equal(url.searchParams.get('Action'), 'connect')
  test.equal(url.searchParams.get('DBUser'), 'app')
  test.equal(url.searchParams.get('X-Amz-Expires'), '900')
  test.match(url.searchParams.get('X-Amz-Credential'), /eu-central-1\/rds-db\/aws4_request$/)
  test.match(url.searchParams.get('X-Amz-Signature'), /^[0-9a-f]{64}$/)
  test.ok(token.length > 1_000, `a token of a session is long: ${token.length} bytes`)
})

void t.test('regions stand in names', async (test) => {
  test.equal(regionOfHost('db.abc.eu-west-1.rds.amazonaws.com'), 'eu-west-1')
  test.equal(regionOfHost('db.cluster-ro-abc.us-gov-east-1.rds.amazonaws.com.'), 'us-gov-east-1')
  test.equal(regionOfHost('db.abc.cn-north-1.rds.amazonaws.com.cn'), 'cn-north-1')
  test.equal(regionOfHost('db.internal'), undefined)
  test.equal(regionOfHost('db.abc.eu-west-1.rds.amazonaws.com.evil.example'), undefined)
  test.equal(regionOfArn(arn), 'eu-west-1')
  test.equal(regionOfArn('orders'), undefined)
})

void t.test('takes the password out of a secret', async (test) => {
  test.equal(at('plain'), 'plain')
  test.equal(at('{"username":"app","password":"p"}'), 'p')
  test.equal(at('{"a":"b"}', 'a'), 'b')
  test.equal(at('{not json'), '{not json')
  const wrong = [['{"a":"secret-b"}'], ['{"password":1}'], ['secret-plain', 'a']] as const
  for (const [text, key] of wrong) {
    test.throws(() => at(text, key), {
      code: 'SECRET_UNAVAILABLE',
      message: /^secret orders has no text under (?:password|a)$/,
    })
  }
})

function at(text: string, key?: string): string {
  const which = key === undefined ? {} : { key }
  return passwordIn(text, { secretsManager: 'orders', refreshMs: 1, ...which })
}

void t.test('fetches, shares, and tells what is wrong', async (test) => {
  const manager = await new MockSecretsManager().start()
  test.teardown(() => manager.stop())
  manager.stages.set('AWSCURRENT', '{"username":"app","password":"first"}')
  const secrets = new Secrets({ clock: systemClock, log: silentLog })
  const config = { secretsManager: arn, endpoint: manager.endpoint, refreshMs: 60_000 }
  const target = { host: 'db', port: 5432, user: 'app' }
  const source = secrets.of({ password: config }, target)
  test.equal(
    source,
    secrets.of({ password: { ...config } }, { ...target, user: 'web' }),
    'one source',
  )
  if (source === undefined || typeof source === 'string') throw new Error('no source')
  test.equal(await source.get(), 'first')
  test.same(manager.requests, [{ id: arn, stage: 'AWSCURRENT' }])
  manager.stages.set('AWSPENDING', '{"username":"app","password":"second"}')
  test.equal(await source.renew('first'), 'second', 'the rotation has set it on the server already')
  manager.failure = 'AccessDeniedException'
  const denied = secrets.of({ password: { ...config, key: 'other' } }, target)
  if (denied === undefined || typeof denied === 'string') throw new Error('no source')
  await test.rejects(denied.get(), {
    code: 'SECRET_UNAVAILABLE',
    message: /secret arn:.* cannot be had: AccessDeniedException/,
  })
})
