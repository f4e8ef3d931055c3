/** Over a cluster, who may not use MULTI is told so, and his commands are no transaction. */
import t from 'tap'
import { poolModes, serveCluster } from '../../support/redis-cluster-pontoon.ts'
import { repliesTo } from '../../support/redis-replies.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const users = { unary: 'on >unary ~* &* +@all -multi', late: 'on >late ~* &* +@all' }
const single = await startRedis({ users })
const cluster = await startRedisCluster({ users }, 0)
t.teardown(() => Promise.all([single.stop(), cluster.stop()]))
const [node] = cluster.primaries
const unary = { user: 'unary', password: 'unary' }

/** Keys of all nodes. */
const everywhere = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => `INCR n:${key}`).join('|')

const pipelines = [
  `MULTI|${everywhere}|EXEC|${everywhere}`,
  'MULTI|DISCARD|MULTI|MULTI|EXEC',
  `WATCH a|MULTI|${everywhere}|EXEC|UNWATCH|${everywhere}`,
  `WATCH a|MULTI|WATCH a|INCR a|EXEC`,
  `MULTI|BLPOP none 0.001|${everywhere}|EXEC`,
]

for (const mode of poolModes)
  await t.test(`${mode}: what is behind a refused MULTI is carried out singly`, async (test) => {
    const pontoon = await serveCluster(test, node, { mode, source: unary })
    for (const version of [2, 3])
      for (const pipeline of pipelines) {
        for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
        // Of Pontoon, which asks nobody, any password is right.
        const lines = `AUTH unary unary|${pipeline}`
        const direct = await repliesTo(single.port, version, lines)
        test.match(direct, 'NOPERM')
        // A single server hears of it too late to refuse what it was sent.
        test.equal(await repliesTo(pontoon.port, version, lines), direct, pipeline)
      }
  })

await t.test('pinned: with another user MULTI is asked for again', async (test) => {
  const pontoon = await serveCluster(test, node, { mode: 'pinned' })
  for (const version of [2, 3]) {
    for (const server of [single, ...cluster.primaries]) await server.call('FLUSHALL')
    const lines =
      `MULTI|INCR n:a|EXEC|AUTH unary unary|MULTI|${everywhere}|EXEC|` +
      `AUTH default x|MULTI|INCR n:b|EXEC|HELLO 3 AUTH unary x|MULTI|INCR n:c|EXEC`
    const direct = await repliesTo(single.port, version, lines)
    test.equal(await repliesTo(pontoon.port, version, lines), direct)
  }
})

for (const mode of poolModes)
  await t.test(`${mode}: behind it nothing blocks for who has left`, async (test) => {
    const pontoon = await serveCluster(test, node, { mode, source: unary })
    for (const when of ['at once', 'later']) {
      const client = await pontoon.client()
      client.raw('MULTI\r\nBLPOP left 0\r\n')
      if (when === 'later') await until(async () => (await blocked()) === 1, 'it blocks')
      client.socket.end()
      await client.untilClosed()
      await until(async () => (await blocked()) === 0, `nobody blocks, ${when}`)
      await until(() => pontoon.ownServers() === 0, 'its server is gone')
    }
    const other = await pontoon.client()
    await other.call('RPUSH', 'left', 'x')
    test.equal(await other.call('LPOP', 'left'), 'x', 'nobody has taken it')
    other.destroy()
  })

await t.test('who may use it no more is told so one transaction later', async (test) => {
  const pontoon = await serveCluster(test, node, { source: { user: 'late', password: 'late' } })
  const client = await pontoon.client()
  for (const key of ['a', 'b', 'c']) {
    await client.call('MULTI')
    await client.call('GET', key)
    test.same(await client.call('EXEC'), [null])
  }
  for (const one of cluster.primaries) await one.call('ACL', 'SETUSER', 'late', '-multi')
  client.raw('MULTI\r\nSET a 1\r\nEXEC\r\n')
  test.equal(await client.value(), 'OK')
  for (const what of ['SET', 'EXEC'])
    test.match(await client.value(), { message: /SERVER_LOST/ }, `${what} is not answered as if`)
  client.destroy()
})

async function blocked(): Promise<number> {
  const counts = await Promise.all(cluster.primaries.map((one) => one.info('blocked_clients')))
  return counts.reduce((sum, count) => sum + Number(count), 0)
}
