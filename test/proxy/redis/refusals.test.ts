/** What the server refuses, or never answers, leaves neither client nor server in a wrong state. */
import t from 'tap'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, RespPush, type RespValue } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({
  users: {
    lean: 'on >lean ~* &news -@all +subscribe +echo +select +get +ping|x',
    unary: 'on >unary ~* +@all -multi',
  },
})
t.teardown(() => redis.stop())

const modes = ['multiplexed', 'pinned'] as const

async function serve(
  test: { teardown(end: () => Promise<void>): void },
  options: Partial<Parameters<typeof startRedisPontoon>[0]> = {},
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon({ source: redis, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

function words(value: RespValue): string {
  return value instanceof RespError ? value.message : `no error: ${JSON.stringify(value)}`
}

for (const mode of modes) {
  await t.test(`${mode}: a refused SUBSCRIBE of RESP3 shifts no reply`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    await client.call('HELLO', 3)
    client.send('SUBSCRIBE')
    client.send('ECHO', 'on')
    test.match(words(await client.value()), /wrong number of arguments/)
    test.equal(await client.value(), 'on')
    client.send('SUBSCRIBE', 'one', 'two')
    client.send('SUBSCRIBE')
    client.send('SELECT', '3')
    client.send('ECHO', 'behind')
    client.send('UNSUBSCRIBE')
    client.send('MULTI')
    client.send('UNSUBSCRIBE', 'none')
    client.send('DISCARD')
    test.same(await client.value(), new RespPush(['subscribe', 'one', 1]))
    test.same(await client.value(), new RespPush(['subscribe', 'two', 2]))
    test.match(words(await client.value()), /wrong number of arguments/)
    test.equal(await client.value(), 'OK')
    test.equal(await client.value(), 'behind')
    const left = [await client.value(), await client.value()]
    test.ok(left.every((push) => push instanceof RespPush && push.items[0] === 'unsubscribe'))
    for (const expected of ['OK', 'QUEUED', 'OK']) test.equal(await client.value(), expected)
    client.destroy()
  })
}

await t.test('a SUBSCRIBE that an ACL refuses is answered as that', async (test) => {
  const side = { host: redis.host, port: redis.port, user: 'lean', password: 'lean' }
  const pontoon = await serve(test, { config: { source: side } })
  const client = await pontoon.client()
  await client.call('HELLO', 3)
  client.send('SUBSCRIBE', 'secret')
  client.send('ECHO', 'on')
  client.send('SUBSCRIBE', 'news')
  client.send('ECHO', 'off')
  test.match(words(await client.value()), /^NOPERM/)
  test.equal(await client.value(), 'on')
  test.same(await client.value(), new RespPush(['subscribe', 'news', 1]))
  test.equal(await client.value(), 'off')
  await redis.call('PUBLISH', 'news', 'heard')
  test.same(await client.value(), new RespPush(['message', 'news', 'heard']))
  client.destroy()
})

for (const mode of modes) {
  await t.test(`${mode}: a refused MULTI lets nobody past the gate`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    test.match(words(await client.ask('MULTI', 'x')), /wrong number of arguments/)
    const report = await pontoon.service.pause(30_000, 5_000, 'a test')
    test.equal(report.drained, true)
    client.send('INCR', `gate ${mode}`)
    await until(() => pontoon.service.snapshot().clients.parked === 1, 'it is parked')
    test.equal(await redis.call('EXISTS', `gate ${mode}`), 0)
    pontoon.service.resume()
    test.equal(await client.value(), 1)
    client.destroy()
  })

  await t.test(`${mode}: a refused DISCARD leaves its transaction open`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    await client.call('MULTI')
    test.match(words(await client.ask('DISCARD', 'x')), /wrong number of arguments/)
    const report = await pontoon.service.pause(30_000, 50, 'a test')
    test.equal(report.drained, false)
    test.equal(await client.call('DISCARD'), 'OK')
    test.equal((await pontoon.service.pause(30_000, 5_000, 'a test')).drained, true)
    client.destroy()
  })

  await t.test(`${mode}: a client that leaves in a WAIT without end is gone`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    client.send('WAIT', '1', '0')
    await until(async () => (await redis.info('blocked_clients')) === '1', 'it waits')
    client.socket.end()
    await until(() => pontoon.ownServers() === 0, 'its server is free')
    await until(async () => (await redis.info('blocked_clients')) === '0', 'nobody waits')
    await client.untilClosed()
  })

  await t.test(`${mode}: behind a refused MULTI nothing blocks for who has left`, async (test) => {
    const side = { host: redis.host, port: redis.port, user: 'unary', password: 'unary' }
    const all = await serve(test, { mode })
    const unary = await serve(test, { mode, config: { source: side } })
    const isBlocked = (count: number) => async (): Promise<boolean> =>
      (await redis.info('blocked_clients')) === String(count)
    for (const [pontoon, multi] of [[all, 'MULTI x'] as const, [unary, 'MULTI'] as const])
      for (const when of ['at once', 'later'])
        for (const lines of [
          [multi, 'BLPOP left 0'],
          [multi, 'MULTI x', 'SET k 1', 'WAIT 1 0'],
        ]) {
          const client = await pontoon.client()
          client.raw(`${lines.join('\r\n')}\r\n`)
          if (when === 'later') await until(isBlocked(1), `${lines.join()} blocks`)
          client.socket.end()
          await client.untilClosed()
          await until(isBlocked(0), `nobody blocks: ${lines.join()}, ${when}`)
          await until(() => pontoon.ownServers() === 0, 'its server is gone')
        }
    await redis.call('RPUSH', 'left', 'x')
    test.equal(await redis.call('LPOP', 'left'), 'x', 'nobody has taken it')
  })

  await t.test(`${mode}: a pause ends what blocks behind a refused MULTI`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    client.raw('MULTI x\r\nBLPOP refused 0\r\n')
    await until(async () => (await redis.info('blocked_clients')) === '1', 'it blocks')
    test.equal((await pontoon.service.pause(30_000, 5_000, 'a test')).drained, true)
    await redis.call('RPUSH', 'refused', 'x')
    pontoon.service.resume()
    test.match(words(await client.value()), /wrong number of arguments/)
    test.same(await client.value(), ['refused', 'x'])
    client.raw('MULTI\r\nBLPOP refused 0\r\nEXEC\r\n')
    for (const expected of ['OK', 'QUEUED', [null]]) test.same(await client.value(), expected)
    client.destroy()
  })

  await t.test(`${mode}: XREAD of $ sees what came in a pause that ended it`, async (test) => {
    const pontoon = await serve(test, { mode })
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    const [events, none] = [`events ${mode}`, `none ${mode}`]
    await redis.call('XADD', events, '1-1', 'old', 'x'.repeat(200))
    client.send('ECHO', 'before')
    client.send('XREAD', 'BLOCK', '0', 'STREAMS', events, none, '$', '$')
    other.send('XREAD', 'COUNT', '1', 'BLOCK', '0', 'STREAMS', none, '$')
    test.equal(await client.value(), 'before')
    await until(async () => (await redis.info('blocked_clients')) === '2', 'they block')
    test.equal((await pontoon.service.pause(30_000, 5_000, 'a test')).drained, true)
    await redis.call('XADD', events, '2-2', 'new', '1')
    await redis.call('XADD', none, '1-0', 'first', '1')
    pontoon.service.resume()
    test.same(await client.value(), [
      [events, [['2-2', ['new', '1']]]],
      [none, [['1-0', ['first', '1']]]],
    ])
    test.same(await other.value(), [[none, [['1-0', ['first', '1']]]]])
    for (const one of [client, other]) one.destroy()
  })
}

const subscribing: readonly (readonly string[])[] = [
  ['MULTI', 'SUBSCRIBE a b', 'ECHO in', 'EXEC', 'PING', 'PUBLISH a 1', 'PING end'],
  ['SUBSCRIBE a b', 'MULTI', 'UNSUBSCRIBE', 'HSET h f 1', 'EXEC', 'HGETALL h', 'PING end'],
  ['MULTI', 'PSUBSCRIBE a* b* c*', 'HGETALL h', 'LPUSH h x', 'EXEC', 'PING end'],
  ['MULTI', 'SUBSCRIBE a', 'EXEC x', 'SUBSCRIBE b c', 'EXEC', 'PING', 'PING end'],
  ['WATCH k', 'SET k 1', 'MULTI', 'SUBSCRIBE a b', 'EXEC', 'SET k 2', 'PING end'],
]

for (const mode of modes)
  for (const version of [2, 3])
    await t.test(`${mode}, RESP${version}: what an EXEC subscribes to`, async (test) => {
      const pontoon = await serve(test, { mode })
      await redis.call('HSET', 'h', 'f', '1')
      for (const lines of subscribing) {
        const said: string[] = []
        for (const port of [redis.port, pontoon.port]) {
          const client = await connectRedis({ port })
          if (version === 3) await client.call('HELLO', 3)
          client.raw(`${lines.join('\r\n')}\r\n`)
          const isAll = (): boolean => client.unread.toString().endsWith('end\r\n')
          await until(isAll, `all of ${lines.join()}`)
          said.push(client.unread.toString())
          client.destroy()
        }
        test.equal(said[1], said[0])
        await until(() => pontoon.service.snapshot().clients.active === 0, 'nothing is owed')
      }
    })

await t.test('databases that nobody uses are forgotten', async (test) => {
  const pontoon = await serve(test)
  const client = await pontoon.client()
  const groups = (): number =>
    new Set(pontoon.service.snapshot().pools.map(({ database }) => database)).size
  for (let database = 1_000; database < 1_030; database += 1)
    test.match(words(await client.ask('SELECT', database)), /DB index is out of range/)
  test.equal(await client.call('SET', 'here', '1'), 'OK')
  await until(() => groups() === 1, 'only its own is left')
  client.destroy()
})
