/** Clients that share servers: replies in order, state apart, servers of one's own where needed. */
import t from 'tap'
import { until } from '../../support/pontoon.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, textOf } from '../../support/resp.ts'

/** The words of the error that a command gets. */
async function refused(client: RedisWire, ...words: string[]): Promise<string> {
  const value = await client.ask(...words)
  return value instanceof RespError ? value.message : `no error: ${textOf(value)}`
}

const redis = await startRedis()
t.teardown(() => redis.stop())
const pontoon = await startRedisPontoon({ source: redis })
t.teardown(() => pontoon.stop())

await t.test('commands of many clients over one server', async (test) => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => pontoon.client()))
  for (const [at, client] of clients.entries()) {
    client.send('SET', `k${at}`, `v${at}`)
    client.send('GET', `k${at}`)
    client.send('INCR', 'shared')
  }
  for (const [at, client] of clients.entries()) {
    test.equal(await client.value(), 'OK')
    test.equal(await client.value(), `v${at}`)
    test.type(await client.value(), 'number')
  }
  test.ok(pontoon.servers() <= 4, 'a few servers serve them all')
  test.equal(await clients[0]?.ask('GET', 'shared'), '20')
  for (const client of clients) client.destroy()
})

await t.test('inline commands, empty lines and no arguments', async (test) => {
  const client = await pontoon.client()
  client.raw('PING\r\n\r\nset "a b" c\nGET "a b"\r\n*0\r\n*-1\r\nECHO x\r\n')
  test.equal(await client.value(), 'PONG')
  test.equal(await client.value(), 'OK')
  test.equal(await client.value(), 'c')
  test.equal(await client.value(), 'x')
  client.destroy()
})

await t.test('a transaction has a server of its own until it ends', async (test) => {
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  for (const words of [['WATCH', 'w'], ['MULTI'], ['SET', 'w', '1'], ['INCR', 'w']]) {
    await one.call(...words)
  }
  test.equal(pontoon.ownServers(), 1)
  test.same(await one.call('EXEC'), ['OK', 2])
  test.equal(await one.call('GET', 'w'), '2')
  test.equal(pontoon.ownServers(), 0)

  await one.call('WATCH', 'w')
  await other.call('SET', 'w', 'changed')
  one.send('MULTI')
  one.send('SET', 'w', 'lost')
  one.send('EXEC')
  one.send('GET', 'w')
  test.same([await one.value(), await one.value()], ['OK', 'QUEUED'])
  test.equal(await one.value(), null)
  test.equal(await one.value(), 'changed')
  test.equal(pontoon.ownServers(), 0)

  one.send('MULTI')
  one.send('NOSUCH')
  one.send('EXEC')
  await one.value()
  for (const words of [/unknown command/, /EXECABORT/])
    test.match((await one.next()).bytes.toString(), words)
  test.equal(await one.call('PING'), 'PONG')
  test.equal(pontoon.ownServers(), 0)
  one.destroy()
  other.destroy()
})

await t.test('a client that leaves inside a transaction leaves nothing behind', async (test) => {
  const one = await pontoon.client()
  await one.call('MULTI')
  await one.call('SET', 'ghost', '1')
  one.destroy()
  await until(() => pontoon.ownServers() === 0, 'the server is gone')
  const other = await pontoon.client()
  test.equal(await other.call('GET', 'ghost'), null)
  other.send('MULTI')
  other.send('EXEC')
  test.same([await other.value(), await other.value()], ['OK', []])
  other.destroy()
})

await t.test('blocking commands hold up nobody', async (test) => {
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  one.send('SET', 'before', '1')
  one.send('BLPOP', 'queue', '0')
  one.send('GET', 'before')
  test.equal(await one.value(), 'OK')
  await until(() => pontoon.ownServers() === 1, 'it blocks')
  test.equal(await other.call('PING'), 'PONG')
  await other.call('RPUSH', 'queue', 'job')
  test.same(await one.value(), ['queue', 'job'])
  test.equal(await one.value(), '1')
  test.equal(pontoon.ownServers(), 0)

  await other.call('XADD', 'stream', '1-1', 'f', 'v')
  const third = await pontoon.client()
  await third.call('SELECT', '5')
  const before = pontoon.service.stats.serversOpenedTotal
  test.equal(await third.call('XREAD', 'COUNT', '1', 'STREAMS', 'stream', '0'), null)
  test.equal(pontoon.service.stats.serversOpenedTotal, before, 'without BLOCK nothing blocks')
  third.destroy()

  await other.call('XGROUP', 'CREATE', 'stream', 'streams', '$')
  one.send('XREADGROUP', 'GROUP', 'streams', 'streams', 'BLOCK', '0', 'STREAMS', 'stream', '>')
  await until(() => pontoon.ownServers() === 1, 'a group of that name blocks too')
  await other.call('XADD', 'stream', '2-1', 'f', 'v')
  test.same(await one.value(), [['stream', [['2-1', ['f', 'v']]]]])
  one.destroy()
  other.destroy()
})

await t.test('a client that leaves while it blocks takes nothing', async (test) => {
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  one.send('BLPOP', 'queue', '0')
  await until(async () => /blocked_clients:1/.test(textOf(await other.call('INFO'))), 'it blocks')
  one.destroy()
  await until(async () => /blocked_clients:0/.test(textOf(await other.call('INFO'))), 'it is gone')
  await other.call('RPUSH', 'queue', 'kept')
  test.equal(await other.call('LLEN', 'queue'), 1)
  other.destroy()
})

await t.test('databases, names and versions are the client’s', async (test) => {
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  await one.call('SELECT', '3')
  await one.call('SET', 'here', 'three')
  test.equal(await other.call('GET', 'here'), null)
  test.match(await refused(one, 'SELECT', '99'), /DB index is out of range/)
  test.match(await refused(one, 'SELECT', 'x'), /value is not an integer/)
  test.equal(await one.call('GET', 'here'), 'three', 'a refused SELECT changes nothing')
  await one.call('CLIENT', 'SETNAME', 'first')
  test.equal(await other.call('CLIENT', 'GETNAME'), null)
  test.equal(await one.call('CLIENT', 'GETNAME'), 'first')
  await one.call('HSET', 'h', 'a', '1')
  one.send('HELLO', '3', 'SETNAME', 'third')
  test.match((await one.next()).bytes.toString(), /^%/)
  one.send('HGETALL', 'h')
  test.match((await one.next()).bytes.toString(), /^%1/)
  await other.call('SELECT', '3')
  other.send('HGETALL', 'h')
  test.match((await other.next()).bytes.toString(), /^\*2/)
  test.equal(await one.call('RESET'), 'RESET')
  test.equal(await one.call('GET', 'here'), null)
  test.equal(await one.call('CLIENT', 'GETNAME'), null)
  test.match(await refused(one, 'HELLO', '4'), /NOPROTO/)
  test.equal(await one.call('QUIT'), 'OK')
  await one.untilClosed()
  other.destroy()
})

await t.test('CLIENT names and ends clients of the service, not its servers', async (test) => {
  const [one, other] = [await pontoon.client(), await pontoon.client()]
  const id = Number(await other.call('CLIENT', 'ID'))
  await other.call('CLIENT', 'SETNAME', 'victim')
  test.match(await one.call('CLIENT', 'LIST'), new RegExp(`id=${id} .*name=victim`))
  const before = pontoon.servers()
  other.send('BLPOP', 'queue2', '0')
  await until(async () => (await redis.info('blocked_clients')) === '1', 'it blocks')
  test.equal(await one.call('CLIENT', 'UNBLOCK', `${id}`), 1)
  test.equal(await other.value(), null)
  test.equal(await one.call('CLIENT', 'KILL', 'ID', `${id}`), 1)
  await other.untilClosed()
  test.equal(await one.call('CLIENT', 'KILL', 'TYPE', 'normal'), 0, 'not itself')
  test.equal(await one.call('PING'), 'PONG')
  test.ok(pontoon.servers() >= before)
  one.destroy()
})

await t.test('publish and subscribe', async (test) => {
  const [sub, pub] = [await pontoon.client(), await pontoon.client()]
  sub.send('SUBSCRIBE', 'a', 'b')
  test.same(await sub.value(), ['subscribe', 'a', 1])
  test.same(await sub.value(), ['subscribe', 'b', 2])
  test.equal(await pub.call('PUBLISH', 'a', 'hello'), 1)
  test.same(await sub.value(), ['message', 'a', 'hello'])
  sub.send('PING')
  test.same(await sub.value(), ['pong', ''])
  test.equal(await sub.call('RESET'), 'RESET')
  test.equal(await sub.call('SET', 'x', '1'), 'OK')
  test.equal(await pub.call('PUBLISH', 'a', 'nobody'), 0)
  const third = await pontoon.client()
  third.send('HELLO', '3')
  await third.next()
  third.send('SUBSCRIBE', 'a')
  test.match((await third.next()).bytes.toString(), /^>3/)
  await pub.call('PUBLISH', 'a', 'push')
  test.match((await third.next()).bytes.toString(), /^>3.*push/s)
  test.equal(await third.call('GET', 'x'), '1', 'RESP3 may do both')
  for (const client of [sub, pub, third]) client.destroy()
})

await t.test('scripts, cursors and unknown commands', async (test) => {
  const one = await pontoon.client()
  const sha = textOf(await one.call('SCRIPT', 'LOAD', 'return ARGV[1]'))
  test.equal(await one.call('EVALSHA', sha, '0', 'x'), 'x')
  test.match(await refused(one, 'EVALSHA', '0'.repeat(40), '0'), /NOSCRIPT/)
  test.match(await refused(one, 'NOSUCH', 'a'), /unknown command/)
  await until(() => pontoon.ownServers() === 0, 'an unknown command leaves nothing behind')
  test.ok(await one.call('SCAN', '0', 'COUNT', '1000'))
  test.match(await refused(one, 'GET'), /wrong number of arguments/)
  test.equal(await one.call('CONFIG', 'GET', 'nosuch').then(String), '')
  one.destroy()
})

await t.test('a large value passes without being held', async (test) => {
  const one = await pontoon.client()
  const value = 'x'.repeat(8 * 1024 * 1024)
  test.equal(await one.call('SET', 'big', value), 'OK')
  test.equal(await one.call('STRLEN', 'big'), value.length)
  test.equal(textOf(await one.call('GET', 'big')).length, value.length)
  test.equal(pontoon.ownServers(), 0)
  one.destroy()
})

await t.test('a client that closes its half gets the answers it has asked for', async (test) => {
  const client = await pontoon.client()
  client.send('SET', 'half', '1')
  client.send('MULTI')
  client.send('INCR', 'half')
  client.send('EXEC')
  client.send('GET', 'half')
  client.socket.end()
  test.equal(await client.value(), 'OK')
  test.equal(await client.value(), 'OK')
  test.equal(await client.value(), 'QUEUED')
  test.same(await client.value(), [2])
  test.equal(await client.value(), '2')
  await client.untilClosed()
  const blocked = await pontoon.client()
  blocked.send('BLPOP', 'never', '0')
  await until(() => pontoon.ownServers() === 1, 'it blocks')
  blocked.socket.end()
  await blocked.untilClosed()
  await until(() => pontoon.ownServers() === 0, 'it is gone')
})

await t.test('a broken command is refused in the server’s words', async (test) => {
  for (const bytes of ['*1\r\nx\r\n', '*a\r\n', '*1\r\n$-1\r\n', 'set "a\r\n']) {
    const answers: string[] = []
    for (const to of [pontoon, redis]) {
      const client = to === pontoon ? await pontoon.client() : await redis.connect()
      client.raw('PING\r\n')
      await client.value()
      client.raw(bytes)
      answers.push((await client.next()).bytes.toString())
      await client.untilClosed()
    }
    test.equal(answers[0], answers[1], JSON.stringify(bytes))
  }
})

await pontoon.untilIdle()
