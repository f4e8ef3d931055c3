/** clientAuth passthrough: the primary side says who may come in, in its own words. */
import t from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis, type RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({ password: 'open', users: { app: 'on >inner ~* &* +@all' } })
t.teardown(() => redis.stop())

const config = { clientAuth: { mode: 'passthrough' } }
const modes = ['multiplexed', 'pinned'] as const

async function words(client: RedisWire): Promise<string> {
  const value = await client.value()
  return value instanceof RespError ? value.message : textOf(value)
}

for (const mode of modes)
  await t.test(`${mode}: clients log in to the primary side`, async (test) => {
    const pontoon = await startRedisPontoon({ source: redis, mode, config })
    test.teardown(() => pontoon.stop())
    const said: string[][] = []
    for (const port of [redis.port, pontoon.port]) {
      const client = await connectRedis({ port })
      const heard: string[] = []
      for (const line of [
        ['GET', 'x'],
        ['AUTH', 'wrong'],
        ['AUTH', 'nobody', 'inner'],
        ['AUTH', 'app', 'inner'],
        ['ACL', 'WHOAMI'],
        ['AUTH', 'app', 'wrong'],
        ['ACL', 'WHOAMI'],
        ['HELLO', '3', 'AUTH', 'default', 'wrong'],
        ['AUTH', 'open'],
        ['ACL', 'WHOAMI'],
      ]) {
        client.send(...line)
        heard.push(await words(client))
      }
      client.send('HELLO', '3', 'AUTH', 'app', 'inner')
      heard.push((await client.next()).bytes.toString('latin1', 0, 30))
      client.send('AUTH', 'open')
      client.send('ACL', 'WHOAMI')
      client.send('AUTH', 'app', 'inner')
      client.send('ACL', 'WHOAMI')
      for (let count = 0; count < 4; count += 1) heard.push(await words(client))
      said.push(heard)
      client.destroy()
    }
    test.same(said[1], said[0])
    test.match(said[1]?.[0], /^NOAUTH Authentication required/)
  })

await t.test('a password counts for a minute, and a new one from its first use', async (test) => {
  let passedMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + passedMs }
  const pontoon = await startRedisPontoon({ source: redis, config, clock })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('AUTH', 'app', 'inner')
  await redis.call('ACL', 'SETUSER', 'app', 'resetpass', '>newer')
  test.equal(await client.call('AUTH', 'app', 'inner'), 'OK')
  passedMs = 60_001
  client.send('AUTH', 'app', 'inner')
  test.match(await words(client), /^WRONGPASS/)
  test.equal(await client.call('AUTH', 'app', 'newer'), 'OK')
  pontoon.service.reconnect()
  test.equal(await client.call('ACL', 'WHOAMI'), 'app')
  await redis.call('ACL', 'SETUSER', 'app', 'resetpass', '>inner')
  test.equal(await client.call('AUTH', 'app', 'newer'), 'OK')
  pontoon.service.applyConfig(pontoon.service.config)
  client.send('AUTH', 'app', 'newer')
  test.match(await words(client), /^WRONGPASS/, 'a reload has every client prove itself anew')
  client.destroy()
})

await t.test('who leaves, or meets a pause, while the side is asked', async (test) => {
  const pontoon = await startRedisPontoon({ source: redis, config })
  test.teardown(() => pontoon.stop())
  const [leaving, parked] = [await pontoon.client(), await pontoon.client()]
  redis.pause()
  for (const client of [leaving, parked]) {
    client.send('AUTH', 'app', 'inner')
    client.send('ACL', 'WHOAMI')
  }
  await until(() => pontoon.service.snapshot().clients.waiting === 2, 'both wait')
  leaving.destroy()
  const drained = pontoon.service.pause(30_000, 5_000, 'a test')
  await until(() => pontoon.service.snapshot().clients.parked === 2, 'both are parked')
  redis.resume()
  test.equal((await drained).drained, true)
  pontoon.service.resume()
  for (const expected of ['OK', 'app']) test.equal(await parked.value(), expected)
  await until(() => pontoon.service.snapshot().clients.idle === 1, 'one has left')
  parked.destroy()
})
