/** The primary side moves: clients come along, or are closed where their state cannot. */
import t from 'tap'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, RespPush } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const source = await startRedis()
const target = await startRedis()
t.teardown(() => Promise.all([source.stop(), target.stop()]))

async function serve(
  test: { teardown(end: () => Promise<void>): void },
  options: Partial<Parameters<typeof startRedisPontoon>[0]> = {},
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon({ source, target, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

function moveTo(pontoon: RedisPontoon, primary: 'source' | 'target'): void {
  const { route } = pontoon.service
  pontoon.service.applyRoute({ ...route, epoch: route.epoch + 1, primary })
}

await t.test('a blocked client goes on waiting on the new primary', async (test) => {
  const pontoon = await serve(test)
  const client = await pontoon.client()
  client.send('BLPOP', 'jobs', '0')
  await until(async () => (await source.info('blocked_clients')) === '1', 'it blocks')
  const hold = pontoon.service.beginSwitch('a test')
  test.equal((await hold.drained(5_000)).drained, true)
  moveTo(pontoon, 'target')
  hold.release({ gradually: true })
  await until(async () => (await target.info('blocked_clients')) === '1', 'it blocks there')
  await target.call('RPUSH', 'jobs', 'one')
  test.same(await client.value(), ['jobs', 'one'])
  client.destroy()
})

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: replies that are off stay off on the new primary`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    const [here, there] = [`here ${mode}`, `there ${mode}`]
    client.send('CLIENT', 'REPLY', 'OFF')
    client.send('SET', here, '1')
    await until(async () => (await source.call('EXISTS', here)) === 1, 'it is set')
    const hold = pontoon.service.beginSwitch('a test')
    test.equal((await hold.drained(5_000)).drained, true)
    moveTo(pontoon, 'target')
    hold.release({ gradually: true })
    client.send('SET', there, '1')
    client.send('CLIENT', 'REPLY', 'ON')
    test.equal(await client.value(), 'OK', 'of the last command only')
    test.equal(await client.call('GET', there), '1')
    test.equal(await target.call('GET', there), '1')
    client.destroy()
  })

await t.test(
  'what is kept on the old primary is listed, and closed with the move',
  async (test) => {
    const pontoon = await serve(test)
    const [free, tracker, watcher] = [
      await pontoon.client(),
      await pontoon.client(),
      await pontoon.client(),
    ]
    await free.call('PING')
    await tracker.call('HELLO', 3)
    await tracker.call('CLIENT', 'TRACKING', 'on')
    await tracker.call('SUBSCRIBE', 'news')
    await watcher.call('WATCH', 'k')
    const listed = pontoon.service.clients(2).map(({ pinReason, side }) => [pinReason, side])
    test.same(listed, [
      ['client|tracking', 'source'],
      ['watch', 'source'],
    ])
    const hold = pontoon.service.beginSwitch('a test')
    test.equal((await hold.drained(5_000)).drained, true)
    for (const words of [['MULTI'], ['SET', 'k', '1'], ['EXEC']]) watcher.send(...words)
    await until(() => pontoon.service.snapshot().clients.parked === 1, 'it is parked')
    moveTo(pontoon, 'target')
    const refused = await watcher.value()
    test.match(refused instanceof RespError ? refused.message : '', /^TRYAGAIN .*SIDE_LEFT/)
    await Promise.all([watcher.untilClosed(), tracker.untilClosed()])
    test.equal(tracker.unread.length, 0, 'nobody is told what he has not asked')
    hold.release()
    test.equal(await free.call('SET', 'where', 'target'), 'OK')
    test.equal(await target.call('GET', 'where'), 'target')
    test.equal(await target.call('EXISTS', 'k'), 0)
    free.destroy()
  },
)

for (const mode of ['multiplexed', 'pinned'] as const) {
  await t.test(`${mode}: a transaction that is open when the side moves is void`, async (test) => {
    const pontoon = await serve(test, { mode })
    const [client, large] = [await pontoon.client(), await pontoon.client()]
    await client.call('MULTI')
    await client.call('SET', 'late', mode)
    large.raw(`*3\r\n$3\r\nSET\r\n$4\r\nlate\r\n$100000\r\n${'x'.repeat(90_000)}`)
    await until(() => pontoon.ownServers() === 2, 'both hold a server')
    moveTo(pontoon, 'target')
    client.send('EXEC')
    large.raw(`${'x'.repeat(10_000)}\r\n`)
    await Promise.all([client.untilClosed(), large.untilClosed()])
    await until(() => pontoon.ownServers() === 0, 'their servers are closed')
    test.equal(await source.call('EXISTS', 'late'), 0)
    test.equal(await target.call('EXISTS', 'late'), 0)
  })
}

await t.test('who waits for a server when the gate is shut waits there', async (test) => {
  const dead = await startRedis()
  test.teardown(() => dead.stop())
  const pontoon = await serve(test, {
    source: dead,
    pool: { queueTimeoutMs: 30_000, holdMs: 30_000 },
  })
  const [shared, own] = [await pontoon.client(), await pontoon.client()]
  dead.pause()
  shared.send('SET', 'a', '1')
  own.send('MULTI')
  await until(() => pontoon.service.snapshot().clients.waiting === 2, 'they wait')
  const hold = pontoon.service.beginSwitch('a test')
  await until(() => pontoon.service.snapshot().clients.parked === 2, 'they are parked')
  const { pools } = pontoon.service.snapshot()
  test.equal(pools.filter(({ waiting }) => waiting > 0).length, 0, 'no deadline runs for them')
  moveTo(pontoon, 'target')
  hold.release()
  test.equal(await shared.value(), 'OK')
  test.equal(await own.value(), 'OK')
  for (const client of [shared, own]) client.destroy()
})

await t.test('tracking for another client: ids are those of the service', async (test) => {
  const pontoon = await serve(test)
  const [reader, listener, writer] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  const id = Number(await listener.call('CLIENT', 'ID'))
  const refused = await reader.ask('CLIENT', 'TRACKING', 'on', 'REDIRECT', id)
  test.match(refused instanceof RespError ? refused.message : '', /redirect to does not exist/)
  await listener.call('SUBSCRIBE', '__redis__:invalidate')
  test.equal(await reader.call('CLIENT', 'TRACKING', 'on', 'REDIRECT', id), 'OK')
  test.equal(await reader.call('CLIENT', 'GETREDIR'), id)
  await reader.call('GET', 'tracked')
  await writer.call('SET', 'tracked', '1')
  test.same(await listener.value(), ['message', '__redis__:invalidate', ['tracked']])
  test.equal(await reader.call('CLIENT', 'TRACKING', 'off'), 'OK')
  test.equal(await reader.call('CLIENT', 'GETREDIR'), -1)
  await reader.call('HELLO', 3)
  test.equal(await reader.call('CLIENT', 'TRACKING', 'on'), 'OK')
  await reader.call('GET', 'tracked')
  await writer.call('SET', 'tracked', '2')
  test.same(await reader.value(), new RespPush(['invalidate', ['tracked']]))
  for (const client of [reader, listener, writer]) client.destroy()
})
