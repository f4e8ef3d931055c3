/** A node of a cluster that does not know the client's user carries nothing out as another one. */
import t from 'tap'
import { serveCluster } from '../../support/redis-cluster-pontoon.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'
import { encodeCommand } from '../../support/resp.ts'

const cluster = await startRedisCluster({ users: { app: 'on >secret ~* &* +@all' } }, 0)
t.teardown(() => cluster.stop())
const [node, , last] = cluster.primaries
if (node === undefined || last === undefined) throw new Error('no primaries')

/** Of the first and of the last node. */
const [here, there] = ['{b}', '{a}']

await t.test('pinned: what comes behind a refused AUTH is not sent', async (test) => {
  const pontoon = await serveCluster(test, node, { mode: 'pinned' })
  for (const round of [1, 2, 3, 4]) {
    const client = await pontoon.client()
    await client.call('SET', here, '1')
    await client.call('AUTH', 'app', 'secret')
    await client.call('SET', here, '2')
    await client.call('SET', `${there}:${round}`, '1')
    client.destroy()
  }
  await last.call('ACL', 'SETUSER', 'app', 'resetpass', '>other')
  for (const round of [1, 2, 3, 4, 5, 6]) {
    const key = `${there}:late:${round}`
    const client = await pontoon.client()
    // Any node is asked.
    if ((await client.ask('AUTH', 'app', 'secret')) === 'OK') {
      client.raw(Buffer.concat([encodeCommand('SET', key, '1'), encodeCommand('GET', key)]))
      await client.untilClosed()
      test.pass(`round ${round}`)
    }
    test.equal(await last.call('EXISTS', key), 0)
    client.destroy()
  }
})

await t.test(
  'pinned: what comes right behind an AUTH is not sent as who was there before',
  async (test) => {
    const pontoon = await serveCluster(test, node, { mode: 'pinned' })
    await last.call('ACL', 'SETUSER', 'app', 'resetpass', '>other')
    for (const isOpen of [true, false]) {
      const key = `${there}:behind:${isOpen}`
      const client = await pontoon.client()
      if (isOpen) await client.call('GET', key)
      client.raw(
        Buffer.concat([encodeCommand('AUTH', 'app', 'secret'), encodeCommand('SET', key, '1')]),
      )
      test.equal(await client.value(), 'OK')
      await client.untilClosed()
      test.equal(await last.call('EXISTS', key), 0, `open: ${isOpen}`)
    }
  },
)
