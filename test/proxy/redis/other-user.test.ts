/** A client that becomes another user keeps what its connection holds, as on a server. */
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis, type RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { itemsOf, RespPush, type RespValue } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({
  users: { one: 'on >first ~* &* +@all', two: 'on >second ~* &* +@all' },
})
t.teardown(() => redis.stop())

const config = {
  clientAuth: { mode: 'password' },
  users: {
    one: { verifier: 'first' },
    two: { verifier: 'second' },
    odd: { verifier: 'odd', source: { user: 'two', password: 'wrong' } },
  },
}
const becoming = ['AUTH two second', 'HELLO 3 AUTH two second', 'HELLO 2 AUTH two second SETNAME n']

for (const mode of ['multiplexed', 'pinned'] as const) {
  const pontoon = await startRedisPontoon({ source: redis, mode, config })
  t.teardown(() => pontoon.stop())

  for (const line of becoming)
    await t.test(`${mode}: WATCH holds behind ${line}`, async (test) => {
      const said: RespValue[] = []
      for (const port of [redis.port, pontoon.port]) {
        const client = await connectRedis({ port })
        await client.call('AUTH', 'one', 'first')
        await client.call('SELECT', '3')
        await client.call('WATCH', 'k')
        await client.call(...line.split(' '))
        await redis.call('SELECT', '3')
        await redis.call('SET', 'k', 'other')
        await client.call('MULTI')
        test.equal(await client.call('SET', 'k', 'own'), 'QUEUED')
        said.push(await client.call('EXEC'), await client.call('ACL', 'WHOAMI'))
        said.push(await client.call('GET', 'k'))
        client.destroy()
      }
      test.same(said, [null, 'two', 'other', null, 'two', 'other'])
    })

  await t.test(`${mode}: subscriptions hold`, async (test) => {
    const client = await pontoon.client()
    await client.call('HELLO', '3', 'AUTH', 'one', 'first')
    test.same(await client.call('SUBSCRIBE', 'news'), new RespPush(['subscribe', 'news', 1]))
    await client.call('AUTH', 'two', 'second')
    await redis.call('PUBLISH', 'news', 'heard')
    test.same(await client.value(), new RespPush(['message', 'news', 'heard']))
    test.equal(await client.call('ACL', 'WHOAMI'), 'two')
    client.destroy()
  })

  await t.test(`${mode}: nobody else gets the server of who has become another`, async (test) => {
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await client.call('AUTH', 'one', 'first')
    await client.call('WATCH', 'k')
    await client.call('AUTH', 'two', 'second')
    await client.call('UNWATCH')
    test.equal(await whoAmI(client), 'two')
    client.destroy()
    await until(() => pontoon.ownServers() === 0, 'it is gone')
    await other.call('AUTH', 'one', 'first')
    test.equal(await whoAmI(other), 'one')
    other.destroy()
  })

  await t.test(`${mode}: who is refused by the server stays who he is`, async (test) => {
    const client = await pontoon.client()
    await client.call('AUTH', 'one', 'first')
    await client.call('WATCH', 'k')
    await test.rejects(client.call('AUTH', 'odd', 'odd'), /WRONGPASS/)
    await redis.call('SELECT', '0')
    await redis.call('SET', 'k', 'other')
    await client.call('MULTI')
    test.equal(await client.call('EXEC'), null, 'still watched')
    test.equal(await whoAmI(client), 'one')
    client.destroy()
  })
}

/** Of a server that is its own. */
async function whoAmI(client: RedisWire): Promise<RespValue> {
  await client.call('MULTI')
  await client.call('ACL', 'WHOAMI')
  const [user] = itemsOf(await client.call('EXEC'))
  return user ?? null
}
