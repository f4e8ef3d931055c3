/** A pause ends blocking commands also where nobody may UNBLOCK them. */
import tap from 'tap'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis, type RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand, itemsOf, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const modes = ['multiplexed', 'pinned'] as const

const limited = await startRedis({
  users: {
    app: 'on nopass ~* &* +@all -client|unblock',
    silent: 'on nopass ~* &* +@all -client -client|id',
    reader: 'on nopass ~* &* +@all -xrevrange',
  },
})
tap.teardown(() => limited.stop())

async function serve(
  test: { teardown(end: () => Promise<void>): void },
  mode: (typeof modes)[number],
  user: string,
): Promise<RedisPontoon> {
  const source = { host: limited.host, port: limited.port, user, password: 'any' }
  const pontoon = await startRedisPontoon({ source: limited, mode, config: { source } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function untilBlocked(count: number): Promise<void> {
  const isSo = async (): Promise<boolean> =>
    (await limited.info('blocked_clients')) === String(count)
  await until(isSo, `${count} block`)
}

for (const mode of modes) {
  for (const user of mode === 'pinned' ? ['app'] : ['app', 'silent'])
    await tap.test(`${mode}: user ${user} may not UNBLOCK: a pause drains`, async (t) => {
      const pontoon = await serve(t, mode, user)
      const requests = [
        ['BLPOP', 'list', '0'],
        ['BRPOP', 'list', '30'],
        ['BLMOVE', 'list', 'other', 'LEFT', 'RIGHT', '2.5'],
        ['BLMPOP', '0', '1', 'list', 'LEFT'],
        ['BZPOPMIN', 'zset', '0'],
        ['XREAD', 'BLOCK', '0', 'STREAMS', 'stream', '0'],
      ]
      const clients: RedisWire[] = []
      for (const words of requests) {
        const client = await pontoon.client()
        clients.push(client)
        client.send(...words)
        await untilBlocked(clients.length)
      }
      const report = await pontoon.service.pause(30_000, 5_000, 'a test')
      t.same(report.waitingFor, [])
      t.equal(await limited.info('blocked_clients'), '0')
      for (const item of ['1', '2', '3', '4']) await limited.call('RPUSH', 'list', item)
      await limited.call('ZADD', 'zset', '1', 'm')
      await limited.call('XADD', 'stream', '1-1', 'f', 'v')
      pontoon.service.resume()
      const replies = await Promise.all(clients.map((client) => client.value()))
      t.same(replies.slice(4), [['zset', 'm', '1'], [['stream', [['1-1', ['f', 'v']]]]]])
      const popped = replies.slice(0, 4).map((reply) => /[1-4]/.exec(JSON.stringify(reply))?.[0])
      t.same(new Set(popped), new Set(['1', '2', '3', '4']), 'each element once')
      for (const client of clients) client.destroy()
      await limited.call('FLUSHALL')
    })
}

await tap.test('a wait in short times lasts as long as it was asked for', async (t) => {
  const pontoon = await serve(t, 'multiplexed', 'app')
  const client = await pontoon.client()
  const monitor = await limited.connect()
  await monitor.call('MONITOR')
  const startedMs = performance.now()
  t.equal(await client.call('BLPOP', 'none', '1.2'), null)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs >= 1_200, `${tookMs} ms`)
  await limited.call('ECHO', 'all of it')
  await until(() => monitor.unread.includes('all of it'), 'the monitor has told it')
  const waits = [...monitor.unread.toString().matchAll(/"blpop" "none" "([\d.]+)"/gi)]
  const seconds = waits.reduce((sum, [, text]) => sum + Number(text), 0)
  t.ok(seconds < 1.25, `${seconds} s were asked for in ${waits.length} times`)
  monitor.destroy()
  const calls = (): number => {
    const { commands = [] } = pontoon.service.commands?.snapshot() ?? {}
    return commands.find(({ command }) => command === 'blpop')?.calls ?? 0
  }
  const before = calls()
  t.equal(await client.call('BLPOP', 'none', '1.2'), null)
  t.equal(calls() - before, 1, 'counted once')
  client.destroy()
})

await tap.test('what cannot be ended is named in the report of a pause', async (t) => {
  const pontoon = await serve(t, 'pinned', 'app')
  const client = await pontoon.client()
  client.send('XREAD', 'BLOCK', '0', 'STREAMS', 'stream', '$')
  await untilBlocked(1)
  const report = await pontoon.service.pause(30_000, 100, 'a test')
  t.equal(report.drained, false)
  t.same(
    report.waitingFor.map(({ work }) => work),
    ['xread'],
  )
  client.destroy()
})

await tap.test('who may not ask where a stream ends misses nothing of it', async (t) => {
  const pontoon = await serve(t, 'pinned', 'reader')
  const client = await pontoon.client()
  client.send('XREAD', 'BLOCK', '0', 'STREAMS', 'stream', '$')
  await untilBlocked(1)
  const report = await pontoon.service.pause(30_000, 1_500, 'a test')
  await limited.call('XADD', 'stream', '1-1', 'f', 'v')
  pontoon.service.resume()
  t.same(await client.value(), [['stream', [['1-1', ['f', 'v']]]]])
  t.same(
    report.waitingFor.map(({ work }) => work),
    ['xread'],
    'it is named instead',
  )
  await limited.call('DEL', 'stream')
  client.destroy()
})

await tap.test('whether a user may UNBLOCK is asked only where something may block', async (t) => {
  const refusals = async (): Promise<number> => itemsOf(await limited.call('ACL', 'LOG')).length
  await limited.call('ACL', 'LOG', 'RESET')
  const pontoon = await serve(t, 'multiplexed', 'app')
  const client = await pontoon.client()
  await client.call('SET', 'k', '1')
  t.equal(await refusals(), 0)
  t.equal(await client.call('BLPOP', 'none', '0.1'), null)
  t.equal(await refusals(), 1)
  client.destroy()
})

await tap.test('a null ahead of a wait in short times is for the client', async (t) => {
  const pontoon = await serve(t, 'pinned', 'app')
  const client = await pontoon.client()
  await client.call('PING')
  client.raw(Buffer.concat([encodeCommand('GET', 'none'), encodeCommand('BLPOP', 'list', '0')]))
  t.equal(await client.value(), null)
  await limited.call('RPUSH', 'list', 'one', 'two')
  t.same(await client.value(), ['list', 'one'])
  t.equal(await client.call('LLEN', 'list'), 1)
  await limited.call('DEL', 'list')
  client.destroy()
})

/** Keeps the server busy for a while, and pushes then. */
const latePush = `redis.log(redis.LOG_WARNING, 'a late push has begun')
  for i = 1, 3e5 do redis.sha1hex('x') end
  return redis.call('RPUSH', KEYS[1], string.rep('x', 300000))`

await tap.test('what comes ahead of being ended ends nothing else', async (t) => {
  const pontoon = await startRedisPontoon({ source: limited, mode: 'pinned' })
  t.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  client.send('BLPOP', 'late', '0')
  await untilBlocked(1)
  const pusher = await connectRedis({ port: limited.port })
  pusher.send('EVAL', latePush, '1', 'late')
  await until(() => limited.log().includes('a late push has begun'), 'the server is busy')
  // Sent now, and looked at when the element has been popped.
  const report = await pontoon.service.pause(30_000, 20_000, 'a test')
  t.equal(report.drained, true)
  t.equal(textOf(itemsOf(await client.value())[1]).length, 300_000)
  pontoon.service.resume()
  await limited.call('CONFIG', 'RESETSTAT')
  t.equal(await client.call('BLPOP', 'late', '0.3'), null)
  t.match(textOf(await limited.call('INFO', 'commandstats')), /cmdstat_blpop:calls=1,/)
  for (const one of [client, pusher]) one.destroy()
})

await tap.test('a client that logs in to its own server itself: a pause drains', async (t) => {
  const locked = await startRedis({ password: 'secret' })
  t.teardown(() => locked.stop())
  const config = { clientAuth: { mode: 'passthrough' } }
  const pontoon = await startRedisPontoon({ source: locked, mode: 'pinned', config })
  t.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('AUTH', 'secret')
  client.send('BLPOP', 'list', '0')
  await until(async () => (await locked.info('blocked_clients')) === '1', 'it blocks')
  const report = await pontoon.service.pause(30_000, 5_000, 'a test')
  t.same(report.waitingFor, [])
  await locked.call('RPUSH', 'list', 'one')
  pontoon.service.resume()
  t.same(await client.value(), ['list', 'one'])
  client.destroy()
})
