/** The name of a side leads elsewhere after a failover: its servers follow. */
import type { LookupFunction } from 'node:net'
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({ config: ['bind 127.0.0.1 127.0.0.2'] })
t.teardown(() => redis.stop())

await t.test('servers at an address that is gone are left at their next rest', async (test) => {
  let address = '127.0.0.1'
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all === true) done(null, [{ address, family: 4 }])
    else done(null, address, 4)
  }
  const pontoon = await startRedisPontoon({
    source: { host: 'cache.example', port: redis.port },
    target: { port: 1 },
    lookup,
    pool: { dnsIntervalMs: 200 },
  })
  test.teardown(() => pontoon.stop())
  const [client, holder] = [await pontoon.client(), await pontoon.client()]
  /** Where the servers of Pontoon came in; the test's own is left out. */
  const places = async (): Promise<string[]> => {
    const lines = textOf(await redis.call('CLIENT', 'LIST')).split('\n')
    return lines
      .filter((line) => /cmd=(?:ping|multi|get)/.test(line))
      .map((line) => /laddr=([\d.]+)/.exec(line)?.[1] ?? '')
      .toSorted((a, b) => a.localeCompare(b))
  }
  await client.call('PING')
  await holder.call('MULTI')
  test.same(await places(), ['127.0.0.1', '127.0.0.1'])
  address = '127.0.0.2'
  const hasMoved = async (): Promise<boolean> => {
    await client.call('PING')
    return (await places()).join() === '127.0.0.1,127.0.0.2'
  }
  await until(hasMoved, 'shared servers have moved, the transaction has not')
  await holder.call('GET', 'k')
  test.same(await holder.call('EXEC'), [null])
  await holder.call('MULTI')
  await until(async () => (await places()).join() === '127.0.0.2,127.0.0.2', 'all have moved')
  for (const one of [client, holder]) one.destroy()
})
