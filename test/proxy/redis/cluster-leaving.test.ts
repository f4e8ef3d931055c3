/**
 * A client of a cluster that leaves: what it has sent is carried out, as by a single server, also by
 * nodes that no connection was open to. What only waits ends.
 */
import tap from 'tap'
import { serveCluster, type PoolMode } from '../../support/redis-cluster-pontoon.ts'
import type { RedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { encodeCommand, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const cluster = await startRedisCluster({}, 0)
tap.teardown(() => cluster.stop())
const [node, , last] = cluster.primaries
if (node === undefined || last === undefined) throw new Error('no primaries')

/** Of the node that every connection begins with, and of one that it has not opened. */
const [here, there] = ['{b}', '{a}']

const pipelines: Readonly<Record<string, readonly string[]>> = {
  'behind nothing': [`SET ${there}:left 1`],
  'a transaction': ['MULTI', `SET ${there}:left 1`, 'EXEC'],
  'ahead of a command that blocks': [`SET ${there}:left 1`, `BLPOP ${here}:none 0`],
  'ahead of MONITOR': [`SET ${there}:left 1`, 'MONITOR'],
  'behind MULTI and MONITOR': ['MULTI', `SET ${there}:left 1`, 'EXEC', 'MONITOR', 'PING'],
}

const leavings: readonly (readonly [PoolMode, string, (client: RedisWire) => void])[] = [
  ['multiplexed', 'end', ({ socket }) => socket.end()],
  ['multiplexed', 'reset', ({ socket }) => socket.resetAndDestroy()],
  ['pinned', 'end', ({ socket }) => socket.end()],
  ['pinned', 'reset', ({ socket }) => socket.resetAndDestroy()],
]

/** All of it has come to Pontoon when the client leaves. */
async function sendAndLeave(
  pontoon: RedisPontoon,
  lines: readonly string[],
  leave: (client: RedisWire) => void,
): Promise<void> {
  const { stats } = pontoon.service
  const client = await pontoon.client()
  await client.call('PING')
  const bytes = Buffer.concat(lines.map((line) => encodeCommand(...line.split(' '))))
  const hasCome = stats.bytesFromClients + bytes.length
  client.raw(bytes)
  await until(() => stats.bytesFromClients >= hasCome, 'all has come')
  leave(client)
}

for (const [mode, how, leave] of leavings)
  await tap.test(`${mode}, ${how}: what was sent is carried out`, async (t) => {
    t.teardown(() => last.resume())
    for (const [name, lines] of Object.entries(pipelines)) {
      const pontoon = await serveCluster(t, node, { mode })
      await last.call('DEL', `${there}:left`)
      last.pause()
      await sendAndLeave(pontoon, lines, leave)
      // By then who loses anything has lost it.
      for (let count = 0; count < 20; count += 1) await node.call('PING')
      last.resume()
      const isThere = async (): Promise<boolean> =>
        (await last.call('EXISTS', `${there}:left`)) === 1
      await until(isThere, `${name}: it is there`)
      await until(() => pontoon.service.clients(1).length === 0, `${name}: it has left`)
      t.pass(name)
    }
  })

for (const [mode, how, leave] of leavings)
  await tap.test(`${mode}, ${how}: who leaves while it blocks takes nothing`, async (t) => {
    const pontoon = await serveCluster(t, node, { mode })
    const key = `${here}:queue:${mode}:${how}`
    await sendAndLeave(pontoon, ['SET a 1', `BLPOP ${key} 0`], leave)
    await until(() => pontoon.service.clients(1).length === 0, 'it has left')
    const isBlocked = async (): Promise<boolean> =>
      / flags=\w*b/.test(textOf(await node.call('CLIENT', 'LIST')))
    await until(async () => !(await isBlocked()), 'nobody waits')
    await node.call('RPUSH', key, 'element')
    t.equal(await node.call('LLEN', key), 1)
  })
