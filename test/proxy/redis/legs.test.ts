/** The two legs of a Redis service: TLS on both, and a client that does not read. */
import t from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import { until } from '../../support/pontoon.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { RespError, textOf } from '../../support/resp.ts'

await t.test('TLS on both legs, verified', async (test) => {
  const authority = await createAuthority()
  const certificate = await authority.server()
  const redis = await startRedis({ tls: { certificate, ca: authority.ca } })
  test.teardown(() => redis.stop())
  const side = (ca: string): object => ({
    host: 'localhost',
    port: redis.port,
    tls: { mode: 'verify-full', ca },
  })
  const clientTls = { mode: 'require', cert: certificate.certPath, key: certificate.keyPath }
  const pontoon = await startRedisPontoon({
    source: redis,
    config: { clientTls, source: side(authority.ca.certPath) },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client({ ca: authority.ca.cert })
  const value = 'x'.repeat(3_000_000)
  test.equal(await client.call('SET', 'large', value), 'OK')
  test.equal(textOf(await client.call('GET', 'large')).length, value.length)
  for (const words of [['MULTI'], ['INCR', 'n'], ['EXEC']]) client.send(...words)
  test.same([await client.value(), await client.value()], ['OK', 'QUEUED'])
  test.same(await client.value(), [1])
  client.destroy()

  const plain = await pontoon.client()
  plain.raw('PING\r\n')
  await plain.untilClosed()

  const other = await createAuthority()
  const wary = await startRedisPontoon({
    source: redis,
    config: { source: side(other.ca.certPath) },
  })
  test.teardown(() => wary.stop())
  const refused = await wary.client()
  const reply = await refused.ask('PING')
  test.match(reply instanceof RespError ? reply.message : '', /TLS_CERTIFICATE/)
  refused.destroy()
})

await t.test('prefer: clients with TLS and without it', async (test) => {
  const authority = await createAuthority()
  const { certPath: cert, keyPath: key } = await authority.server()
  const redis = await startRedis()
  test.teardown(() => redis.stop())
  const pontoon = await startRedisPontoon({
    source: redis,
    config: { clientTls: { mode: 'prefer', cert, key } },
  })
  test.teardown(() => pontoon.stop())
  const silent = await pontoon.client()
  const [secure, plain] = [await pontoon.client({ ca: authority.ca.cert }), await pontoon.client()]
  const value = 'x'.repeat(3_000_000)
  test.equal(await secure.call('SET', 'large', value), 'OK')
  test.equal(textOf(await plain.call('GET', 'large')).length, value.length)
  test.equal(textOf(await secure.call('GET', 'large')).length, value.length)
  const list = textOf(await secure.call('CLIENT', 'LIST'))
    .trim()
    .split('\n')
  test.equal(list.length, 3)
  const addresses = new Set(list.map((line) => /addr=(\S+)/.exec(line)?.[1]))
  for (const { socket } of [silent, secure, plain])
    test.ok(addresses.has(`127.0.0.1:${socket.localPort}`))
  silent.raw('\x16'.repeat(100))
  await silent.untilClosed()
  for (const client of [secure, plain]) client.destroy()
  await until(() => pontoon.service.snapshot().clients.idle === 0, 'all have left')
})

await t.test('a client that does not read holds up no other, and gets all of it', async (test) => {
  const redis = await startRedis()
  test.teardown(() => redis.stop())
  const pontoon = await startRedisPontoon({ source: redis })
  test.teardown(() => pontoon.stop())
  const [slow, other] = [await pontoon.client(), await pontoon.client()]
  const bytes = 24 * 1024 * 1024
  await redis.call('SETRANGE', 'huge', bytes - 1, 'x')
  await slow.call('PING')
  slow.socket.pause()
  const before = process.memoryUsage().rss
  slow.send('GET', 'huge')
  let seen = -1
  await until(async () => {
    const isStill = seen > 4_000_000 && seen === pontoon.service.stats.bytesFromServers
    seen = pontoon.service.stats.bytesFromServers
    await new Promise((resolve) => setTimeout(resolve, 100))
    return isStill
  }, 'the server is read no more')
  for (let at = 0; at < 20; at += 1) test.equal(await other.call('INCR', 'n'), at + 1)
  test.ok(pontoon.service.stats.bytesFromServers < bytes, 'the rest stays on the server')
  test.ok(process.memoryUsage().rss - before < bytes, 'and is not held here')
  let got = 0
  slow.socket.removeAllListeners('data')
  slow.socket.on('data', (chunk: Buffer) => (got += chunk.length))
  slow.socket.resume()
  slow.send('PING')
  const expected = `$${bytes}\r\n`.length + bytes + '\r\n+PONG\r\n'.length
  await until(() => got === expected, 'all of it and what was asked behind it', 20_000)
  for (const client of [slow, other]) client.destroy()
})
