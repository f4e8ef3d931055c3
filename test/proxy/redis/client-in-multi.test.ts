/** Inside MULTI a client that shares servers asks and says the same about itself as outside. */
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { textOf } from '../../support/resp.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const pontoon = await startRedisPontoon({ source: redis })
t.teardown(() => pontoon.stop())

for (const version of [2, 3])
  await t.test(
    `RESP${version}: in MULTI CLIENT is about the client, not its server`,
    async (test) => {
      const [client, other] = [await pontoon.client(), await pontoon.client()]
      test.teardown(() => {
        for (const one of [client, other]) one.destroy()
      })
      if (version === 3) await client.call('HELLO', 3)
      await client.call('CLIENT', 'SETNAME', 'before')
      const id = Number(await client.call('CLIENT', 'ID'))
      const otherId = Number(await other.call('CLIENT', 'ID'))
      const queued = [
        ['CLIENT', 'GETNAME'],
        ['CLIENT', 'SETNAME', 'after'],
        ['CLIENT', 'GETNAME'],
        ['CLIENT', 'ID'],
        ['SET', 'large', Buffer.alloc(100_000)],
        ['GET', 'large'],
        ['CLIENT', 'INFO'],
        ['CLIENT', 'UNBLOCK', otherId],
        ['CLIENT', 'KILL', 'ID', otherId],
        ['ECHO', 'last'],
      ] as const
      await client.call('MULTI')
      for (const words of queued) test.equal(await client.call(...words), 'QUEUED')
      const items = await client.call('EXEC')
      if (!Array.isArray(items)) throw new Error('no array')
      const [name, set, renamed, sameId, , large, info, unblocked, killed, last] = items
      test.same([name, set, renamed], ['before', 'OK', 'after'])
      test.equal(sameId, id)
      test.equal(textOf(large).length, 100_000)
      test.match(textOf(info), new RegExp(`\\bid=${id} .*\\bname=after\\b`))
      test.same([unblocked, killed, last], [0, 1, 'last'])
      await other.untilClosed()
      test.equal(await client.call('CLIENT', 'GETNAME'), 'after')
      test.equal(pontoon.ownServers(), 0, 'nothing of it is on the server')
    },
  )

await t.test(
  'in MULTI a refused DISCARD, EXEC or command leaves nothing of ours behind',
  async (test) => {
    const client = await pontoon.client()
    test.teardown(() => client.destroy())
    await client.call('MULTI')
    await client.call('CLIENT', 'ID')
    await test.rejects(client.call('DISCARD', 'x'))
    await test.rejects(client.call('EXEC'), /EXECABORT/)
    await client.call('MULTI')
    await client.call('CLIENT', 'SETNAME', 'discarded')
    await client.call('DISCARD')
    test.equal(await client.call('CLIENT', 'GETNAME'), null)
  },
)
