/** Connections that look open and lead nowhere any more are found out; busy servers are left alone. */
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { listenLocally } from '../../support/listen.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({ config: ['enable-debug-command yes'] })
t.teardown(() => redis.stop())

const pool = { suspectAfterMs: 300, probeIntervalMs: 300 }

/** Passes everything on, until it forgets the connections of before without telling the client. */
async function startForgetful(): Promise<{ port: number; forget(): void; close(): void }> {
  const behind = new Set<Socket>()
  const ahead = new Set<Socket>()
  const forgotten = new Set<Socket>()
  const server = createServer((client) => {
    const there = connect(redis.port, redis.host)
    ahead.add(client)
    behind.add(there)
    there.on('data', (bytes) => client.write(bytes))
    client.on('data', (bytes) => there.write(bytes))
    there.on('close', () => forgotten.has(there) || client.destroy())
    client.on('close', () => there.destroy())
    for (const socket of [client, there]) socket.on('error', () => undefined)
  })
  return {
    port: await listenLocally(server),
    forget: () => {
      for (const socket of behind) {
        forgotten.add(socket)
        socket.destroy()
      }
      behind.clear()
    },
    close: () => {
      server.close()
      for (const socket of ahead) socket.destroy()
    },
  }
}

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: a connection that leads nowhere any more is given up`, async (test) => {
    const way = await startForgetful()
    test.teardown(() => way.close())
    const pontoon = await startRedisPontoon({ source: way, mode, pool })
    test.teardown(() => pontoon.stop())
    const [client, listener, waiter] = [
      await pontoon.client(),
      await pontoon.client(),
      await pontoon.client(),
    ]
    await client.call('SET', 'k', '1')
    await listener.call('SUBSCRIBE', 'news')
    waiter.send('BLPOP', 'queue', '0')
    await until(async () => (await redis.info('blocked_clients')) === '1', 'it blocks')
    way.forget()
    client.send('INCR', 'k')
    await listener.untilClosed()
    if (mode === 'pinned') await Promise.all([client.untilClosed(), waiter.untilClosed()])
    else
      for (const one of [client, waiter]) {
        const answer = await one.value()
        test.match(answer instanceof RespError ? answer.message : '', /^ERR .*SERVER_LOST/)
        test.equal(await one.call('GET', 'k'), '1', 'over another connection')
      }
    for (const one of [client, waiter]) one.destroy()
  })

await t.test('a server that is busy, or only stopped for a while, is left alone', async (test) => {
  const pontoon = await startRedisPontoon({ source: redis, pool })
  test.teardown(() => pontoon.stop())
  const [client, listener] = [await pontoon.client(), await pontoon.client()]
  await client.call('PING')
  await listener.call('SUBSCRIBE', 'news')
  redis.pause()
  setTimeout(() => redis.resume(), 2_500)
  test.equal(await client.call('INCR', 'busy'), 1)
  await redis.call('CLIENT', 'PAUSE', '2500', 'WRITE')
  test.equal(await client.call('INCR', 'busy'), 2)
  await redis.call('PUBLISH', 'news', 'hello')
  test.same(await listener.value(), ['message', 'news', 'hello'])
  for (const one of [client, listener]) one.destroy()
})
