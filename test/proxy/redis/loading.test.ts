/**
 * Servers that say LOADING or CLUSTERDOWN: what they refused is carried out once when they can
 * again, within pool.holdMs; after it the client is told clearly.
 */
import tap from 'tap'
import { noticeLosses, startRedisCluster } from '../../support/redis-topologies.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis, type RedisWire } from '../../support/redis-wire.ts'
import { startRedis, type RedisServer } from '../../support/redis.ts'
import { RespError, textOf, type RespValue } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

/** Loading takes half a millisecond a key until it is hurried, and the server answers meanwhile. */
const slowToLoad = [
  'enable-debug-command yes',
  'key-load-delay 500',
  'loading-process-events-interval-bytes 1024',
]
const loadedKeys = 40_000
const quickMs = 300

type Test = Pick<typeof tap, 'teardown'>

async function serve(
  test: Test,
  options: Parameters<typeof startRedisPontoon>[0],
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon(options)
  test.teardown(() => pontoon.stop())
  return pontoon
}

const wordsOf = (value: RespValue): string =>
  value instanceof RespError ? value.message : textOf(value)

/** Its answer to a stranger. */
async function answerOf({ port }: RedisServer): Promise<string> {
  const wire = await connectRedis({ port })
  const answer = wordsOf(await wire.ask('PING'))
  wire.destroy()
  return answer
}

const untilLoading = (server: RedisServer): Promise<void> =>
  until(async () => (await answerOf(server).catch(() => '')).startsWith('LOADING'), 'it loads')

/** From now on it loads as fast as it can: whatever had to be seen before was seen. */
async function hurry({ port }: RedisServer): Promise<void> {
  const wire = await connectRedis({ port })
  await wire.call('CONFIG', 'SET', 'key-load-delay', 0)
  wire.destroy()
}

/** Sends `count` INCRs in one go, and gives what is answered. */
async function increments(client: RedisWire, key: string, count: number): Promise<RespValue[]> {
  for (let index = 0; index < count; index += 1) client.send('INCR', key)
  return Promise.all(Array.from({ length: count }, () => client.value()))
}

await tap.test('a server that restarts with a large RDB', async (t) => {
  const redis = await startRedis({ config: slowToLoad })
  t.teardown(() => redis.stop())
  const patient = await serve(t, {
    source: redis,
    pool: { holdMs: 20_000, queueTimeoutMs: 30_000 },
  })
  const pinned = await serve(t, { source: redis, mode: 'pinned', pool: { holdMs: 20_000 } })
  const quick = await serve(t, { source: redis, pool: { holdMs: quickMs } })
  const [client, hasty] = [await patient.client(), await quick.client()]
  t.same(await increments(client, 'counter', 3), [1, 2, 3])
  await hasty.call('PING')
  await redis.call('DEBUG', 'POPULATE', loadedKeys)
  await redis.call('SAVE')
  await redis.kill9()
  const isBack = redis.start()
  await untilLoading(redis)
  const fresh = await pinned.client()
  t.match(wordsOf(await fresh.ask('INCR', 'other')), /^LOADING/, 'pinned: as without Pontoon')
  const waiting = increments(client, 'counter', 3)
  const begunMs = performance.now()
  t.match(wordsOf(await hasty.ask('INCR', 'counter')), /^LOADING/)
  t.ok(performance.now() - begunMs >= quickMs, 'not before its time is over')
  await hurry(redis)
  t.same(await waiting, [4, 5, 6])
  await isBack
  t.equal(await hasty.ask('INCR', 'counter'), 7, 'what was refused was not carried out')
  for (const one of [client, hasty, fresh]) one.destroy()
})

await tap.test('a server that loads while connections last', async (t) => {
  const redis = await startRedis({ config: slowToLoad })
  t.teardown(() => redis.stop())
  const pontoon = await serve(t, { source: redis, pool: { holdMs: 20_000, size: 1 } })
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.call('SET', 'counter', 0)
  await redis.call('DEBUG', 'POPULATE', loadedKeys)
  const reloaded = redis.call('DEBUG', 'RELOAD')
  await untilLoading(redis)
  const [refused] = await increments(client, 'counter', 1)
  t.match(wordsOf(refused ?? ''), /^LOADING/, 'the first one learns it')
  const waiting = increments(client, 'counter', 3)
  await until(() => pontoon.service.snapshot().clients.waiting > 0, 'then they wait for it')
  await hurry(redis)
  t.same(await waiting, [1, 2, 3])
  t.equal(await other.ask('INCR', 'counter'), 4)
  await reloaded
  for (const one of [client, other]) one.destroy()
})

await tap.test('a cluster', async (t) => {
  // 'everysec', the default, keeps back what was answered while the disk is slow: kill -9 loses it.
  const config = [...slowToLoad, 'appendonly yes', 'appendfsync no']
  const cluster = await startRedisCluster({ config }, 0)
  t.teardown(() => cluster.stop())
  const [lost, seed] = cluster.primaries
  if (seed === undefined || lost === undefined) throw new Error('no cluster')
  const side = { cluster: true, host: seed.host, port: seed.port }
  const serveFor = (holdMs: number): Promise<RedisPontoon> =>
    serve(t, { source: seed, config: { source: side }, pool: { holdMs } })
  const [patient, quick, late] = await Promise.all([20_000, quickMs, quickMs].map(serveFor))
  if (patient === undefined || quick === undefined || late === undefined) throw new Error('none')
  const keys = await Promise.all(cluster.primaries.map(keyOf))
  const clients = await Promise.all(keys.map(() => patient.client({ replyMs: 30_000 })))
  const hasty = await quick.client()
  const counted = async (): Promise<RespValue[][]> =>
    Promise.all(clients.map((client, index) => increments(client, keys[index] ?? '', 5)))
  const [lostKey = '', aliveKey = ''] = keys

  await t.test('a node that loads', async (test) => {
    const rounds = await counted()
    test.same(
      rounds,
      keys.map(() => [1, 2, 3, 4, 5]),
    )
    await lost.call('DEBUG', 'POPULATE', loadedKeys)
    const reloaded = lost.call('DEBUG', 'RELOAD')
    await untilLoading(lost)
    const waiting = counted()
    test.match(wordsOf(await hasty.ask('INCR', lostKey)), /LOADING/)
    await hurry(lost)
    test.same(
      await waiting,
      keys.map(() => [6, 7, 8, 9, 10]),
    )
    await reloaded
  })

  await t.test('a primary without a replica is lost, and comes back', async (test) => {
    await noticeLosses(cluster, 500)
    await lost.kill9()
    const isDown = async (): Promise<boolean> =>
      wordsOf(await seed.call('CLUSTER', 'INFO')).includes('cluster_state:fail')
    await until(isDown, 'the cluster is down')
    const waiting = counted()
    const begunMs = performance.now()
    test.match(wordsOf(await hasty.ask('INCR', aliveKey)), /^CLUSTERDOWN/)
    test.ok(performance.now() - begunMs >= quickMs, 'not before its time is over')
    test.match(wordsOf(await hasty.ask('INCR', lostKey)), /^TRYAGAIN .*CONNECT_FAILED/)
    const stranger = await late.client()
    for (const one of [hasty, stranger])
      test.equal(await one.ask('PING'), 'PONG', 'any other node will do')
    test.match(wordsOf(await stranger.ask('INCR', aliveKey)), /^CLUSTERDOWN/)
    stranger.destroy()
    await lost.start()
    test.same(
      await waiting,
      keys.map(() => [11, 12, 13, 14, 15]),
    )
    for (const key of keys) test.equal(await hasty.ask('INCR', key), 16)
  })
  for (const one of [...clients, hasty]) one.destroy()
})

/** One that the node serves. */
async function keyOf(node: RedisServer): Promise<string> {
  for (let count = 0; ; count += 1) {
    const answer = await node.call('GET', `k${count}`).catch(() => 'elsewhere')
    if (answer === null) return `k${count}`
  }
}
