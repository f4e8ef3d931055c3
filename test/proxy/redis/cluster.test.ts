/** A real cluster of six behind a connection for clients that know of none. */
import tap from 'tap'
import type { RedisLoginOptions } from '../../../src/net/redis/login.ts'
import { ClusterSide } from '../../../src/proxy/redis/cluster-side.ts'
import { commandTable, factsOf } from '../../../src/routing/redis/command-table.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { RedisWire } from '../../support/redis-wire.ts'
import { itemsOf, RespError, textOf } from '../../support/resp.ts'
import type { RespValue } from '../../support/resp.ts'

const cluster = await startRedisCluster()
tap.teardown(() => cluster.stop())
const [seed] = cluster.primaries
if (seed === undefined) throw new Error('no primary')
const table = commandTable(await seed.call('COMMAND'))
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
    const node = await nodeOf('any')
    const source = { host: node.host, port: node.port, cluster: true }
    const pontoon = await startRedisPontoon({
      source: node,
      target: { port: 1 },
      mode,
      config: { source },
    })
    t.teardown(() => pontoon.stop())
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

await tap.test('a failover: reads and what was not sent wait for the new primary', async (t) => {
  const wire = await open()
  const [lost] = await nodesFor('fo')
  await wire.call('SET', 'fo', '1')
  await lost.call('WAIT', 1, 5_000)
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
    retryMs: 15_000,
    factsOf: (request) => factsOf(table, request),
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
