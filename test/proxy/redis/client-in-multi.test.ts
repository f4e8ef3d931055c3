/** Inside MULTI a client that shares servers asks and says the same about itself as outside. */
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { itemsOf, textOf, type RespValue } from '../../support/resp.ts'

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

for (const isInMulti of [false, true])
  await t.test(
    `CLIENT TRACKING REDIRECT ${isInMulti ? 'inside' : 'outside'} MULTI takes an id of this service`,
    async (test) => {
      const [client, listener] = [await pontoon.client(), await pontoon.client()]
      test.teardown(() => {
        for (const one of [client, listener]) one.destroy()
      })
      // The ids here and on the server are apart.
      for (let count = 0; count < 3; count += 1) (await redis.connect()).destroy()
      const id = Number(await listener.call('CLIENT', 'ID'))
      await listener.ask('SUBSCRIBE', '__redis__:invalidate')
      const inMulti = async (...words: readonly (string | number)[]): Promise<RespValue> => {
        if (!isInMulti) return client.ask(...words)
        await client.call('MULTI')
        await client.call(...words)
        return itemsOf(await client.call('EXEC'))[0] ?? null
      }
      const tracking = ['CLIENT', 'TRACKING', 'ON', 'REDIRECT']
      const refused = await inMulti(...tracking, 999_999)
      test.match(refused, { message: 'ERR The client ID you want redirect to does not exist' })
      test.equal(await client.call('CLIENT', 'GETREDIR'), -1)
      test.equal(await inMulti(...tracking, id), 'OK')
      test.equal(await client.call('CLIENT', 'GETREDIR'), id)
      await client.call('GET', 'tracked')
      await redis.call('SET', 'tracked', '1')
      test.same(await listener.value(), ['message', '__redis__:invalidate', ['tracked']])
      test.equal(await client.call('RESET'), 'RESET')
      await client.call('WATCH', 'w')
      test.equal(await client.call('CLIENT', 'GETREDIR'), -1, 'nothing is left of it')
    },
  )
