/** A source that Sentinel manages: found through it, and followed through a failover. */
import tap from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startSentinelSet } from '../../support/redis-topologies.ts'
import { RespError } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

/** A Sentinel that was held up for 2 s does nothing for 30 s, and a vote may have to be held again. */
const electedMs = 120_000
const set = await startSentinelSet(1, { password: 'secret' })
tap.teardown(() => set.stop())
const [replica] = set.replicas
const nodes = [`127.0.0.1:1`, ...set.sentinels.map(({ port }) => `127.0.0.1:${port}`)]

await tap.test('trap: the primary is the one that Sentinel names', async (t) => {
  const pontoon = await startRedisPontoon({
    source: { host: 'orders.internal', port: 6379 },
    target: { port: 1 },
    pool: { holdMs: 20_000 },
    config: {
      source: {
        host: 'orders.internal',
        password: 'secret',
        sentinels: { set: set.name, nodes },
      },
    },
  })
  t.teardown(() => pontoon.stop())
  const wire = await pontoon.client()
  t.equal(await wire.call('SET', 'a', '1'), 'OK')
  t.equal(await set.primary.call('GET', 'a'), '1')
  await set.primary.call('WAIT', 1, 5_000)

  await set.primary.kill9()
  const written = async (): Promise<boolean> => {
    const answer = await wire.ask('SET', 'a', '2')
    if (answer instanceof RespError) t.match(answer.message, /Pontoon error|READONLY|LOADING/)
    return answer === 'OK'
  }
  await until(written, 'the new primary takes writes', electedMs)
  t.equal(await replica?.call('GET', 'a'), '2')
  wire.destroy()
})

await tap.test('a set that no Sentinel knows', async (t) => {
  const pontoon = await startRedisPontoon({
    source: { host: 'orders.internal', port: 6379 },
    target: { port: 1 },
    pool: { holdMs: 50, queueTimeoutMs: 1_000 },
    config: { source: { host: 'orders.internal', sentinels: { set: 'nosuch', nodes } } },
  })
  t.teardown(() => pontoon.stop())
  const wire = await pontoon.client()
  const answer = await wire.ask('GET', 'a')
  t.match(answer instanceof RespError ? answer.message : '', /^TRYAGAIN .*Pontoon error/)
  wire.destroy()
})
