/** A real cluster of six behind a connection for clients that know of none. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import tap from 'tap'
import type { RedisLoginOptions } from '../../../src/net/redis/login.ts'
import { ClusterSide } from '../../../src/proxy/redis/cluster-side.ts'
import { CommandBook } from '../../../src/proxy/redis/command-book.ts'
import { commandTable } from '../../../src/routing/redis/command-table.ts'
import { hashSlot } from '../../../src/routing/redis/hash-slot.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { noticeLosses, startRedisCluster } from '../../support/redis-topologies.ts'
import type { RedisServer } from '../../support/redis.ts'
import { serveCluster } from '../../support/redis-cluster-pontoon.ts'
import type { RedisPontoon } from '../../support/redis-pontoon.ts'
import { RedisWire } from '../../support/redis-wire.ts'
import { itemsOf, RespError, textOf } from '../../support/resp.ts'
import type { RespValue } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const cluster = await startRedisCluster()
tap.teardown(() => cluster.stop())
const [seed] = cluster.primaries
if (seed === undefined) throw new Error('no primary')
const book = new CommandBook()
book.learn(commandTable(await seed.call('COMMAND')))
const side = sideOf(false)
const wires: RedisWire[] = []
tap.teardown(() => wires.forEach((wire) => wire.destroy()))

await tap.test('commands find the nodes of their keys, replies keep their order', async (t) => {
  const wire = await open()
  const names = Array.from({ length: 300 }, (_, index) => `key:${index}`)
  for (const name of names) wire.send('SET', name, `value of ${name}`)
  for (const name of names) wire.send('GET', name)
  for (const _ of names) t.equal(await wire.value(), 'OK')
  for (const name of names) t.equal(await wire.value(), `value of ${name}`)
  const counts = await Promise.all(cluster.primaries.map((node) => node.call('DBSIZE')))
  t.ok(
    counts.every((count) => Number(count) > 50),
    `spread over all: ${counts.map(textOf).join()}`,
  )
  t.equal(await wire.call('DBSIZE'), 300, 'the sum of all')
  const big = 'x'.repeat(3_000_000)
  wire.send('SET', 'big', big)
  wire.send('GET', 'big')
  wire.send('GET', 'key:1')
  t.equal(await wire.value(), 'OK')
  t.equal(textOf(await wire.value()).length, big.length)
  t.equal(await wire.value(), 'value of key:1')
})

await tap.test('commands with keys of several slots are split where nothing is lost', async (t) => {
  const wire = await open()
  t.same(await wire.call('MGET', 'key:1', 'nothing', 'key:3', 'key:1'), [
    'value of key:1',
    null,
    'value of key:3',
    'value of key:1',
  ])
  t.equal(await wire.call('EXISTS', 'key:1', 'key:2', 'nothing'), 2)
  t.equal(await wire.call('TOUCH', 'key:1', 'key:2'), 2)
  t.equal(await wire.call('DEL', 'key:1', 'key:2', 'nothing'), 2)
  t.equal(await wire.call('UNLINK', 'key:3', 'key:4'), 2)
  t.equal(await wire.call('MSET', '{tag}a', '1', '{tag}b', '2'), 'OK', 'of one slot as it is')
  await wire.call('LPUSH', 'list', 'x')
  t.same(await wire.call('MGET', 'list', 'key:5'), [null, 'value of key:5'])
})

await tap.test('trap: CROSSSLOT is explained, and atomic commands are not split', async (t) => {
  const wire = await open()
  const words = ['MSET a 1 b 2', 'MSETNX a 1 b 2', 'RENAME a b', 'SINTER a b', 'SMOVE a b c']
  for (const line of words)
    t.match(await refusal(wire, line), /^CROSSSLOT .*'a' \(slot 15495\)/, line)
  t.match(await refusal(wire, 'MSET a 1 b 2'), /clusterMset: split/)
  const splitting = await open(sideOf(true))
  t.equal(await splitting.call('MSET', 'a', '1', 'b', '2'), 'OK')
  t.same(await splitting.call('MGET', 'a', 'b'), ['1', '2'])
})

await tap.test('trap: a database other than 0 is refused clearly', async (t) => {
  const wire = await open()
  t.equal(await wire.call('SELECT', '0'), 'OK')
  t.match(await refusal(wire, 'SELECT 1'), /not allowed in cluster mode/)
  await t.rejects(
    side.open((node) => ({ ...login(node), database: 1 })),
    /cluster mode/,
  )
})

await tap.test('SCAN, KEYS and FLUSHALL reach every node', async (t) => {
  const wire = await open()
  const found = new Set<string>()
  let cursor = '0'
  let rounds = 0
  do {
    const [next, keys] = itemsOf(await wire.call('SCAN', cursor, 'COUNT', '20', 'MATCH', 'key:*'))
    for (const key of itemsOf(keys)) found.add(textOf(key))
    cursor = textOf(next)
    rounds += 1
  } while (cursor !== '0' && rounds < 200)
  t.equal(found.size, 296)
  t.equal(itemsOf(await wire.call('KEYS', 'key:*')).length, 296)
  t.match(await refusal(wire, 'SCAN x'), /invalid cursor/)
  t.match(await refusal(wire, 'SCAN 999'), /invalid cursor/)
  const sha = textOf(await wire.call('SCRIPT', 'LOAD', "return redis.call('GET', KEYS[1])"))
  t.equal(await wire.call('EVALSHA', sha, '1', 'key:7'), 'value of key:7', 'a script is everywhere')
  t.equal(await wire.call('EVALSHA', sha, '1', 'key:8'), 'value of key:8')
  t.same(await wire.call('SCRIPT', 'EXISTS', sha, 'no'), [1, 0])
  t.equal(await wire.call('FLUSHALL'), 'OK')
  t.equal(await wire.call('DBSIZE'), 0)
})

await tap.test('transactions live on the node of their first key', async (t) => {
  const wire = await open()
  wire.send('MULTI')
  wire.send('PING')
  wire.send('SET', '{t}a', '1')
  wire.send('INCR', '{t}a')
  wire.send('EXEC')
  const replies: RespValue[] = []
  for (let index = 0; index < 5; index += 1) replies.push(await wire.value())
  t.same(replies, ['OK', 'QUEUED', 'QUEUED', 'QUEUED', ['PONG', 'OK', 2]])
  for (const word of ['MULTI', 'PING']) await wire.call(word)
  t.same(await wire.call('EXEC'), ['PONG'], 'without a key')
  await wire.call('MULTI')
  await wire.call('SET', 'a', '1')
  t.match(await refusal(wire, 'SET b 1'), /^CROSSSLOT slot 3300/)
  t.match(await refusal(wire, 'EXEC'), /^EXECABORT/)
  t.equal(await wire.call('EXISTS', 'a'), 0, 'none of it was carried out')
  await wire.call('WATCH', 'a')
  await (await open()).call('SET', 'a', 'changed')
  await wire.call('MULTI')
  await wire.call('SET', 'a', 'lost')
  t.equal(await wire.call('EXEC'), null)
  t.equal(await wire.call('GET', 'a'), 'changed')
  t.match(await refusal(wire, 'EXEC'), /without MULTI/)
})

await tap.test('waiting and messages', async (t) => {
  const [wire, other] = [await open(), await open()]
  wire.send('BLPOP', 'q', '10')
  await other.call('RPUSH', 'q', 'x')
  t.same(await wire.value(), ['q', 'x'])
  t.same(await wire.call('SUBSCRIBE', 'news'), ['subscribe', 'news', 1])
  t.type(await other.call('PUBLISH', 'news', 'hello'), 'number')
  t.same(await wire.value(), ['message', 'news', 'hello'])
})

for (const mode of ['multiplexed', 'pinned'] as const) {
  await tap.test(`as the side of a service, ${mode}`, async (t) => {
    const pontoon = await serve(t, mode)
    const wire = await pontoon.client()
    const names = Array.from({ length: 50 }, (_, index) => `svc:${index}`)
    for (const name of names) wire.send('SET', name, name)
    for (const _ of names) t.equal(await wire.value(), 'OK')
    t.same(await wire.call('MGET', ...names), names)
    await wire.call('MULTI')
    await wire.call('SET', 'svc', '1')
    t.same(await wire.call('EXEC'), ['OK'])
    t.match(await refusal(wire, 'SINTER a b'), /^CROSSSLOT .*hash tag/)
    t.match(await refusal(wire, 'SELECT 1'), /cluster mode/)
    t.equal(await wire.call('GET', 'svc'), '1', 'the client goes on')
    t.equal(await refusal(wire, "EVAL return{err='MY'} 0"), 'MY', 'however short an error is')
    const value = 'x'.repeat(1_000_000)
    await wire.call('SET', 'large', value)
    t.equal(await wire.call('GET', 'large'), value)
    const other = await pontoon.client()
    wire.send('BLPOP', 'svc:list', '10')
    await other.call('RPUSH', 'svc:list', 'x')
    t.same(await wire.value(), ['svc:list', 'x'])
    t.same(await other.call('SUBSCRIBE', 'news'), ['subscribe', 'news', 1])
    await wire.call('PUBLISH', 'news', 'hello')
    t.same(await other.value(), ['message', 'news', 'hello'])
    for (const one of [wire, other]) one.destroy()
  })
}

for (const mode of ['multiplexed', 'pinned'] as const) {
  await tap.test(`${mode}: a pause ends blocking commands of a cluster`, async (t) => {
    const pontoon = await serve(t, mode)
    // Slots of all three nodes.
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${mode}:${name}`)
    const clients = await Promise.all(keys.map(() => pontoon.client()))
    for (const [index, client] of clients.entries()) client.send('BLPOP', keys[index] ?? '', '0')
    await untilBlocked(keys.length)
    const report = await pontoon.service.pause(30_000, 5_000, 'a test')
    t.same(report.waitingFor, [])
    t.equal(await blockedThere(), 0)
    const pusher = await (await serve(t, mode)).client()
    for (const key of keys) await pusher.call('RPUSH', key, `for ${key}`)
    for (const key of keys) t.equal(await pusher.call('LLEN', key), 1, 'nobody takes it meanwhile')
    pontoon.service.resume()
    for (const [index, client] of clients.entries()) {
      const key = keys[index] ?? ''
      t.same(await client.value(), [key, `for ${key}`])
    }
    for (const client of [...clients, pusher]) client.destroy()
  })

  await tap.test(`${mode}: XREAD of $ in a cluster sees what came in the pause`, async (t) => {
    const pontoon = await serve(t, mode)
    const client = await pontoon.client()
    const pusher = await (await serve(t, mode)).client()
    client.send('XREAD', 'BLOCK', '0', 'STREAMS', `stream:${mode}`, '$')
    await untilBlocked(1)
    t.equal((await pontoon.service.pause(30_000, 5_000, 'a test')).drained, true)
    await pusher.call('XADD', `stream:${mode}`, '1-1', 'f', 'v')
    pontoon.service.resume()
    t.same(await client.value(), [[`stream:${mode}`, [['1-1', ['f', 'v']]]]])
    for (const one of [client, pusher]) one.destroy()
  })
}

await tap.test(
  'slots that move are followed, also in the middle of it (ASK, TRYAGAIN)',
  async (t) => {
    const wire = await open()
    const [from, to] = await nodesFor('mv')
    const slot = Number(await from.call('CLUSTER', 'KEYSLOT', 'mv'))
    await wire.call('MSET', '{mv}1', 'one', '{mv}2', 'two')
    const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
    await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', textOf(fromId))
    await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', textOf(toId))
    await from.call('MIGRATE', to.host, to.port, '{mv}1', 0, 1_000)
    t.equal(await wire.call('GET', '{mv}1'), 'one', 'by ASK')
    t.equal(await wire.call('GET', '{mv}2'), 'two', 'still where it was')
    wire.send('MGET', '{mv}1', '{mv}2')
    wire.send('SET', '{mv}1', 'after')
    await from.call('MIGRATE', to.host, to.port, '{mv}2', 0, 1_000)
    await to.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
    await from.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
    t.same(await wire.value(), ['one', 'two'], 'as soon as one node has both')
    t.equal(await wire.value(), 'OK', 'what came behind it waited')
    t.equal(await wire.call('GET', '{mv}1'), 'after', 'by MOVED')
  },
)

for (const mode of ['multiplexed', 'pinned'] as const)
  await tap.test(`${mode}: a client ends with what it has on a node`, async (t) => {
    const pontoon = await serve(t, mode)
    const [listener, broken] = [await pontoon.client(), await pontoon.client()]
    t.same(await listener.call('SUBSCRIBE', 'news'), ['subscribe', 'news', 1])
    for (const node of cluster.nodes) await node.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await listener.untilClosed()
    broken.raw('*1\r\n$x\r\n')
    await broken.untilClosed()
    await until(() => pontoon.ownServers() === 0, 'nobody has a server')
  })

await tap.test('what a pinned client makes of its connection holds on every node', async (t) => {
  const pontoon = await serve(t, 'pinned')
  for (const node of cluster.nodes)
    await node.call('ACL', 'SETUSER', 'lean', 'on', '>secret', '~*', '&*', '+@all')
  const names = Array.from({ length: 12 }, (_, index) => `hash:${index}`)
  const [first, late] = [await pontoon.client(), await pontoon.client()]
  const shapes = async (client: RedisWire): Promise<readonly string[]> => {
    const all = await Promise.all(names.map((name) => client.call('HGETALL', name)))
    return [...new Set(all.map((value) => (Array.isArray(value) ? 'array' : 'map')))]
  }
  for (const name of names) await first.call('HSET', name, 'field', name)
  t.same(await shapes(first), ['array'])
  // Its nodes are all open, those of the other one are not.
  for (const client of [first, late]) {
    const hello = client.call('HELLO', '3', 'SETNAME', 'shaped')
    t.same(await shapes(client), ['map'], 'what is pipelined behind it comes behind it')
    await hello
    t.ok((await named('shaped')).every((line) => line.includes('resp=3')))
    t.match(await refusal(client, 'AUTH lean wrong'), /^WRONGPASS/)
    t.equal(await client.call('AUTH', 'lean', 'secret'), 'OK')
    t.equal(await client.call('CLIENT', 'SETNAME', 'renamed'), 'OK')
    t.ok((await named('renamed')).every((line) => /user=lean .*resp=3/.test(line)))
    await client.call('CLIENT', 'SETNAME', 'known')
  }
  const third = await pontoon.client()
  t.match(await refusal(third, 'AUTH lean wrong'), /^WRONGPASS/)
  await third.call('HELLO', '3')
  t.same(await shapes(third), ['map'])
  t.equal(await first.call('RESET'), 'RESET')
  t.same(await shapes(first), ['array'])
})

await tap.test('a resharding under writes: each is carried out once', async (t) => {
  const [from, to] = cluster.primaries
  if (from === undefined || to === undefined) throw new Error('no primaries')
  const goes = 4
  const slotsEach = 10
  const names = Array.from({ length: 20_000 }, (_, index) => `count:${index}`)
  // The lowest slots move first.
  const movingIn = Array.from({ length: goes }, (_, go) =>
    names.filter((name) => Math.floor(slotOf(name) / slotsEach) === go).slice(0, 5),
  )
  const staying = names.filter((name) => slotOf(name) >= goes * slotsEach).slice(0, 20)
  const keys = [...movingIn.flat(), ...staying]
  const pontoon = await serve(t, 'multiplexed')
  const clients = await Promise.all(Array.from({ length: 4 }, () => pontoon.client()))
  const state = { isOver: false }
  const rounds = clients.map(() => 0)
  const count = async (client: RedisWire, index: number): Promise<void> => {
    while (!state.isOver) {
      for (const key of keys) client.send('INCR', key)
      for (const key of keys) {
        const answer = await client.value(20_000)
        if (typeof answer !== 'number') t.fail(`${key}: ${JSON.stringify(answer)}`)
      }
      rounds[index] = (rounds[index] ?? 0) + 1
    }
  }
  /** However quick the resharding is: the second one to end has begun after it. */
  const untilAnotherRound = (): Promise<void> => {
    const before = [...rounds]
    const isAnother = (): boolean => rounds.every((done, one) => done >= (before[one] ?? 0) + 2)
    return until(isAnother, 'each client does another round')
  }
  const counting = Promise.all(clients.map(count))
  await untilAnotherRound()
  for (const moving of movingIn) {
    await reshard(from, to, slotsEach)
    for (const key of moving) await t.rejects(from.call('GET', key), /MOVED/, `${key} has moved`)
    await untilAnotherRound()
  }
  const [inTheMiddle = ''] = staying.filter((name) => slotOf(name) < 5_000)
  for await (const _ of moveSlot(from, to, inTheMiddle)) await untilAnotherRound()
  state.isOver = true
  await counting
  const sum = rounds.reduce((all, one) => all + one, 0)
  const [reader] = clients
  for (const key of keys) t.equal(await reader?.call('GET', key), String(sum), key)
  for (const client of clients) client.destroy()
})

await tap.test('a failover: reads and what was not sent wait for the new primary', async (t) => {
  const wire = await open()
  const [lost] = await nodesFor('fo')
  await wire.call('SET', 'fo', '1')
  await lost.call('WAIT', 1, 5_000)
  await noticeLosses(cluster)
  await lost.kill9()
  t.equal(await wire.ask('GET', 'fo'), '1')
  t.equal(await wire.call('SET', 'fo', '2'), 'OK')
  t.equal(await wire.call('GET', 'fo'), '2')
})

await tap.test('trap: a command whose fate is unknown is not sent again', async (t) => {
  const wire = await open()
  await wire.call('SET', 'fate', '0')
  const node = await nodeOf('fate')
  node.pause()
  wire.send('INCR', 'fate')
  await new Promise((resolve) => setTimeout(resolve, 50))
  await node.kill9()
  const answer = await wire.value()
  t.match(answer instanceof RespError ? answer.message : answer, /^ERR .*unknown/)
})

function sideOf(splitMset: boolean): ClusterSide {
  if (seed === undefined) throw new Error('no primary')
  return new ClusterSide({
    seed: { host: seed.host, port: seed.port },
    clock: systemClock,
    splitMset,
    retryMs: 30_000,
    recordOf: (request) => book.recordOf(request),
  })
}

function login(endpoint: { host: string; port: number }): RedisLoginOptions {
  return {
    endpoint,
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    user: null,
    password: null,
    database: 0,
    version: 2,
    timeoutMs: 5_000,
  }
}

async function open(from = side): Promise<RedisWire> {
  const { socket } = await from.open(login)
  const wire = new RedisWire(socket)
  wires.push(wire)
  return wire
}

/** The cluster as the source of a service. */
async function serve(
  test: { teardown(end: () => Promise<void>): void },
  mode: 'multiplexed' | 'pinned',
): Promise<RedisPontoon> {
  return serveCluster(test, await nodeOf('any'), { mode })
}

function slotOf(key: string): number {
  const bytes = Buffer.from(key)
  return hashSlot(bytes, 0, bytes.length)
}

async function blockedThere(): Promise<number> {
  const counts = await Promise.all(cluster.nodes.map((node) => node.info('blocked_clients')))
  return counts.reduce((sum, count) => sum + Number(count), 0)
}

function untilBlocked(count: number): Promise<void> {
  return until(async () => (await blockedThere()) === count, `${count} block`)
}

async function refusal(wire: RedisWire, line: string): Promise<string> {
  const value = await wire.ask(...line.split(' '))
  return value instanceof RespError ? value.message : `no error: ${JSON.stringify(value)}`
}

/** The primary that serves the key at present. */
async function nodeOf(key: string) {
  for (const node of cluster.nodes) {
    if (node.pid === undefined) continue
    const role = itemsOf(await node.call('ROLE'))[0]
    const reply = await node.call('GET', key).catch((error: unknown) => String(error))
    if (role === 'master' && !textOf(reply ?? '').includes('MOVED')) return node
  }
  throw new Error(`nobody serves ${key}`)
}

/** The primary of the key, and another one. */
async function nodesFor(key: string) {
  const from = await nodeOf(key)
  const to = cluster.primaries.find((node) => node !== from && node.pid !== undefined)
  if (to === undefined) throw new Error('only one primary')
  return [from, to] as const
}

/** Moves the lowest slots of the one node to the other. */
async function reshard(from: RedisServer, to: RedisServer, slots: number): Promise<void> {
  const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
  const options = { from: textOf(fromId), to: textOf(toId), slots: String(slots) }
  await promisify(execFile)('redis-cli', [
    '--cluster',
    'reshard',
    `${from.host}:${from.port}`,
    '--cluster-yes',
    ...Object.entries(options).flatMap(([name, value]) => [`--cluster-${name}`, value]),
  ])
}

/** Moves the slot of a key, and stops behind every step. */
async function* moveSlot(from: RedisServer, to: RedisServer, key: string): AsyncGenerator<void> {
  const slot = slotOf(key)
  const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
  await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', textOf(fromId))
  await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', textOf(toId))
  yield
  await from.call('MIGRATE', to.host, to.port, key, 0, 1_000)
  yield
  await to.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
  await from.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
  yield
}

/** What each primary says of the client of that name; '' where there is none. */
async function named(name: string): Promise<readonly string[]> {
  const lists = await Promise.all(cluster.primaries.map((node) => node.call('CLIENT', 'LIST')))
  return lists.map((list) => textOf(list).match(new RegExp(` name=${name} .*`))?.[0] ?? '')
}
