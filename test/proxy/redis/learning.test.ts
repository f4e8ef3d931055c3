/** What commands there are is asked of the primary, and asked again when it may be another server. */
import t from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const plain = await startRedis()
const renamed = await startRedis({ config: ['rename-command GETDEL ""'] })
t.teardown(() => Promise.all([plain.stop(), renamed.stop()]))

/** Whether GETDEL counts as a command that the primary does not have. */
async function isUnknown(pontoon: RedisPontoon, client: RedisWire): Promise<boolean> {
  const count = (): number =>
    pontoon.service.commands?.snapshot().commands.find(({ command }) => command === 'unknown')
      ?.calls ?? 0
  const before = count()
  await client.ask('GETDEL', 'n')
  await client.call('RESET')
  return count() > before
}

await t.test('a failover right after another is noticed too', async (test) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const first = await startRedis()
  test.teardown(() => first.stop())
  const pontoon = await startRedisPontoon({ source: first, clock })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('PING')
  await first.kill9()
  const second = await startRedis({ port: first.port, config: ['rename-command GETDEL ""'] })
  test.teardown(() => second.stop())
  await until(async () => (await client.ask('PING')) === 'PONG', 'it is back')
  test.equal(await isUnknown(pontoon, client), false, 'it was asked a moment ago')
  aheadMs = 60_000
  await until(() => isUnknown(pontoon, client), 'asked without any new connection')
  client.destroy()
})

await t.test('the new primary is asked when the route has moved', async (test) => {
  const pontoon = await startRedisPontoon({
    source: plain,
    target: renamed,
    route: { reads: 100 },
    config: { route: { readAfterWriteMs: 0 } },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await renamed.call('SET', 'here', 'target')
  await until(async () => (await client.call('GET', 'here')) === 'target', 'it is open')
  const { route } = pontoon.service
  pontoon.service.applyRoute({ ...route, epoch: 2, primary: 'target' })
  await until(() => isUnknown(pontoon, client), 'its commands are known')
  client.destroy()
})
