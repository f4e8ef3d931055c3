/** Unchanged client libraries work through Pontoon, in both pool modes, as they do without it. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { RedisStore } from 'connect-redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import tap from 'tap'
import type { Test } from 'tap'
import { debianPython, ensureTools } from '../../../scripts/lib/requirements.ts'
import { startRedis } from '../../support/redis.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisPontoon } from '../../support/redis-pontoon.ts'
import { until } from '../../support/until.ts'

await ensureTools(['redis-server', 'redis-cli', 'python3', 'redis-py'])
const run = promisify(execFile)
const server = await startRedis()
tap.teardown(() => server.stop())

async function eachMode(
  name: string,
  use: (t: Test, pontoon: RedisPontoon) => Promise<void>,
): Promise<void> {
  for (const mode of ['pinned', 'multiplexed'] as const) {
    await tap.test(`${name}, ${mode}`, async (t) => {
      await server.call('FLUSHALL')
      const pontoon = await startRedisPontoon({ source: server, mode })
      t.teardown(() => pontoon.stop())
      await use(t, pontoon)
      await until(() => pontoon.service.clients(100).length === 0, 'all clients have left')
      await until(() => pontoon.ownServers() === 0, 'no server is anybody’s own')
    })
  }
}

await eachMode('ioredis', async (t, pontoon) => {
  const redis = new Redis(pontoon.port, { db: 2, connectionName: 'app', keyPrefix: 'app:' })
  t.equal(await redis.set('a', '1'), 'OK')
  t.same(await redis.pipeline().incr('a').get('a').exec(), [
    [null, 2],
    [null, '2'],
  ])
  t.same(await redis.multi().set('b', 'x').get('b').exec(), [
    [null, 'OK'],
    [null, 'x'],
  ])
  await t.rejects(redis.lpush('a', 'x'), /^WRONGTYPE/)
  redis.defineCommand('addto', {
    numberOfKeys: 1,
    lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  })
  const added: unknown = await Reflect.apply(Reflect.get(redis, 'addto'), redis, ['a', 5])
  t.equal(added, 7)
  t.equal(await redis.client('GETNAME'), 'app')
  await redis.hset('h', { one: 1, two: 2 })
  t.same(await redis.hgetall('h'), { one: '1', two: '2' })
  const bytes = Buffer.from([0, 255, 13, 10])
  await redis.set('bin', bytes)
  t.ok((await redis.getBuffer('bin'))?.equals(bytes))

  const subscriber = redis.duplicate()
  const heard = new Promise<string>((resolve) => {
    subscriber.on('message', (_, message: string) => resolve(message))
  })
  await subscriber.subscribe('news')
  await redis.publish('news', 'hello')
  t.equal(await heard, 'hello')
  await subscriber.unsubscribe('news')
  t.equal(await subscriber.get('a'), '7', 'an ordinary connection again')

  const blocked = redis.duplicate()
  const popped = blocked.blpop('queue', 10)
  await redis.rpush('queue', 'job')
  t.same(await popped, ['app:queue', 'job'])
  const found: string[] = []
  for await (const keys of redis.scanStream())
    found.push(...(Array.isArray(keys) ? keys.map(String) : []))
  t.equal(found.length, 4)
  for (const client of [redis, subscriber, blocked]) client.disconnect()
})

for (const RESP of [2, 3] as const) {
  await eachMode(`node-redis, RESP${RESP}`, async (t, pontoon) => {
    const url = `redis://127.0.0.1:${pontoon.port}/1`
    const client = createClient({ url, RESP, name: 'app' })
    await client.connect()
    t.equal(await client.set('a', '1', { expiration: { type: 'EX', value: 100 } }), 'OK')
    t.same(await client.multi().incr('a').get('a').exec(), [2, '2'])
    await client.zAdd('z', [{ score: 1.5, value: 'x' }])
    t.equal(await client.zScore('z', 'x'), 1.5)
    await client.hSet('h', { one: '1', two: '2' })
    t.same({ ...(await client.hGetAll('h')) }, { one: '1', two: '2' })
    t.equal(await client.get('nothing'), null)
    await t.rejects(client.lPush('a', 'x'), /WRONGTYPE/)
    const all = await Promise.all(
      Array.from({ length: 200 }, (_, index) => client.incrBy('n', index)),
    )
    t.equal(all.at(-1), 19_900)
    const subscriber = client.duplicate()
    await subscriber.connect()
    const heard = new Promise<string>((resolve) => {
      subscriber
        .subscribe('news', (message) => resolve(message))
        .then(
          () => client.publish('news', 'hello'),
          () => undefined,
        )
    })
    t.equal(await heard, 'hello')
    await client.xAdd('s', '*', { field: 'value' })
    await client.xGroupCreate('s', 'g', '0')
    const read = await client.xReadGroup('g', 'c', { key: 's', id: '>' }, { COUNT: 1 })
    t.match(JSON.stringify(read), /"field":"value"/)
    const blocked = client.duplicate()
    await blocked.connect()
    const popped = blocked.blPop('queue', 10)
    await client.rPush('queue', 'job')
    t.match(await popped, { key: 'queue', element: 'job' })
    for (const one of [client, subscriber, blocked]) one.destroy()
  })
}

await eachMode('redis-py', async (t, pontoon) => {
  const program = join(import.meta.dirname, 'redis-py.py')
  const { stdout } = await run(debianPython, [program, String(pontoon.port)])
  t.equal(stdout, 'ok\n')
})

await eachMode('redis-cli', async (t, pontoon) => {
  const cli = async (...args: string[]): Promise<string> =>
    (await run('redis-cli', ['-p', String(pontoon.port), ...args])).stdout
  t.equal(await cli('SET', 'a', '1'), 'OK\n')
  t.equal(await cli('-n', '3', 'SET', 'a', 'three'), 'OK\n')
  t.equal(await cli('-n', '3', 'GET', 'a'), 'three\n')
  t.equal(await cli('-3', '--json', 'HGETALL', 'nothing'), '{}\n')
  t.equal(await cli('-r', '3', 'INCR', 'a'), '2\n3\n4\n')
  t.equal(await cli('--scan'), 'a\n')
  t.match(await cli('--bigkeys'), /Biggest string found/)
  t.match(await cli('INFO', 'server'), /redis_version/)
  t.equal(await cli('EVAL', 'return KEYS[1]', '1', 'k'), 'k\n')
})

await eachMode('BullMQ', async (t, pontoon) => {
  const connection = { host: '127.0.0.1', port: pontoon.port, maxRetriesPerRequest: null }
  const queue = new Queue('orders', { connection })
  const events = new QueueEvents('orders', { connection })
  const attempts = new Map<string, number>()
  const worker = new Worker<{ number: number }, number>(
    'orders',
    (job) => {
      const tries = (attempts.get(String(job.id)) ?? 0) + 1
      attempts.set(String(job.id), tries)
      if (job.data.number % 10 === 0 && tries === 1) throw new Error('try again')
      return Promise.resolve(job.data.number * 2)
    },
    { connection, concurrency: 5 },
  )
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()])
  const jobs = await queue.addBulk(
    Array.from({ length: 60 }, (_, number) => ({
      name: 'order',
      data: { number },
      opts: { attempts: 3, ...(number % 7 === 0 ? { delay: 100 } : {}) },
    })),
  )
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30_000)))
  t.same(
    results,
    Array.from({ length: 60 }, (_, number) => number * 2),
  )
  t.equal(attempts.get(String(jobs[10]?.id)), 2, 'a failed job was tried again')
  t.match(await queue.getJobCounts('completed', 'failed', 'wait'), { completed: 60, failed: 0 })
  await Promise.all([worker.close(), events.close()])
  await queue.obliterate({ force: true })
  await queue.close()
})

await eachMode('a session store (connect-redis)', async (t, pontoon) => {
  const client = createClient({ url: `redis://127.0.0.1:${pontoon.port}` })
  await client.connect()
  const store = new RedisStore({ client, ttl: 60 })
  const session = { cookie: { originalMaxAge: 1_000 }, user: 'ann', basket: ['a', 'b'] }
  await Promise.all(Array.from({ length: 20 }, (_, id) => store.set(`s${id}`, { ...session, id })))
  t.match(await store.get('s7'), { user: 'ann', id: 7 })
  await store.touch('s7', session)
  await store.destroy('s8')
  t.notOk(await store.get('s8'))
  t.equal(await store.length(), 19)
  await store.clear()
  t.equal(await store.length(), 0)
  client.destroy()
})
