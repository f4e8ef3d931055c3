/** Logins with tokens that end: a server that a client keeps for itself logs in again. */
import tap from 'tap'
import { awsCalls } from '../../../src/net/secrets/aws.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import { createRedisService } from '../../../src/proxy/redis/service.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { RedisPontoon, redisServiceConfig } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const hourMs = 3_600_000
const server = await startRedis({ users: { app: 'on nopass ~* &* +@all' } })
tap.teardown(() => server.stop())
let aheadMs = 0
let tokens = 0
const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }

await tap.test('trap: IAM logs in again before 12 hours, never inside MULTI', async (t) => {
  const auth = { mode: 'elasticache-iam', cache: 'orders', region: 'eu-west-1' }
  const signCacheToken = (): Promise<string> => Promise.resolve(`token-${(tokens += 1)}`)
  const service = createRedisService({
    name: 'cache',
    config: redisServiceConfig({
      source: server,
      target: { port: 1 },
      mode: 'pinned',
      config: { source: { host: server.host, port: server.port, user: 'app', auth } },
    }),
    route: { epoch: 1, phase: 'self-hosted', primary: 'source', reads: 0, mirror: 0, dualWrite: 0 },
    clock,
    log: silentLog,
    secrets: new Secrets({ clock, log: silentLog, aws: { ...awsCalls, signCacheToken } }),
  })
  await service.listen()
  const pontoon = new RedisPontoon(service)
  t.teardown(() => pontoon.stop())
  const wire = await pontoon.client()
  t.equal(await wire.call('ACL', 'WHOAMI'), 'app')
  const logins = await authCalls()

  aheadMs += 10 * hourMs
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  t.equal(await authCalls(), logins, 'not yet')
  await wire.call('MULTI')
  await wire.call('SET', 'a', '1')
  aheadMs += 1.5 * hourMs
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  t.equal(await authCalls(), logins, 'not inside MULTI')
  t.same(await wire.call('EXEC'), ['OK'])
  aheadMs += 120_000
  await until(async () => (await authCalls()) === logins + 1, 'logged in again')
  t.ok(tokens >= 2, 'with a new token')
  for (let index = 0; index < 20; index += 1) wire.send('ECHO', String(index))
  for (let index = 0; index < 20; index += 1) t.equal(await wire.value(), String(index))
  t.equal(await wire.call('GET', 'a'), '1')
  wire.destroy()
})

async function authCalls(): Promise<number> {
  return Number(/calls=(\d+)/.exec((await server.info('cmdstat_auth')) ?? '')?.[1] ?? 0)
}
