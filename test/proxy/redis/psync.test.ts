/** A replica that follows its primary through Pontoon: PSYNC turns a connection into a stream. */
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { untilLinked } from '../../support/redis-topologies.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const primary = await startRedis({ config: ['repl-diskless-sync-delay 0'] })
t.teardown(() => primary.stop())

for (const mode of ['pinned', 'multiplexed'] as const)
  await t.test(`${mode}: a replica follows through Pontoon`, async (test) => {
    const pontoon = await startRedisPontoon({ source: primary, mode })
    test.teardown(() => pontoon.stop())
    await primary.call('SET', 'before', mode)
    const replica = await startRedis({
      config: [`replicaof 127.0.0.1 ${pontoon.port}`, 'repl-diskless-sync-delay 0'],
    })
    test.teardown(() => replica.stop())
    await untilLinked(replica)
    test.equal(await replica.call('GET', 'before'), mode)
    const client = await pontoon.client()
    const value = 'x'.repeat(1_000_000)
    await client.call('SET', 'after', value)
    test.equal(await client.call('WAIT', 1, 5_000), 1, 'it acknowledges what it has applied')
    await until(async () => (await replica.call('GET', 'after')) === value, 'it has come')
    client.destroy()
  })
