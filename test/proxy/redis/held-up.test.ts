/** Servers that do not read or die, clients that do not read: nobody else stalls, and nobody for ever. */
import t from 'tap'
import type { RedisContext } from '../../../src/proxy/redis/context.ts'
import type { Session } from '../../../src/proxy/redis/session.ts'
import { command } from '../../../src/wire/redis/write.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const getHuge = '*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n'

const redis = await startRedis()
t.teardown(() => redis.stop())

async function serve(
  test: { teardown(end: () => Promise<void>): void },
  options: Partial<Parameters<typeof startRedisPontoon>[0]> = {},
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon({ source: redis, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

/** The inside of the service. */
function hasSessions(service: object): service is Pick<RedisContext, 'sessions'> {
  return 'sessions' in service
}

function onlySession({ service }: RedisPontoon): Session {
  if (!hasSessions(service)) throw new Error('this is no Redis service')
  const [session] = service.sessions.values()
  if (session === undefined || service.sessions.size > 1) throw new Error('not one session')
  return session
}

/** Gives the count when it has stopped to rise. */
async function untilStill(count: () => number): Promise<number> {
  let [seen, looks] = [-1, 0]
  const isStill = async (): Promise<boolean> => {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const now = count()
    looks = now === seen ? looks + 1 : 0
    seen = now
    return seen > 1_000_000 && looks >= 10
  }
  await until(isStill, 'nothing more comes', 60_000)
  return seen
}

for (const mode of ['multiplexed', 'pinned'] as const) {
  await t.test(`${mode}: a server that does not read and dies stalls no client`, async (test) => {
    const dying = await startRedis()
    test.teardown(() => dying.stop())
    const pontoon = await serve(test, { source: dying, mode, pool: { size: 1, holdMs: 20_000 } })
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await client.call('PING')
    if (mode === 'multiplexed') await other.call('PING')
    dying.pause()
    const count = 1_500
    const value = 'x'.repeat(16 * 1024)
    for (let index = 0; index < count; index += 1) client.send('SET', 'k', value)
    const seen = await untilStill(() => pontoon.service.stats.bytesFromClients)
    test.ok(seen < count * value.length, 'not all of it')
    await dying.kill9()
    await dying.start()
    if (mode === 'pinned') await client.untilClosed()
    else {
      let errors = 0
      for (let index = 0; index < count; index += 1)
        errors += (await client.value(20_000)) instanceof RespError ? 1 : 0
      test.ok(errors > 0 && errors < count, `${errors} of ${count} were lost with it`)
      test.equal(await client.call('PING'), 'PONG')
    }
    test.equal(await other.call('PING'), 'PONG')
    for (const one of [client, other]) one.destroy()
  })
}

await t.test('a client that has ended leaves when its server is lost', async (test) => {
  const dying = await startRedis()
  test.teardown(() => dying.stop())
  const pontoon = await serve(test, { source: dying })
  const client = await pontoon.client()
  await client.call('PING')
  dying.pause()
  client.send('GET', 'x')
  client.socket.end()
  await until(() => pontoon.service.snapshot().clients.active === 1, 'it is under way')
  await dying.kill9()
  test.ok((await client.value()) instanceof RespError)
  await client.untilClosed()
  await until(() => pontoon.service.snapshot().clients.idle === 0, 'it has left')
})

await t.test('a client that ends before it gets its server waits for nothing', async (test) => {
  const pontoon = await serve(test)
  const commands = [
    '*3\r\n$5\r\nBLPOP\r\n$7\r\nnothing\r\n$1\r\n0\r\n',
    '*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n',
    `*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$100000\r\n${'x'.repeat(70_000)}`,
  ]
  for (const bytes of commands) {
    const client = await pontoon.client()
    await client.call('PING')
    await pontoon.service.pause(30_000, 5_000, 'a test')
    client.raw(bytes)
    client.socket.end()
    await until(() => onlySession(pontoon).hasEnded, 'it has ended')
    test.equal(pontoon.service.snapshot().clients.parked, 1)
    pontoon.service.resume()
    await client.untilClosed()
    await until(() => pontoon.ownServers() === 0, 'its server is gone')
  }
})

await t.test('behind a slow reader others wait for a few seconds at most', async (test) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const pontoon = await serve(test, { clock, pool: { size: 1, queueTimeoutMs: 60_000 } })
  const [slow, behind, later] = await Promise.all([1, 2, 3].map(() => pontoon.client()))
  if (slow === undefined || behind === undefined || later === undefined) throw new Error('nobody')
  await redis.call('SETRANGE', 'huge', 24 * 1024 * 1024, 'x')
  for (const client of [slow, behind, later]) await client.call('PING')
  slow.socket.pause()
  slow.raw(getHuge)
  behind.send('INCR', 'behind')
  await until(() => pontoon.service.snapshot().clients.active === 2, 'both are under way')
  await untilStill(() => pontoon.service.stats.bytesFromServers)
  later.send('INCR', 'behind')
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'no server is open')
  test.equal(behind.unread.length, 0)
  aheadMs = 10_000
  test.same([await behind.value(), await later.value()], [1, 2])
  test.equal(pontoon.service.stats.ownErrors.get('CLIENT_SLOW_READER'), 1)
  for (const client of [slow, behind, later]) client.destroy()
})

await t.test('who waits for a server gets the one that is no longer held up', async (test) => {
  const pontoon = await serve(test, { pool: { size: 1, queueTimeoutMs: 60_000 } })
  const [slow, other] = [await pontoon.client(), await pontoon.client()]
  await redis.call('SETRANGE', 'huge', 24 * 1024 * 1024, 'x')
  slow.socket.pause()
  slow.raw(getHuge)
  await untilStill(() => pontoon.service.stats.bytesFromServers)
  other.send('PING')
  const isWaiting = (): boolean => pontoon.service.snapshot().clients.waiting === 1
  await until(isWaiting, 'no server is open')
  slow.socket.removeAllListeners('data')
  slow.socket.resume()
  test.equal(await other.value(), 'PONG')
  for (const client of [slow, other]) client.destroy()
})

await t.test('a server held up for a client that goes elsewhere is read again', async (test) => {
  const pontoon = await serve(test, { pool: { size: 1, queueTimeoutMs: 20_000 } })
  const client = await pontoon.client()
  await client.call('PING')
  const session = onlySession(pontoon)
  // As with a large reply whose end is read just as the client has got too much.
  session.onCongested()
  const large = Buffer.from(`+${'x'.repeat(5_000_000)}\r\n`)
  session.deliver(large, 0, large.length)
  test.equal(session.upstream?.isHeldUp, true)
  const select = Buffer.from('*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n')
  session.onBytes(select, select.length)
  await client.value()
  test.equal(await client.value(), 'OK')
  session.onDrained()
  const other = await pontoon.client()
  test.equal(await other.ask('PING'), 'PONG')
  for (const one of [client, other]) one.destroy()
})

await t.test(
  'a client that always owes something leaves a server that is given up',
  async (test) => {
    const pontoon = await serve(test)
    const client = await pontoon.client()
    await client.call('PING')
    redis.pause()
    client.send('SET', 'first', '1')
    await until(() => pontoon.service.snapshot().clients.active === 1, 'it is under way')
    pontoon.service.reconnect()
    const before = pontoon.service.stats.serversOpenedTotal
    for (const word of ['second', 'third']) client.send('ECHO', word)
    client.send('XINFO', 'HELP')
    await until(() => pontoon.service.stats.bytesFromClients > 100, 'they have come')
    redis.resume()
    for (const expected of ['OK', 'second', 'third']) test.equal(await client.value(), expected)
    test.ok(Array.isArray(await client.value()))
    test.equal(pontoon.service.stats.serversOpenedTotal, before + 1)
    await until(() => pontoon.servers() === 1, 'the one that was given up is gone')
    client.destroy()
  },
)

await t.test('a server that owes Pontoon an answer goes to nobody else', async (test) => {
  const pontoon = await serve(test, { pool: { ownSize: 1 } })
  const client = await pontoon.client()
  await client.call('WATCH', 'k')
  const { own } = onlySession(pontoon)
  const other = await pontoon.client()
  redis.pause()
  client.send('UNWATCH')
  other.send('MULTI')
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'the other one waits')
  test.equal(own?.logInAgain(command('PING')), true)
  redis.resume()
  test.equal(await client.value(), 'OK')
  test.equal(await other.value(), 'OK')
  test.same(await other.call('EXEC'), [])
  for (const one of [client, other]) one.destroy()
})
