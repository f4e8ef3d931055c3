/** What a Redis service does around the commands: logins, pauses, outages, shifted reads. */
import t from 'tap'
import { present, until } from '../../support/pontoon.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { startRelay } from '../../support/relay.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, textOf } from '../../support/resp.ts'

/** The words of the error that a command gets. */
async function refused(client: RedisWire, ...words: string[]): Promise<string> {
  const value = await client.ask(...words)
  return value instanceof RespError ? value.message : `no error: ${textOf(value)}`
}

const source = await startRedis({ users: { app: 'on >inner ~* &* +@all' } })
const target = await startRedis()
t.teardown(() => Promise.all([source.stop(), target.stop()]))

function withoutId(bytes: Buffer): string {
  return bytes.toString().replace(/id\r\n:\d+/, 'id')
}

async function serve(
  test: { teardown(end: () => Promise<void>): void },
  options: Partial<Parameters<typeof startRedisPontoon>[0]>,
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon({ source, target, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

for (const mode of ['multiplexed', 'pinned'] as const) {
  await t.test(`${mode}: clients prove who they are`, async (test) => {
    const users = {
      default: { verifier: 'open' },
      app: {
        verifier: '#2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90',
        source: { user: 'app', password: 'inner' },
      },
    }
    const config = {
      clientAuth: { mode: 'password' },
      users,
      source: { host: source.host, port: source.port, user: 'default' },
    }
    const pontoon = await serve(test, { mode, config })
    const client = await pontoon.client()
    test.match(await refused(client, 'GET', 'x'), /^NOAUTH Authentication required/)
    test.match(await refused(client, 'AUTH', 'wrong'), /^WRONGPASS/)
    test.match(await refused(client, 'AUTH', 'nobody', 'x'), /^WRONGPASS/)
    test.match(await refused(client, 'HELLO', '3'), /^NOAUTH HELLO must be called/)
    test.match(await refused(client, 'HELLO', '3', 'AUTH', 'app', 'no'), /^WRONGPASS/)
    client.send('HELLO', '3', 'AUTH', 'app', 'alice')
    test.match((await client.next()).bytes.toString(), /^%/)
    test.equal(textOf(await client.call('ACL', 'WHOAMI')), 'app')
    test.equal(await client.call('RESET'), 'RESET')
    test.match(await refused(client, 'GET', 'x'), /^NOAUTH/)
    client.destroy()
  })
}

await t.test('a password that the side refuses is told without its words', async (test) => {
  const side = { host: source.host, port: source.port, user: 'app', password: 'wrong' }
  const pontoon = await serve(test, { config: { source: side } })
  const client = await pontoon.client()
  test.match(await refused(client, 'GET', 'x'), /SERVER_AUTH_FAILED/)
  client.destroy()
})

await t.test('pinned: the server’s own bytes, and its own close', async (test) => {
  const pontoon = await serve(test, { mode: 'pinned' })
  const [client, direct] = [await pontoon.client(), await source.connect()]
  const script = [
    'PING\r\n',
    '*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n',
    'client setname me\r\nclient getname\r\n',
    'HELLO 3\r\nHSET h a 1\r\nHGETALL h\r\nDEL h\r\n',
    'SUBSCRIBE one two\r\nPING\r\nUNSUBSCRIBE\r\n',
    'RESET\r\nMULTI\r\nSET a 1\r\nEXEC\r\nGET a\r\nNOSUCH\r\nGET\r\n',
    '\r\n*0\r\nECHO "unbalanced\r\n',
  ]
  for (const text of script) {
    client.raw(text)
    direct.raw(text)
  }
  await Promise.all([client.untilClosed(), direct.untilClosed()])
  test.equal(withoutId(client.unread), withoutId(direct.unread))
  test.match(withoutId(client.unread), /unbalanced quotes/)
  await until(() => pontoon.servers() === 0, 'its server is closed with it')
})

await t.test('a pause parks commands in order and lets a transaction end', async (test) => {
  const pontoon = await serve(test, {})
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  await one.call('MULTI')
  const drained = pontoon.service.pause(30_000, 10_000, 'a test')
  other.send('SET', 'parked', '1')
  other.send('GET', 'parked')
  await until(() => pontoon.service.snapshot().clients.parked === 1, 'it is parked')
  one.send('SET', 'in', 'side')
  one.send('EXEC')
  one.send('GET', 'in')
  test.equal(await one.value(), 'QUEUED')
  test.same(await one.value(), ['OK'])
  test.equal((await drained).drained, true)
  test.equal(await source.call('EXISTS', 'parked'), 0)
  test.equal(one.unread.length, 0)
  pontoon.service.resume()
  test.same([await other.value(), await other.value()], ['OK', '1'])
  test.equal(await one.value(), 'side')
  for (const client of [one, other]) client.destroy()
})

for (const mode of ['multiplexed', 'pinned'] as const) {
  await t.test(`${mode}: a blocked client does not hold up a pause`, async (test) => {
    const pontoon = await serve(test, { mode })
    const client = await pontoon.client()
    client.send('BLPOP', 'jobs', '0')
    client.send('PING')
    await until(async () => (await source.info('blocked_clients')) === '1', 'it blocks')
    const report = await pontoon.service.pause(30_000, 10_000, 'a test')
    test.equal(report.drained, true)
    await source.call('RPUSH', 'jobs', 'one')
    test.equal(client.unread.length, 0, 'nothing is popped in a pause')
    pontoon.service.resume()
    test.same(await client.value(), ['jobs', 'one'])
    test.equal(await client.value(), 'PONG')
    client.destroy()
  })
}

await t.test('a lost server: one error for each command that was not answered', async (test) => {
  const redis = await startRedis()
  test.teardown(() => redis.stop())
  const pontoon = await serve(test, { source: redis, pool: { holdMs: 20_000 } })
  const [one, other, held] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  await one.call('SET', 'k', '1')
  await other.call('PING')
  await held.call('MULTI')
  await redis.call('CLIENT', 'PAUSE', '60000', 'ALL')
  one.send('INCR', 'k')
  one.send('INCR', 'k')
  other.send('GET', 'k')
  await until(() => pontoon.service.snapshot().clients.active === 2, 'three are under way')
  await redis.kill9()
  for (const client of [one, one, other]) {
    const value = await client.value()
    test.match(value instanceof RespError ? value.message : '', /^ERR .*SERVER_LOST/)
  }
  await held.untilClosed()
  one.send('SET', 'k', 'again')
  await redis.start()
  test.equal(await one.value(30_000), 'OK', 'it waited for the server')
  test.equal(await other.call('GET', 'k'), 'again')
  test.equal(present(pontoon.service.stats.ownErrors.get('SERVER_LOST')), 2)
  for (const client of [one, other]) client.destroy()
})

await t.test('links cut in the middle of pipelines: nothing is done twice', async (test) => {
  const relay = await startRelay({ to: target })
  test.teardown(() => relay.close())
  const pontoon = await serve(test, { source: relay, pool: { holdMs: 20_000 } })
  const clients = await Promise.all(Array.from({ length: 6 }, () => pontoon.client()))
  await Promise.all(clients.map((client) => client.call('PING')))
  const calls = 3_000
  let [unknownEver, answered, answeredAtCut] = [0, 0, 0]
  const count = async (client: RedisWire, index: number): Promise<void> => {
    const key = `cut:${index}`
    let [done, unknown, last] = [0, 0, 0]
    for (let sent = 0; sent < calls; sent += 100) {
      for (let at = 0; at < 100; at += 1) client.send('INCR', key)
      for (let at = 0; at < 100; at += 1) {
        const answer = await client.value(20_000)
        if (typeof answer === 'number') {
          if (answer <= last || answer > done + unknown + 1) test.fail(`${key}: ${answer}`)
          last = answer
          done += 1
          answered += 1
        } else if (answer instanceof RespError && answer.message.startsWith('ERR')) unknown += 1
        else test.match(answer instanceof RespError ? answer.message : '', /^TRYAGAIN/)
      }
    }
    const value = Number(await target.call('GET', key))
    test.ok(value >= done && value <= done + unknown, `${done} done, ${unknown} unknown: ${value}`)
    unknownEver += unknown
  }
  // As often as that, if anything has got through since: a connection takes its time, too.
  const cutting = setInterval(() => {
    if (answered < answeredAtCut + 50) return
    answeredAtCut = answered
    relay.cut()
  }, 60)
  await Promise.all(clients.map(count))
  clearInterval(cutting)
  test.ok(unknownEver > 0, 'something was cut')
  for (const client of clients) client.destroy()
})

await t.test('reads of a share of the key space come from the target', async (test) => {
  const pontoon = await serve(test, {
    route: { reads: 50 },
    config: { route: { readAfterWriteMs: 60_000 } },
  })
  const client = await pontoon.client()
  for (const key of ['foo', 'b']) {
    await source.call('SET', key, 'source')
    await target.call('SET', key, 'target')
  }
  test.equal(await client.call('GET', 'foo'), 'source', 'what was before is unknown')
  await pontoon.stop()
  const fresh = await serve(test, {
    route: { reads: 50 },
    config: { route: { readAfterWriteMs: 0 } },
  })
  const reader = await fresh.client()
  const seen = new Map<string, string>()
  await until(async () => (await reader.call('GET', 'b')) === 'target', 'it is warm')
  for (const key of ['foo', 'b']) seen.set(key, textOf(await reader.call('GET', key)))
  test.equal(seen.get('foo'), 'source', 'slot 12182 is outside')
  test.equal(seen.get('b'), 'target', 'slot 3300 is inside')
  reader.send('GET', 'b')
  reader.send('GET', 'foo')
  reader.send('SET', 'b', 'written')
  reader.send('GET', 'foo')
  const replies = [await reader.value(), await reader.value()]
  test.same(replies, ['target', 'source'], 'in order, from two sides')
  test.equal(await reader.value(), 'OK')
  test.equal(await source.call('GET', 'b'), 'written', 'writes go to the primary')
  test.equal(await target.call('GET', 'b'), 'target')
  for (const one of [client, reader]) one.destroy()
})

await t.test('reads after a write come from the primary', async (test) => {
  const pontoon = await serve(test, {
    route: { reads: 100 },
    config: { route: { readAfterWriteMs: 60_000 } },
  })
  const client = await pontoon.client()
  await target.call('SET', 'w', 'old')
  await client.call('SET', 'w', 'new')
  test.equal(await client.call('GET', 'w'), 'new')
  client.destroy()
})
