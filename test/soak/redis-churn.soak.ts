/** Half an hour of Redis clients that come and go (churn-run.ts). */
import tap from 'tap'
import { startRedisPontoon } from '../support/redis-pontoon.ts'
import { startRedis } from '../support/redis.ts'
import { textOf } from '../support/resp.ts'
import { churn, durationMs } from './churn-run.ts'

/** Shared and own servers that may rest in the pools of two databases and versions. */
const serversMax = 60

tap.setTimeout(durationMs + 300_000)
const redis = await startRedis()
const pool = { queueTimeoutMs: 60_000, queueMax: 1_000 }
const pontoon = await startRedisPontoon({ source: redis, pool })
tap.teardown(async () => {
  await pontoon.stop()
  await redis.stop()
})

/** All but the one that asks. */
async function serverSide(): Promise<number> {
  return (
    textOf(await redis.call('CLIENT', 'LIST'))
      .trim()
      .split('\n').length - 1
  )
}

await tap.test('churn', (t) =>
  churn(t, pontoon, { clients: 'redis-churn-clients.ts', serversMax, serverSide, lingering: 0 }),
)
