/** Tokens of ElastiCache, signed by the real SDK code; nothing is sent. */
import tap from 'tap'
import { awsCalls } from '../../../src/net/secrets/aws.ts'
import { regionOfCacheHost } from '../../../src/net/secrets/elasticache-token.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'

process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE'
process.env['AWS_SECRET_ACCESS_KEY'] = 'example-secret-key'
process.env['AWS_SESSION_TOKEN'] = 'session+/='

await tap.test('a token names cache, user and service, and ends after 15 minutes', async (t) => {
  for (const isServerless of [false, true]) {
    const request = { cacheName: 'orders', user: 'app', region: 'eu-west-1', isServerless }
    const token = await awsCalls.signCacheToken(request)
    const { host, pathname, searchParams } = new URL(`http://${token}`)
    t.equal(host, 'orders')
    t.equal(pathname, '/')
    t.equal(searchParams.get('Action'), 'connect')
    t.equal(searchParams.get('User'), 'app')
    t.equal(searchParams.get('ResourceType'), isServerless ? 'ServerlessCache' : null)
    t.equal(searchParams.get('X-Amz-Expires'), '900')
    t.equal(searchParams.get('X-Amz-Security-Token'), 'session+/=')
    t.match(searchParams.get('X-Amz-Credential'), /eu-west-1\/elasticache\/aws4_request$/)
    t.match(searchParams.get('X-Amz-Signature'), /^[0-9a-f]{64}$/)
  }
})

await tap.test('regions stand in short form in names of caches', async (t) => {
  t.equal(regionOfCacheHost('master.orders.abc123.euw1.cache.amazonaws.com'), 'eu-west-1')
  t.equal(regionOfCacheHost('clustercfg.x.abc.apne1.cache.amazonaws.com'), 'ap-northeast-1')
  t.equal(regionOfCacheHost('x.abc.use1.cache.amazonaws.com'), 'us-east-1')
  t.equal(regionOfCacheHost('cache.internal'), undefined)
})

await tap.test('one source per cache and user; without a region it says so', async (t) => {
  const secrets = new Secrets({ clock: systemClock, log: silentLog })
  const auth = { mode: 'elasticache-iam', cache: 'orders', serverless: false } as const
  const target = { host: 'x.abc.use1.cache.amazonaws.com', port: 6379, user: 'app' }
  const source = secrets.ofCache(auth, target)
  t.equal(source, secrets.ofCache(auth, { ...target, port: 1 }))
  t.match(await source.get(), /^orders\/\?Action=connect&User=app&/)
  const lost = secrets.ofCache(auth, { ...target, host: 'elsewhere' })
  await t.rejects(lost.get(), { code: 'SECRET_UNAVAILABLE', message: /set auth\.region/ })
})
