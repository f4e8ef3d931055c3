/** Traps that Redis proxies have fallen into, each named; docs/traps.md lists them all. */
import tap from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startReplicaSet } from '../../support/redis-topologies.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRelay } from '../../support/relay.ts'
import { RespError, RespPush, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const set = await startReplicaSet()
tap.teardown(() => set.stop())
const redis = set.primary
const [replica] = set.replicas
if (replica === undefined) throw new Error('no replica')
const pontoon = await startRedisPontoon({ source: redis })
tap.teardown(() => pontoon.stop())
const pinned = await startRedisPontoon({ source: redis, mode: 'pinned' })
tap.teardown(() => pinned.stop())

await tap.test(
  'trap: RESP2 and RESP3 clients at once get replies of their own shape',
  async (t) => {
    await redis.call('HSET', 'h', 'a', '1')
    const clients = await Promise.all(Array.from({ length: 10 }, () => pontoon.client()))
    for (const [index, client] of clients.entries())
      if (index % 2 === 1) await client.call('HELLO', 3)
    for (let round = 0; round < 20; round += 1) {
      for (const client of clients) client.send('HGETALL', 'h')
      for (const [index, client] of clients.entries()) {
        t.same(await client.value(), index % 2 === 1 ? new Map([['a', '1']]) : ['a', '1'])
      }
    }
    for (const client of clients) client.destroy()
  },
)

await tap.test(
  'trap: an invalidation reaches the client that tracks the key, and no other',
  async (t) => {
    const [one, other, writer] = [
      await pontoon.client(),
      await pontoon.client(),
      await pontoon.client(),
    ]
    for (const [client, key] of [
      [one, 'mine'],
      [other, 'yours'],
    ] as const) {
      await client.call('HELLO', 3)
      await client.call('CLIENT', 'TRACKING', 'on')
      await client.call('GET', key)
    }
    await writer.call('SET', 'yours', '1')
    t.same(await other.value(), new RespPush(['invalidate', ['yours']]))
    await writer.call('SET', 'mine', '1')
    t.same(await one.value(), new RespPush(['invalidate', ['mine']]))
    t.equal(await other.ask('PING'), 'PONG', 'nothing else has come')
    for (const client of [one, other, writer]) client.destroy()
  },
)

await tap.test('trap: a storm of subscribers: every message to each, in order', async (t) => {
  const subscribers = await Promise.all(Array.from({ length: 60 }, () => pontoon.client()))
  for (const client of subscribers) await client.call('SUBSCRIBE', 'storm')
  const publisher = await pontoon.client()
  for (let index = 0; index < 50; index += 1) publisher.send('PUBLISH', 'storm', String(index))
  for (let index = 0; index < 50; index += 1) t.equal(await publisher.value(), 60)
  for (const client of subscribers) {
    const heard: string[] = []
    for (let index = 0; index < 50; index += 1) {
      const message = await client.value()
      heard.push(Array.isArray(message) ? textOf(message[2]) : '')
    }
    t.equal(heard.join(), Array.from({ length: 50 }, (_, index) => index).join())
    client.destroy()
  }
  publisher.destroy()
  await until(() => pontoon.ownServers() === 0, 'their servers are closed')
})

await tap.test(
  'trap: WAIT counts replicas for what was written over a shared server',
  async (t) => {
    const client = await pontoon.client()
    await client.call('SET', 'waited', '1')
    t.equal(await client.call('WAIT', '1', '5000'), 1)
    replica.pause()
    await client.call('SET', 'waited', '2')
    t.equal(await client.call('WAIT', '1', '100'), 0, 'the replica does not have it')
    replica.resume()
    client.send('SET', 'waited', '3')
    client.send('WAIT', '1', '5000')
    client.send('GET', 'waited')
    for (const expected of ['OK', 1, '3']) t.equal(await client.value(), expected)
    client.destroy()
  },
)

await tap.test('trap: a protocol error gets the server’s own words, then the close', async (t) => {
  const broken = [
    '*x\r\n',
    '*1\r\n$-5\r\n',
    '*1\r\n$99999999999999\r\n',
    '*2147483648\r\n',
    '*1\r\nPING\r\n',
    'GET "unbalanced\r\n',
    `${'x'.repeat(200_000)}\r\n`,
    '*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n',
    '*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n',
    'PING\r\nPING "unbalanced\r\n',
    'WATCH a\r\nPING\r\nPING "unbalanced\r\n',
    'MULTI\r\nPING\r\nPING "unbalanced\r\n',
    'SUBSCRIBE x\r\nPING\r\n*1\r\n$x\r\n',
    'CLIENT REPLY SKIP\r\nPING\r\nPING\r\nCLIENT REPLY SKIP\r\nPING\r\n*1\r\n$x\r\n',
    'MONITOR\r\n*1\r\n$x\r\n',
    'MONITOR\r\n"unbalanced\r\n',
    'XREAD BLOCK 1 STREAMS none $\r\n*1\r\n$x\r\n',
    'HELLO 3 AUTH a\r\nMULTI\r\nSUBSCRIBE x\r\nEXEC\r\n*1\r\n$x\r\n',
  ]
  for (const bytes of broken) {
    const expected = await everything(redis.port, bytes)
    t.match(expected, /Protocol error/)
    for (const one of [pontoon, pinned]) {
      t.equal(await everything(one.port, bytes), expected, JSON.stringify(bytes.slice(0, 40)))
    }
  }
})

await tap.test('trap: what one client breaks off shifts the replies of no other', async (t) => {
  const one = await startRedisPontoon({ source: redis, pool: { size: 1 } })
  t.teardown(() => one.stop())
  const client = await one.client()
  for (let round = 0; round < 20; round += 1) {
    const broken = await one.client()
    for (let index = 0; index < 5; index += 1) client.send('ECHO', `${round}.${index}`)
    broken.raw('*2\r\n$4\r\nECHO\r\n$6\r\nsecret\r\n*1\r\n$x\r\n')
    for (let index = 0; index < 5; index += 1) t.equal(await client.value(), `${round}.${index}`)
    await broken.untilClosed()
    t.match(broken.unread.toString(), /^\$6\r\nsecret\r\n-ERR Protocol error/)
    broken.destroy()
  }
  t.equal(await client.call('ECHO', 'end'), 'end')
  client.destroy()
})

// Last, because it turns the servers around.
await tap.test(
  'trap: after a failover behind the same name writes reach the new primary',
  async (t) => {
    let port = redis.port
    const name = await startRelay({
      to: {
        host: '127.0.0.1',
        get port() {
          return port
        },
      },
    })
    t.teardown(() => name.close())
    const service = await startRedisPontoon({ source: { port: name.port } })
    t.teardown(() => service.stop())
    const client = await service.client()
    t.equal(await client.call('SET', 'f', '1'), 'OK')
    await until(async () => (await replica.call('GET', 'f')) === '1', 'replicated')
    await replica.call('REPLICAOF', 'NO', 'ONE')
    await redis.call('REPLICAOF', replica.host, replica.port)
    port = replica.port
    const isWritten = async (): Promise<boolean> => {
      const answer = await client.ask('SET', 'f', '2')
      if (answer instanceof RespError) t.match(answer.message, /^READONLY/)
      return answer === 'OK'
    }
    await until(isWritten, 'a write is taken', 30_000)
    t.equal(await replica.call('GET', 'f'), '2')
    client.destroy()
  },
)

/** All that comes until the other side closes. */
async function everything(port: number, bytes: string): Promise<string> {
  const wire = await connectRedis({ port })
  wire.raw(bytes)
  await wire.untilClosed()
  return wire.unread.toString('latin1')
}
