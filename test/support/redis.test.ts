/** The servers that the Redis tests stand on: that they are what they claim, and that they go. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import tap from 'tap'
import { createAuthority } from './certificates.ts'
import { waitUntilGone } from './child-processes.ts'
import { programArgs } from './program.ts'
import { startRedisCluster, startSentinelSet } from './redis-topologies.ts'
import { startRedis } from './redis.ts'
import { connectRedis } from './redis-wire.ts'
import { encodeCommand, itemsOf, readReply, RespError, RespPush, textOf } from './resp.ts'
import { until } from './until.ts'

await tap.test('a server with a password and users', async (t) => {
  const server = await startRedis({
    password: 'secret',
    users: { app: 'on >geheim ~app:* +@all -@dangerous' },
  })
  t.teardown(() => server.stop())
  t.equal(await server.call('SET', 'a', '1'), 'OK')
  const wire = await connectRedis({ port: server.port })
  t.match(await wire.ask('GET', 'a'), new RespError('NOAUTH Authentication required.'))
  t.equal(await wire.call('AUTH', 'app', 'geheim'), 'OK')
  t.match(await wire.ask('GET', 'a'), { message: /^NOPERM/ })
  wire.destroy()
  await server.restart()
  t.equal(await server.call('GET', 'a'), null, 'nothing is kept')
  server.pause()
  await t.rejects(
    connectRedis({ port: server.port }).then((one) => one.value(50)),
    /no reply/,
  )
  server.resume()
  t.equal(await server.call('PING'), 'PONG')
})

await tap.test('a server with TLS', async (t) => {
  const authority = await createAuthority()
  const certificate = await authority.server()
  const server = await startRedis({ tls: { certificate, ca: authority.ca } })
  t.teardown(() => server.stop())
  t.equal(await server.call('PING'), 'PONG')
  t.match(server.url(), /^rediss:/)
})

await tap.test('a Sentinel elects the replica', async (t) => {
  const set = await startSentinelSet()
  t.teardown(() => set.stop())
  const [sentinel] = set.sentinels
  const [replica] = set.replicas
  await set.primary.call('SET', 'a', '1')
  await set.primary.call('WAIT', 1, 5_000)
  await set.primary.kill9()
  const address = () => sentinel?.call('SENTINEL', 'get-master-addr-by-name', set.name)
  await until(
    async () =>
      itemsOf(await address())
        .map(textOf)
        .join() === `127.0.0.1,${replica?.port}`,
    'elected',
    // A Sentinel that was held up for 2 s does nothing for 30 s.
    120_000,
  )
  t.equal(await replica?.call('GET', 'a'), '1')
})

await tap.test('a cluster of six', async (t) => {
  const cluster = await startRedisCluster()
  t.teardown(() => cluster.stop())
  const replies = await Promise.all(
    cluster.primaries.map((node) => node.call('SET', 'a', '1').then(textOf, String)),
  )
  t.equal(replies.filter((reply) => reply === 'OK').length, 1, 'one node has the slot')
  t.equal(replies.filter((reply) => reply.includes('MOVED 15495 ')).length, 2)
})

await tap.test('replies of both protocols', async (t) => {
  t.equal(value('$5\r\nhel'), undefined, 'incomplete')
  t.same(value('*3\r\n:1\r\n$-1\r\n+OK\r\n'), [1, null, 'OK'])
  t.same(value('%1\r\n+a\r\n#t\r\n'), new Map([['a', true]]))
  t.same(value('|1\r\n+ttl\r\n:3\r\n~1\r\n,1.5\r\n'), new Set(['double:1.5']))
  t.same(value('>2\r\n+message\r\n_\r\n'), new RespPush(['message', null]))
  t.same(value('=5\r\ntxt:a\r\n'), 'txt:a')
  t.equal(value('(12345678901234567890\r\n'), 12_345_678_901_234_567_890n)
  t.equal(encodeCommand('GET', 'ä').toString(), '*2\r\n$3\r\nGET\r\n$2\r\nä\r\n')
})

for (const how of ['SIGTERM', 'SIGKILL']) {
  await tap.test(`a server goes when its program ends by ${how}`, async (t) => {
    const program = programArgs('test/support/redis-orphan.ts')
    const { stdout } = spawnSync(process.execPath, [...program, how], {
      encoding: 'utf8',
    })
    const [pid, folder = ''] = stdout.trim().split(' ')
    await waitUntilGone([Number(pid)], 30_000)
    if (how === 'SIGTERM') t.notOk(existsSync(folder), 'with its folder')
  })
}

function value(text: string): unknown {
  return readReply(Buffer.from(text, 'latin1'))?.value
}
