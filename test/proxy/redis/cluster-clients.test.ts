/** What clients of a cluster are answered as by a single server, byte for byte. */
import tap from 'tap'
import { poolModes, serveCluster } from '../../support/redis-cluster-pontoon.ts'
import { repliesTo } from '../../support/redis-replies.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const single = await startRedis()
const cluster = await startRedisCluster({}, 0)
tap.teardown(() => Promise.all([single.stop(), cluster.stop()]))
const [node] = cluster.primaries
const source = { clusterMset: 'split' }

/** Keys of all nodes: whoever goes on with one node only is told MOVED. */
const everywhere = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => `INCR n:${key}`).join('|')

const pipelines: Readonly<Record<string, string>> = {
  'who has left all channels': `SUBSCRIBE x y|UNSUBSCRIBE x|UNSUBSCRIBE y|${everywhere}`,
  'who has left what he had not': `UNSUBSCRIBE x|PING|${everywhere}|PUNSUBSCRIBE|WAIT 0 1`,
  'subscriptions of two kinds': `SUBSCRIBE x|PSUBSCRIBE p*|PING z|PUNSUBSCRIBE|UNSUBSCRIBE x|${everywhere}`,
  'a subscription too few words': `SUBSCRIBE|PSUBSCRIBE|${everywhere}`,
  'RESET behind subscriptions': `SUBSCRIBE x y|PSUBSCRIBE p*|PING|RESET|${everywhere}`,
  'RESET inside MULTI': `MULTI|INCR m|RESET|${everywhere}|EXEC`,
  'RESET behind WATCH': `WATCH a|RESET|WATCH b|MULTI|INCR b|EXEC|UNWATCH`,
  'MULTI of nothing': 'MULTI|EXEC|MULTI|DISCARD|EXEC|DISCARD',
  'MULTI without a key': 'MULTI|PING|ECHO x|EXEC|MULTI|PING|DISCARD',
  'keys behind commands without any': 'MULTI|PING|ECHO x|INCR m:a|PING|INCR m:a|EXEC|GET m:a',
  'the same of other nodes':
    'MULTI|PING|INCR m:b|EXEC|MULTI|PING|INCR m:c|EXEC|MULTI|INCR m:d|EXEC',
  'refused without a key': 'MULTI|NOSUCH x|PING|EXEC|MULTI|PING|GET|EXEC|PING',
  'refused, then a key':
    'MULTI|NOSUCH|INCR m:a|EXEC|MULTI|GET|INCR m:b|EXEC|MULTI|PING|INCR m:c|EXEC',
  'a refused EXEC ends it': `MULTI|INCR m:a|EXEC x|${everywhere}|MULTI|EXEC x|WATCH m:b|PING`,
  'a refused DISCARD does not': 'MULTI|INCR m:a|DISCARD x|INCR m:a|EXEC|MULTI|DISCARD x|PING|EXEC',
  'nested and odd': 'MULTI|MULTI|WATCH a|PING|EXEC|MULTI x|EXEC x|DISCARD x|WATCH|UNWATCH x',
  'watched behind a wrong WATCH': 'WATCH|MULTI|INCR m:a|EXEC|UNWATCH x|MULTI|INCR m:b|EXEC',
  'subscriptions behind CLIENT REPLY ON': `CLIENT REPLY ON|${everywhere}|SUBSCRIBE x|PING|UNSUBSCRIBE x|MULTI|INCR n:a|EXEC|${everywhere}`,
  'subscriptions while replies are off': `CLIENT REPLY OFF|${everywhere}|SUBSCRIBE x|UNSUBSCRIBE x|${everywhere}|CLIENT REPLY ON|${everywhere}`,
  'RESET behind both': `CLIENT REPLY ON|${everywhere}|SUBSCRIBE x|RESET|${everywhere}`,
  'RESET behind MONITOR': `MONITOR|PING|RESET|${everywhere}|MONITOR|CLIENT REPLY SKIP|RESET|${everywhere}`,
  'MONITOR while replies are off': `CLIENT REPLY OFF|MONITOR|PING|CLIENT REPLY ON|PING|RESET|${everywhere}|CLIENT REPLY SKIP|MONITOR|ECHO x|RESET|PING`,
  'words too few or many':
    'GET|GET a b|MSET a|MSET a 1 b|MSETNX a 1 b|SELECT|SELECT x|SELECT 0|SCAN',
}

const done = '$4\r\ndone\r\n'

for (const mode of poolModes) {
  const pontoon = await serveCluster(tap, node, { mode, source })
  for (const version of [2, 3])
    await tap.test(`${mode}, RESP${version}: as of a single server`, async (t) => {
      for (const [name, pipeline] of Object.entries(pipelines)) {
        for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
        const direct = await repliesTo(single.port, version, pipeline)
        const proxied = await repliesTo(pontoon.port, version, pipeline)
        t.equal(proxied, direct, name)
      }
    })
}

await tap.test('multiplexed: nobody gets a server that is bound to one node', async (t) => {
  const pontoon = await serveCluster(t, node, { source })
  const client = await pontoon.client()
  await client.call('SUBSCRIBE', 'x')
  await client.call('UNSUBSCRIBE', 'x')
  await until(() => pontoon.ownServers() === 0, 'it is given back')
  const opened = pontoon.service.stats.serversOpenedTotal
  const keys = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const key of keys) t.equal(await client.call('BLPOP', `list:${key}`, '0.001'), null)
  for (const key of keys) {
    await client.call('WATCH', `w:${key}`)
    await client.call('UNWATCH')
  }
  t.equal(pontoon.service.stats.serversOpenedTotal, opened, 'it is that one')
  client.destroy()
})

for (const mode of poolModes)
  await tap.test(`${mode}: subscribers of RESP3 use all nodes`, async (t) => {
    const pontoon = await serveCluster(t, node, { mode, source })
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await client.call('HELLO', 3)
    await client.ask('SUBSCRIBE', 'x')
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f'])
      t.equal(await client.call('SET', key, '1'), 'OK')
    await other.call('PUBLISH', 'x', 'hello')
    t.same(await client.value(), { items: ['message', 'x', 'hello'] })
    for (const one of [client, other]) one.destroy()
  })

await tap.test('pinned: QUIT ends the connection behind its answer', async (t) => {
  const pontoon = await serveCluster(t, node, { mode: 'pinned', source })
  const client = await pontoon.client()
  for (const line of ['SET a 1', 'SET b 1', 'QUIT', 'SET c 1']) client.send(...line.split(' '))
  for (let count = 0; count < 3; count += 1) t.equal(await client.value(), 'OK')
  await client.untilClosed()
  t.equal(client.unread.length, 0)
  await until(() => pontoon.ownServers() === 0, 'its server is gone')
})

await tap.test('pinned: CLIENT REPLY holds on every node', async (t) => {
  const pontoon = await serveCluster(t, node, { mode: 'pinned', source })
  const pipeline =
    `CLIENT REPLY SKIP|INCR q:a|INCR q:a|CLIENT REPLY OFF|INCR q:b|INCR q:c|MULTI|INCR q:b|EXEC|` +
    `CLIENT REPLY ON|MGET q:a q:b q:c|CLIENT REPLY maybe|CLIENT REPLY OFF|PING|RESET|${everywhere}`
  for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
  t.equal(await repliesTo(pontoon.port, 2, pipeline), await repliesTo(single.port, 2, pipeline))
})

for (const mode of poolModes)
  await tap.test(
    `${mode}: what is sent without replies arrives though who sent it leaves`,
    async (t) => {
      const pontoon = await serveCluster(t, node, { mode, source })
      const keys = Array.from({ length: 200 }, (_, index) => `left:${mode}:${index}`)
      for (const how of ['end', 'destroy'] as const) {
        const lines = keys.map((key) => encodeCommand('SET', `${key}:${how}`, '1'))
        const bytes = Buffer.concat([encodeCommand('CLIENT', 'REPLY', 'OFF'), ...lines])
        const { service } = pontoon
        const hasCome = service.stats.bytesFromClients + bytes.length
        const client = await pontoon.client()
        client.raw(bytes)
        await new Promise<void>((resolve) => {
          client.socket.end(resolve)
        })
        if (how === 'destroy') client.destroy()
        await until(() => service.stats.bytesFromClients >= hasCome, 'all has come')
        await until(() => service.clients(1).length === 0, 'it has left')
        const reader = await pontoon.client()
        const found = await reader.call('EXISTS', ...keys.map((key) => `${key}:${how}`))
        t.equal(found, keys.length, how)
        reader.destroy()
      }
    },
  )

await tap.test('pinned: a RESET with too many words ends no transaction', async (t) => {
  const pontoon = await serveCluster(t, node, { mode: 'pinned', source })
  for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
  const pipeline = `MULTI|INCR m|RESET x|INCR m|EXEC|${everywhere}`
  t.equal(await repliesTo(pontoon.port, 2, pipeline), await repliesTo(single.port, 2, pipeline))
})

await tap.test('pinned: what CLIENT REPLY keeps from the client holds on every node', async (t) => {
  const pontoon = await serveCluster(t, node, { mode: 'pinned', source })
  const client = await pontoon.client()
  client.send('CLIENT', 'REPLY', 'SKIP')
  client.send('HELLO', '3')
  t.equal(await client.call('CLIENT', 'SETNAME', 'silent'), 'OK')
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f'])
    t.notOk(Array.isArray(await client.call('HGETALL', `none:${key}`)), `a map from ${key}`)
  client.destroy()
})

for (const mode of poolModes)
  await tap.test(`${mode}: MULTI refuses what is for all nodes`, async (t) => {
    const pontoon = await serveCluster(t, node, { mode, source })
    const client = await pontoon.client()
    for (const key of ['a', 'b', 'c']) await client.call('SET', key, '1')
    for (const line of ['FLUSHALL', 'DBSIZE', 'KEYS *', 'SCAN 0', 'SCRIPT LOAD x']) {
      await client.call('MULTI')
      await t.rejects(client.call(...line.split(' ')), /inside MULTI does not work with a cluster/)
      await t.rejects(client.call('EXEC'), /EXECABORT/)
    }
    t.equal(await client.call('EXISTS', 'a', 'b', 'c'), 3, 'nothing was done')
    client.destroy()
  })

for (const mode of poolModes)
  await tap.test(`${mode}: what moves is sent again before what is behind it`, async (t) => {
    const pontoon = await serveCluster(t, node, { mode, source })
    // Of the first and the last node.
    const [moved, there] = [`{b}${mode}`, `{a}${mode}`]
    const [from, , to] = cluster.primaries
    if (from === undefined || to === undefined) throw new Error('no primaries')
    const slot = Number(await from.call('CLUSTER', 'KEYSLOT', moved))
    const ids = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')].map(textOf)
    await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[0] ?? '')
    await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[1] ?? '')
    t.teardown(async () => {
      for (const one of [from, to]) await one.call('CLUSTER', 'SETSLOT', slot, 'STABLE')
    })
    const client = await pontoon.client()
    await client.call('WATCH', there)
    const send = (...lines: readonly string[]): void =>
      client.raw(Buffer.concat(lines.map((line) => encodeCommand(...line.split(' ')))))
    send(`INCR ${moved}`, 'MULTI', `INCR ${there}`)
    for (const expected of [1, 'OK', 'QUEUED']) t.equal(await client.value(), expected)
    t.equal(await client.call('DISCARD'), 'OK')
    t.equal(await client.call('GET', moved), '1', 'it is no part of the transaction')
    await client.call('DEL', moved)
    send(`HGETALL ${moved}`, 'HELLO 3', `HGETALL ${moved}`)
    t.same(await client.value(), [], 'in the words of before')
    t.type(await client.value(), Map)
    t.type(await client.value(), Map)
    client.destroy()
  })

for (const mode of poolModes)
  await tap.test(`${mode}: lines as typed by hand`, async (t) => {
    const pontoon = await serveCluster(t, node, { mode, source })
    const lines = ['PING', '', 'SET a "x y"', 'SET b 1', 'MULTI', 'INCR b', 'EXEC', 'MGET a b c']
    const said: string[] = []
    for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
    for (const port of [single.port, pontoon.port]) {
      const wire = await connectRedis({ port })
      for (const line of [...lines, 'ECHO done']) wire.raw(`${line}\r\n`)
      await until(() => wire.unread.includes(done), 'all is answered')
      said.push(wire.unread.toString())
      wire.destroy()
    }
    t.equal(said[1], said[0])
    const wrong = await connectRedis({ port: pontoon.port })
    wrong.raw('SET a "x\r\n')
    await wrong.untilClosed()
  })
