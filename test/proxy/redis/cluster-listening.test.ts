/** Who listens to a cluster hears what he would of a single server, wherever it comes from. */
import t from 'tap'
import { poolModes, serveCluster } from '../../support/redis-cluster-pontoon.ts'
import { SlotOwners } from '../../support/redis-model-run.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand, RespPush } from '../../support/resp.ts'

const single = await startRedis()
const cluster = await startRedisCluster({}, 0)
t.teardown(() => Promise.all([single.stop(), cluster.stop()]))
const [node] = cluster.primaries
if (node === undefined) throw new Error('no primary')
const owners = new SlotOwners(cluster)

for (const mode of poolModes) {
  const pontoon = await serveCluster(t, node, { mode })

  for (const version of [2, 3])
    await t.test(
      `${mode}, RESP${version}: a shard channel that has moved is found`,
      async (test) => {
        const channel = `news ${mode} ${version}`
        const client = await pontoon.client()
        await client.call('HELLO', version)
        // Known are the nodes as they were before.
        await client.call('GET', channel)
        const slot = Number(await node.call('CLUSTER', 'KEYSLOT', channel))
        await owners.move(slot, () => Promise.resolve())
        const said = (...items: (string | number)[]): unknown =>
          version === 3 ? new RespPush(items) : items
        client.raw(
          Buffer.concat([
            encodeCommand('SSUBSCRIBE', channel),
            encodeCommand('SSUBSCRIBE', channel),
            encodeCommand('PING'),
          ]),
        )
        test.same(await client.value(), said('ssubscribe', channel, 1))
        test.same(await client.value(), said('ssubscribe', channel, 1))
        test.same(await client.value(), version === 3 ? 'PONG' : ['pong', ''])
        await owners.of(slot).call('SPUBLISH', channel, 'heard')
        test.same(await client.value(), said('smessage', channel, 'heard'))
        client.destroy()
      },
    )

  await t.test(`${mode}: MONITOR and QUIT in one write`, async (test) => {
    const said: string[] = []
    for (const port of [single.port, pontoon.port]) {
      const client = await connectRedis({ port })
      client.raw(Buffer.concat([encodeCommand('MONITOR'), encodeCommand('QUIT')]))
      await client.untilClosed()
      // Who else is connected may be seen.
      said.push(client.unread.toString('latin1').replaceAll(/^\+\d+\.\d+ .*\r\n/gm, ''))
    }
    test.equal(said[1], said[0])
  })
}
