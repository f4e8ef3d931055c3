/** Nodes of a cluster that stand still, are lost, or whose slots have moved. */
import { setImmediate as turn } from 'node:timers/promises'
import tap from 'tap'
import { ClusterSide } from '../../../src/proxy/redis/cluster-side.ts'
import { CommandBook } from '../../../src/proxy/redis/command-book.ts'
import { commandTable } from '../../../src/routing/redis/command-table.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { poolModes, serveCluster, type PoolMode } from '../../support/redis-cluster-pontoon.ts'
import { giveSlot, startRedisCluster } from '../../support/redis-topologies.ts'
import type { RedisServer } from '../../support/redis.ts'
import { connectRedis, RedisWire } from '../../support/redis-wire.ts'
import { encodeCommand, RespError, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const cluster = await startRedisCluster({ config: ['cluster-require-full-coverage no'] }, 0)
tap.teardown(() => cluster.stop())
const [seed, , last] = cluster.primaries
if (seed === undefined || last === undefined) throw new Error('no primaries')

/** A key of the last node, about which the first one is not asked. */
const key = await keyOf(last)

for (const mode of poolModes)
  await tap.test(`${mode}: a transaction learns where its slot has moved`, async (t) => {
    const client = await clientOf(t, mode)
    t.match(await transaction(client, `multi:${mode}`), ['QUEUED', [1]])
    await move(`multi:${mode}`)
    t.match(await transaction(client, `multi:${mode}`), [/^TRYAGAIN slot/, /^EXECABORT/])
    t.match(await transaction(client, `multi:${mode}`), ['QUEUED', [1]])
    await move(`watch:${mode}`)
    t.match(await words(client, 'WATCH', `watch:${mode}`), /^TRYAGAIN slot/)
    t.equal(await words(client, 'WATCH', `watch:${mode}`), 'OK', 'without an UNWATCH')
    t.match(await transaction(client, `watch:${mode}`), ['QUEUED', [1]])
  })

for (const mode of poolModes)
  await tap.test(`${mode}: a transaction whose slot has moved is over`, async (t) => {
    const pontoon = await serveCluster(t, cluster.primaries[0], { mode })
    const client = await pontoon.client()
    t.teardown(() => client.destroy())
    const name = `over:${mode}`
    for (const line of ['MULTI', `INCR ${name}`]) await client.call(...line.split(' '))
    await move(name)
    t.match(await words(client, 'EXEC'), /^TRYAGAIN slot/)
    t.equal((await pontoon.service.pause(30_000, 2_000, 'a test')).drained, true)
    pontoon.service.resume()
    client.send('CLIENT', 'REPLY', 'SKIP')
    client.send('ECHO', 'nobody')
    t.equal(await words(client, 'ECHO', 'on'), 'on')
  })

await tap.test('what waits for a node that is not open yet is bounded', async (t) => {
  const { socket } = await connection(t)
  last.pause()
  t.teardown(() => last.resume())
  const large = encodeCommand('SET', key, Buffer.alloc(300_000))
  for (let count = 0; count < 3; count += 1) socket.write(large)
  await turn()
  t.not(socket.writableLength, 0, 'no more is taken')
  last.resume()
  await until(() => socket.writableLength === 0, 'it is open')
})

await tap.test('replies that wait behind a node that stands still are bounded', async (t) => {
  const wire = await connection(t)
  await wire.call('SET', key, 'first')
  const other = await keyOf(cluster.primaries[0] ?? last)
  await wire.call('SET', other, Buffer.alloc(100_000))
  last.pause()
  t.teardown(() => last.resume())
  wire.send('GET', key)
  let sent = 0
  await until(async () => {
    wire.send('GET', other)
    sent += 1
    await turn()
    return wire.socket.writableLength > 0
  }, 'no more is taken')
  last.resume()
  t.equal(await wire.value(), 'first')
  for (; sent > 0; sent -= 1) t.equal(textOf(await wire.value()).length, 100_000)
  t.equal(wire.socket.writableLength, 0)
})

await tap.test('pinned: messages behind a reply that stands still are bounded', async (t) => {
  const node = cluster.primaries[0] ?? last
  for (const one of cluster.primaries)
    await one.call('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 0 0 0')
  const client = await clientOf(t, 'pinned')
  await client.call('SET', key, Buffer.alloc(24_000_000))
  await client.call('HELLO', '3')
  await client.ask('SUBSCRIBE', 'news')
  t.teardown(() => last.resume())
  client.socket.once('data', () => last.pause())
  client.send('GET', key)
  const unreadBytes = async (): Promise<number> => {
    const list = textOf(await node.call('CLIENT', 'LIST', 'TYPE', 'pubsub'))
    return Number(/omem=(\d+)/.exec(list)?.[1])
  }
  await until(() => client.unread.length > 0, 'the reply has begun')
  let sent = 0
  for (; sent < 200 && (await unreadBytes()) === 0; sent += 1)
    await node.call('PUBLISH', 'news', Buffer.alloc(1_000_000))
  t.not(await unreadBytes(), 0, 'no more is read')
  last.resume()
  t.equal(textOf(await client.value(30_000)).length, 24_000_000)
  for (; sent > 0; sent -= 1)
    t.match(await client.value(), { items: ['message', 'news', /^\0{1000000}$/] })
})

await tap.test('pinned: the node that is listened to answers HELLO', async (t) => {
  const client = await clientOf(t, 'pinned')
  await client.call('HELLO', '3')
  await client.ask('SSUBSCRIBE', key)
  const other = await connectRedis({ port: last.port })
  t.teardown(() => other.destroy())
  last.pause()
  t.teardown(() => last.resume())
  other.send('SPUBLISH', key, 'late')
  client.send('HELLO', '2')
  for (let count = 0; count < 20; count += 1) await cluster.primaries[0]?.call('PING')
  last.resume()
  await client.next()
  t.equal((await client.next()).bytes[0], '*'.charCodeAt(0), 'no message of RESP3 behind it')
})

await tap.test('a node that is lost with much unwritten holds up nobody', async (t) => {
  const wire = await connection(t)
  t.equal(await wire.call('SET', key, '1'), 'OK')
  last.pause()
  const large = encodeCommand('SET', key, Buffer.alloc(300_000))
  let sent = 0
  for (; wire.socket.writableLength === 0; sent += 1) {
    wire.socket.write(large)
    await turn()
  }
  await last.kill9()
  await until(() => wire.socket.writableLength === 0, 'more is taken')
  for (; sent > 0; sent -= 1) t.ok((await wire.value()) instanceof RespError)
  t.equal(await wire.call('PING'), 'PONG')
})

async function connection(test: { teardown(end: () => void): void }): Promise<RedisWire> {
  const book = new CommandBook()
  book.learn(commandTable(await cluster.primaries[0]?.call('COMMAND')))
  const side = new ClusterSide({
    seed: { host: seed?.host ?? '', port: seed?.port ?? 0 },
    clock: systemClock,
    splitMset: false,
    retryMs: 300,
    recordOf: (request) => book.recordOf(request),
  })
  const { socket } = await side.open((endpoint) => ({
    endpoint,
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    user: null,
    password: null,
    database: 0,
    version: 2,
    timeoutMs: 5_000,
  }))
  const wire = new RedisWire(socket)
  test.teardown(() => wire.destroy())
  return wire
}

async function clientOf(
  test: { teardown(end: () => Promise<void>): void },
  mode: PoolMode,
): Promise<RedisWire> {
  const pontoon = await serveCluster(test, cluster.primaries[0], { mode })
  const client = await pontoon.client()
  test.teardown(() => Promise.resolve(client.destroy()))
  return client
}

async function words(client: RedisWire, ...command: readonly string[]): Promise<unknown> {
  const value = await client.ask(...command)
  return value instanceof RespError ? value.message : value
}

/** What its INCR and its EXEC got; the key is not left behind. */
async function transaction(client: RedisWire, name: string): Promise<readonly unknown[]> {
  await client.call('MULTI')
  const got = [await words(client, 'INCR', name), await words(client, 'EXEC')]
  await client.ask('DEL', name)
  return got
}

async function isOf(node: RedisServer, name: string): Promise<boolean> {
  const reply = await node.call('EXISTS', name).catch((error: unknown) => String(error))
  return typeof reply === 'number'
}

async function keyOf(node: RedisServer): Promise<string> {
  for (let index = 0; ; index += 1) if (await isOf(node, `key:${index}`)) return `key:${index}`
}

/** The empty slot of that name goes to another node. */
async function move(name: string): Promise<void> {
  const owns = await Promise.all(cluster.primaries.map((node) => isOf(node, name)))
  const from = cluster.primaries[owns.indexOf(true)]
  const to = cluster.primaries[owns.indexOf(false)]
  if (from === undefined || to === undefined) throw new Error('nobody has the slot')
  await giveSlot(cluster, Number(await from.call('CLUSTER', 'KEYSLOT', name)), from, to)
}
