/** What must not go wrong when servers fail, pauses come or routes change in the middle of something. */
import t from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { startRelay } from '../../support/relay.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand, RespError } from '../../support/resp.ts'
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

function untilBlocked(count: number): Promise<void> {
  return until(
    async () => (await source.info('blocked_clients')) === String(count),
    `${count} clients block`,
  )
}

await t.test('an inline command takes a server of its own that is at hand', async (test) => {
  const pontoon = await serve(test)
  const client = await pontoon.client()
  for (const item of ['one', 'two']) {
    await source.call('RPUSH', 'inline', item)
    client.raw('BLPOP inline 1\r\nECHO behind\r\n')
    test.same(await client.value(), ['inline', item])
    test.equal(await client.value(), 'behind')
  }
  client.destroy()
})

await t.test('a pause is not drained while a transaction is open', async (test) => {
  const pontoon = await serve(test)
  const client = await pontoon.client()
  await client.call('MULTI')
  await client.call('SET', 'late', '1')
  const report = await pontoon.service.pause(30_000, 50, 'a test')
  test.equal(report.drained, false)
  test.equal(report.waitingFor.length, 1)
  client.destroy()
})

await t.test('a pause is not drained while a large command passes', async (test) => {
  const pontoon = await serve(test)
  const client = await pontoon.client()
  client.raw(`*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$100000\r\n${'x'.repeat(90_000)}`)
  await until(() => pontoon.ownServers() === 1, 'it passes')
  const report = await pontoon.service.pause(30_000, 50, 'a test')
  test.equal(report.drained, false)
  const drained = pontoon.service.pause(30_000, 10_000, 'a test')
  client.raw(`${'x'.repeat(10_000)}\r\n`)
  test.equal(await client.value(), 'OK')
  test.equal((await drained).drained, true)
  client.destroy()
})

await t.test(
  'a write behind a read of the target goes to the primary when reads end',
  async (test) => {
    const pontoon = await serve(test, {
      route: { reads: 100 },
      config: { route: { readAfterWriteMs: 0 } },
    })
    await target.call('SET', 'side', 'target')
    const client = await pontoon.client()
    await until(async () => (await client.call('GET', 'side')) === 'target', 'it is warm')
    target.pause()
    client.send('GET', 'side')
    await until(() => pontoon.service.snapshot().clients.active === 1, 'it is under way')
    pontoon.service.applyRoute({ ...pontoon.service.snapshot().route, epoch: 2, reads: 0 })
    client.send('SET', 'written', '1')
    await until(() => pontoon.service.stats.bytesFromClients > 60, 'it has come')
    target.resume()
    test.equal(await client.value(), 'target')
    test.equal(await client.value(), 'OK')
    test.equal(await source.call('GET', 'written'), '1')
    test.equal(await target.call('GET', 'written'), null)
    client.destroy()
  },
)

await t.test('an error of the primary does not overtake a reply of the target', async (test) => {
  const primary = await startRedis()
  test.teardown(() => primary.stop())
  const pontoon = await serve(test, {
    source: primary,
    route: { reads: 100 },
    config: { route: { readAfterWriteMs: 0 } },
  })
  await target.call('SET', 'side', 'target')
  const client = await pontoon.client()
  await until(async () => (await client.call('GET', 'side')) === 'target', 'it is warm')
  pontoon.tighten({ pool: { queueTimeoutMs: 300, holdMs: 300 } })
  await primary.kill9()
  target.pause()
  client.send('GET', 'side')
  client.send('SET', 'x', '1')
  setTimeout(() => target.resume(), 2_500)
  test.equal(await client.value(), 'target')
  test.ok((await client.value()) instanceof RespError)
  client.destroy()
})

await t.test('the rest of a large value is never taken for commands', async (test) => {
  const dying = await startRedis()
  test.teardown(() => dying.stop())
  const pontoon = await serve(test, { source: dying })
  const client = await pontoon.client()
  client.raw(`*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$200000\r\n${'x'.repeat(90_000)}`)
  await until(() => pontoon.ownServers() === 1, 'it passes')
  await dying.kill9()
  await dying.restart()
  await until(() => pontoon.ownServers() === 0, 'its server is gone')
  const tail = '\r\nSET smuggled 1\r\n'.repeat(20)
  client.raw(`${tail}${'x'.repeat(110_000 - tail.length)}\r\n`)
  await client.untilClosed()
  test.equal(await dying.call('EXISTS', 'smuggled'), 0)
})

await t.test('a pause ends a blocking command that has not come to block yet', async (test) => {
  const relay = await startRelay({ to: source })
  test.teardown(() => relay.close())
  const pontoon = await serve(test, { source: relay })
  const client = await pontoon.client()
  await client.call('PING')
  await client.call('BLPOP', 'none', '0.01')
  // What was connected first flows first: the shared server, over which the end is asked for.
  relay.stall('up')
  client.send('BLPOP', 'overtaken', '0')
  await until(() => pontoon.service.snapshot().clients.active === 1, 'it is under way')
  const drained = pontoon.service.pause(30_000, 5_000, 'a test')
  await until(() => relay.holding('up') === 2, 'the command and its end are on their way')
  relay.resume('up')
  test.equal((await drained).drained, true)
  test.equal(await source.info('blocked_clients'), '0')
  pontoon.service.resume()
  await untilBlocked(1)
  await source.call('RPUSH', 'overtaken', 'one')
  test.same(await client.value(), ['overtaken', 'one'])
  client.destroy()
})

for (const mode of ['multiplexed', 'pinned'] as const) {
  await t.test(`${mode}: a pause ends a blocking command behind others`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    await client.call('WATCH', 'x')
    source.pause()
    client.send('ECHO', 'ahead')
    client.send('BLPOP', 'behind', '0')
    await until(() => pontoon.service.stats.bytesFromClients > 70, 'they have come')
    const drained = pontoon.service.pause(30_000, 5_000, 'a test')
    source.resume()
    test.equal(await client.value(), 'ahead')
    test.equal((await drained).drained, true)
    test.equal(await source.info('blocked_clients'), '0')
    client.destroy()
  })

  await t.test(`${mode}: a pause ends a blocking command ahead of others`, async (test) => {
    const pontoon = await serve(test, { mode })
    const { stats } = pontoon.service
    const client = await pontoon.client()
    for (const behind of ['CLIENT SETNAME me', 'SELECT 0', 'HELLO 2', 'RESET']) {
      await client.call('WATCH', 'x')
      const lines = [['BLPOP', 'ahead', '0'], behind.split(' ')]
      const bytes = Buffer.concat(lines.map((words) => encodeCommand(...words)))
      const hasCome = stats.bytesFromClients + bytes.length
      client.raw(bytes)
      await untilBlocked(1)
      await until(() => stats.bytesFromClients >= hasCome, 'both have come')
      const { drained } = await pontoon.service.pause(30_000, 5_000, 'a test')
      test.equal(drained, true, behind)
      pontoon.service.resume()
      await source.call('RPUSH', 'ahead', behind)
      test.same(await client.value(), ['ahead', behind])
      test.notMatch(await client.value(), { message: /./ }, behind)
    }
    client.destroy()
  })

  await t.test(
    `${mode}: a client that leaves while it blocks behind a read takes nothing`,
    async (test) => {
      const pontoon = await serve(test, { mode })
      const client = await pontoon.client()
      if (mode === 'multiplexed') await client.call('WATCH', 'x')
      client.send('ECHO', '1')
      client.send('BLPOP', 'left', '0')
      await untilBlocked(1)
      test.equal(await client.value(), '1')
      client.destroy()
      await untilBlocked(0)
      await source.call('RPUSH', 'left', 'kept')
      test.equal(await source.call('LLEN', 'left'), 1)
      await source.call('DEL', 'left')
    },
  )
}

await t.test('a write that took long is fresh from its reply on', async (test) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const pontoon = await serve(test, {
    clock,
    route: { reads: 100 },
    config: { route: { readAfterWriteMs: 10_000 } },
  })
  await target.call('SET', 'fresh', 'old')
  const client = await pontoon.client()
  aheadMs += 11_000
  await until(async () => (await client.call('GET', 'fresh')) === 'old', 'it is warm')
  source.pause()
  client.send('SET', 'fresh', 'new')
  await until(() => pontoon.service.snapshot().clients.active === 1, 'it is under way')
  aheadMs += 11_000
  source.resume()
  test.equal(await client.value(), 'OK')
  test.equal(await client.call('GET', 'fresh'), 'new')
  client.destroy()
})

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: no large command is gathered here`, async (test) => {
    const pontoon = await serve(test, { mode })
    const large = 3_000_000
    const [named, naming] = [await pontoon.client(), await pontoon.client()]
    await named.call('PING')
    named.raw(`*1\r\n$${large}\r\n`)
    for (let sent = 0; sent < large; sent += 100_000) named.raw('x'.repeat(100_000))
    naming.raw(`*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$${large}\r\n`)
    naming.raw(' '.repeat(300_000))
    if (mode === 'multiplexed') {
      const refused = await naming.value()
      test.match(refused instanceof RespError ? refused.message : '', /too large/)
      await naming.untilClosed()
    }
    await until(() => pontoon.service.stats.bytesToServers >= large, 'it has passed')
    named.raw('\r\n')
    const unknown = await named.value()
    test.match(unknown instanceof RespError ? unknown.message : '', /^ERR unknown command/)
    test.equal(await named.call('PING'), 'PONG')
    for (const client of [named, naming]) client.destroy()
  })

await t.test('a SELECT that a pause has found waiting is not taken for done', async (test) => {
  const pontoon = await serve(test)
  const { service } = pontoon
  const client = await pontoon.client()
  await client.call('SET', 'here', '1')
  source.pause()
  test.teardown(() => source.resume())
  for (const words of [
    ['SELECT', '99'],
    ['GET', 'here'],
  ])
    client.send(...words)
  await until(() => service.snapshot().clients.waiting === 1, 'it waits for a server')
  const paused = service.pause(60_000, 60_000, 'a test')
  await until(() => service.snapshot().clients.parked === 1, 'it waits at the gate')
  source.resume()
  await paused
  service.resume()
  test.match(await client.value(), { message: 'ERR DB index is out of range' })
  test.equal(await client.value(), '1', 'where it was')
  client.destroy()
})
