/**
 * A storm of subscribers (fixtures/redis-subscriber-storm.ts, churn-run.ts). A minute of it is
 * thousands: PONTOON_SOAK_SECONDS=60.
 */
import tap from 'tap'
import { startRedisPontoon } from '../support/redis-pontoon.ts'
import { startRedis } from '../support/redis.ts'
import { textOf } from '../support/resp.ts'
import { churn, durationMs } from './churn-run.ts'

/** As many own servers as a storm has had at once rest in the pools of both versions. */
const serversMax = 1_000

tap.setTimeout(durationMs + 300_000)
const redis = await startRedis()
const pool = { queueTimeoutMs: 60_000 }
const pontoon = await startRedisPontoon({ source: redis, pool })
tap.teardown(async () => {
  await pontoon.stop()
  await redis.stop()
})

/** All but the one that asks. */
async function serverSide(): Promise<number> {
  const list = textOf(await redis.call('CLIENT', 'LIST'))
  return list.trim().split('\n').length - 1
}

const clients = 'redis-subscriber-storm.ts'
await tap.test('a storm of subscribers', async (t) => {
  await churn(t, pontoon, { clients, serversMax, serverSide, lingering: 0 })
  t.same(await redis.call('PUBSUB', 'CHANNELS'), [], 'nobody listens any more')
  t.equal(await redis.call('PUBSUB', 'NUMPAT'), 0)
})
