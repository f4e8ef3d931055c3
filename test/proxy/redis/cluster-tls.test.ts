/** A cluster whose nodes speak TLS only, announced by address, by name, or not at all. */
import t from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import { serveCluster } from '../../support/redis-cluster-pontoon.ts'
import { giveSlot, startRedisCluster } from '../../support/redis-topologies.ts'
import { until } from '../../support/until.ts'

const authority = await createAuthority()
/** The node that is asked first is known by its address too, the others by their name alone. */
const [first, named] = [
  await authority.server({ isForBoth: true }),
  await authority.server({ names: ['localhost'], isForBoth: true }),
]
const nodeOptions = (index: number) => ({
  tls: { certificate: index === 0 ? first : named, ca: authority.ca },
  config: ['cluster-announce-hostname localhost'],
})
const cluster = await startRedisCluster(nodeOptions, 0)
t.teardown(() => cluster.stop())
const [seed] = cluster.primaries
if (seed === undefined) throw new Error('no primary')

const announced = [
  { how: 'hostname', shown: 'localhost', host: '127.0.0.1' },
  { how: 'ip', shown: '127.0.0.1', host: 'localhost' },
  { how: 'unknown-endpoint', shown: '', host: 'localhost' },
] as const

for (const { how, shown, host } of announced) {
  await t.test(`${how}: every node is reached, and moved slots are found`, async (test) => {
    for (const node of cluster.nodes)
      await node.call('CONFIG', 'SET', 'cluster-preferred-endpoint-type', how)
    const slots = await seed.call('CLUSTER', 'SLOTS')
    test.match(JSON.stringify(slots), new RegExp(`\\["?${shown || 'null'}"?,${seed.port}`))
    const tls = { mode: 'verify-full', ca: authority.ca.certPath }
    const pontoon = await serveCluster(test, seed, { source: { host, tls } })
    const client = await pontoon.client()
    const names = Array.from({ length: 60 }, (_, index) => `tls:${index}`)
    for (const name of names) client.send('SET', name, name)
    for (const _ of names) test.equal(await client.value(), 'OK')
    test.same(await client.call('MGET', ...names), names)
    const counts = await Promise.all(cluster.primaries.map((node) => node.call('DBSIZE')))
    test.ok(
      counts.every((count) => Number(count) > 0),
      'all of them',
    )

    const [from, to] = [cluster.primaries[1], cluster.primaries[2]]
    if (from === undefined || to === undefined) throw new Error('no primaries')
    const key = await keyOn(from, names)
    const slot = Number(await from.call('CLUSTER', 'KEYSLOT', key))
    await from.call('DEL', key)
    await giveSlot(cluster, slot, from, to)
    test.equal(await client.call('SET', key, 'moved'), 'OK', 'by MOVED')
    test.equal(await to.call('GET', key), 'moved')
    await to.call('DEL', key)
    await giveSlot(cluster, slot, to, from)
    await until(async () => (await client.ask('SET', key, 'back')) === 'OK', 'it is found again')
    client.destroy()
  })
}

async function keyOn(node: (typeof cluster.primaries)[number], names: readonly string[]) {
  for (const name of names) {
    const answer = await node.call('GET', name).catch(() => null)
    if (answer === name) return name
  }
  throw new Error('it has none of them')
}
