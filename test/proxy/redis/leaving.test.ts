/**
 * A client that leaves right behind what it has sent: that is carried out, and answered, as by a
 * single server. What only waits ends. With a cluster: cluster-leaving.test.ts.
 */
import tap from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { withoutWhatDiffers } from '../../support/redis-replies.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({
  users: { free: 'on nopass ~* &* +@all', limited: 'on nopass ~* &* +@all -client|unblock' },
})
tap.teardown(() => redis.stop())

function bytesOf(pipeline: string): Buffer {
  const lines = pipeline.split('|')
  return Buffer.concat(lines.map((line) => encodeCommand(...line.split(' '))))
}

await tap.test('what waits for a server when its client is reset is carried out', async (t) => {
  const pool = { ownSize: 1 }
  const pontoon = await startRedisPontoon({ source: redis, pool })
  t.teardown(() => pontoon.stop())
  const { service } = pontoon
  for (const how of ['end', 'reset', 'RESET'] as const) {
    await redis.call('FLUSHALL')
    const [holder, client] = [await pontoon.client(), await pontoon.client()]
    await holder.call('WATCH', 'w')
    client.raw(bytesOf('SET first 1|MULTI|SET left 1|EXEC|SET last 1'))
    await until(() => service.snapshot().clients.waiting === 1, 'it waits')
    if (how === 'RESET') client.send('RESET')
    if (how === 'reset') client.socket.resetAndDestroy()
    else client.socket.end()
    await holder.call('PING')
    await holder.call('UNWATCH')
    await until(() => service.clients(9).length === 1, `${how}: it has left`)
    t.equal(await redis.call('EXISTS', 'first', 'left', 'last'), 3, how)
    holder.destroy()
    await until(() => service.clients(9).length === 0, 'the other too')
  }
})

/** What is said to who closes its half right behind it, and what is there then. */
const pipelines = [
  'RPUSH l x|BLPOP l 0',
  'RPUSH l x|BLPOP l 0|SET a 1|GET a',
  'BLPOP none 0|SET a 1',
  'RPUSH l x y|BLPOP l 0|BRPOP l 0|SET a 1|BLPOP l 0|SET b 1',
  'WAIT 0 0|SET a 1',
  'XADD s 1-1 f v|XREAD BLOCK 0 STREAMS s 0|INCR n|SELECT 1|GET n',
  'SELECT 1|RPUSH l x|BLPOP l 0|SET a 1|GET a',
  'RPUSH l x|WATCH w|BLPOP l 0|INCR n|MULTI|INCR n|EXEC|PING',
  'WATCH w|BLPOP none 0|INCR n',
  'RPUSH l x|MULTI|BLPOP l 0|BLPOP l 0|EXEC|INCR n',
  'MONITOR|PING|ECHO x',
  'CLIENT REPLY OFF|RPUSH l x|BLPOP l 0|INCR n',
  'MULTI x|BLPOP none 0|INCR n',
  'RPUSH l x|BLPOP l 0|SUBSCRIBE s|UNSUBSCRIBE s|SET a 1|GET a',
  'RPUSH l x|BLPOP l 0|CLIENT REPLY OFF|SET a 1|CLIENT REPLY ON|GET a',
  'WATCH w|RPUSH l x|BLPOP l 0|CLIENT GETNAME|SET a 1|SELECT 1|SUBSCRIBE s|UNSUBSCRIBE s|GET a',
  'RPUSH l x y|BLPOP l 0|SUBSCRIBE s|UNSUBSCRIBE s|BLPOP l 0|SET a 1|BLPOP l 0|CLIENT REPLY OFF|SET b 1',
  'SUBSCRIBE s|UNSUBSCRIBE s|BLPOP none 0|SUBSCRIBE s|UNSUBSCRIBE s|SET a 1',
  'RPUSH l x|BLPOP l 0|HELLO 3|SET a 1|MONITOR|RESET|SET b 1',
  'MONITOR|RESET|SET a 1|GET a|MONITOR|PING|RESET|SUBSCRIBE s|UNSUBSCRIBE s|SET b 1',
  'SUBSCRIBE s|BLPOP none 0|PING|GET a',
  'RPUSH l x|BLPOP l 0|RESET|SET a 1|CLIENT SETNAME me|BLPOP none 0|RESET|SET b 1',
  'WATCH w|GET a|BLPOP none 0|CLIENT SETNAME me|SET a 1',
  'RPUSH l x|WATCH w|WAIT 1 0|BLPOP l 0|SUBSCRIBE s|SET a 1',
  'WATCH w|MONITOR|WAIT 1 0|RESET|SET a 1',
]

async function saidAndLeft(port: number, pipeline: string): Promise<string> {
  await redis.call('FLUSHALL')
  const client = await connectRedis({ port })
  client.raw(bytesOf(pipeline))
  client.socket.end()
  await client.untilClosed()
  const said = withoutWhatDiffers(client.unread.toString('latin1'))
  const left = await redis.call('MGET', 'a', 'b', 'n')
  return `${said}${JSON.stringify([left, await redis.call('EXISTS', 'l')])}`
}

for (const mode of ['multiplexed', 'pinned'] as const)
  await tap.test(`${mode}: what is behind a command that may block`, async (t) => {
    const pontoon = await startRedisPontoon({ source: redis, mode })
    t.teardown(() => pontoon.stop())
    for (const pipeline of pipelines) {
      const direct = await saidAndLeft(redis.port, pipeline)
      t.equal(await saidAndLeft(pontoon.port, pipeline), direct, pipeline)
      await until(() => pontoon.ownServers() === 0, 'no server is its own')
    }
  })

for (const mode of ['multiplexed', 'pinned'] as const)
  for (const user of ['free', 'limited'])
    await tap.test(`${mode}, ${user}: who leaves in a pause takes nothing after it`, async (t) => {
      const source = { host: redis.host, port: redis.port, user, password: 'any' }
      const pontoon = await startRedisPontoon({ source: redis, mode, config: { source } })
      t.teardown(() => pontoon.stop())
      const { service } = pontoon
      for (const how of ['end', 'reset'] as const) {
        const client = await pontoon.client()
        client.send('BLPOP', 'queue', '0')
        await until(async () => (await redis.info('blocked_clients')) === '1', 'it blocks')
        t.equal((await service.pause(300_000, 10_000, 'a test')).drained, true)
        if (how === 'end') client.socket.end()
        else client.socket.resetAndDestroy()
        await until(() => service.clients(1).length === 0, `${how}: it has left`)
        await redis.call('RPUSH', 'queue', 'element')
        service.resume()
        const next = await pontoon.client()
        t.same(await next.call('BLPOP', 'queue', '1'), ['queue', 'element'], how)
        next.destroy()
      }
    })
