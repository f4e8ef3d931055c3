/** What a subscriber sends without waiting is answered as by the server itself, byte for byte. */
import tap from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({
  users: { default: 'on nopass ~* resetchannels &a &b &c* &p* &s +@all' },
})
tap.teardown(() => redis.stop())

/** Each ends with what shows that the connection is an ordinary one again. */
const pipelines: Readonly<Record<string, string>> = {
  'RESET behind subscriptions': 'SUBSCRIBE a b|PING|PING x|UNSUBSCRIBE a|PSUBSCRIBE p*|RESET',
  'RESET behind many': `SUBSCRIBE ${Array.from({ length: 300 }, (_, n) => `c${n}`).join(' ')}|RESET`,
  'RESET behind UNSUBSCRIBE': 'SUBSCRIBE a b|UNSUBSCRIBE|RESET',
  'leaving all':
    'SUBSCRIBE a b|PSUBSCRIBE p*|SSUBSCRIBE s|UNSUBSCRIBE|PUNSUBSCRIBE|SUNSUBSCRIBE|SET k v|GET k',
  'nothing to leave': 'UNSUBSCRIBE|PUNSUBSCRIBE a b|SUNSUBSCRIBE|PING',
  'the same twice': 'SUBSCRIBE a a|UNSUBSCRIBE a a|GET none',
  'refused by arity': 'SUBSCRIBE|SUBSCRIBE a|PSUBSCRIBE|UNSUBSCRIBE',
  'refused by an ACL': 'SUBSCRIBE a|SUBSCRIBE b x|SUBSCRIBE b|UNSUBSCRIBE|PING|RESET',
  'not for subscribers': 'SUBSCRIBE a|GET k|MULTI|SELECT 1|LRANGE l 0 -1|RESET',
  'a look-alike':
    'RPUSH m message a b|SUBSCRIBE a|UNSUBSCRIBE|LRANGE m 0 -1|SUBSCRIBE a|RESET|DEL m',
  'inside MULTI': 'MULTI|SUBSCRIBE a b|EXEC|PING|RESET',
  'behind RESET': 'SUBSCRIBE a|RESET|SUBSCRIBE b|RESET|SELECT 1|RESET|MULTI|RESET|WATCH k|RESET',
  'replies off and on': 'PING|CLIENT REPLY OFF|PING|CLIENT REPLY ON|PING|RESET',
  MONITOR: 'MONITOR|RESET',
  'from RESP3 to RESP2 behind a refusal': 'HELLO 3|HELLO 4|HELLO 2|SUBSCRIBE a|UNSUBSCRIBE a|PING',
  'from RESP3 to RESP2': 'HELLO 3|SUBSCRIBE a|HELLO 2|PING|SUBSCRIBE b|UNSUBSCRIBE|GET none|RESET',
}

const done = '$4\r\ndone\r\n'

for (const mode of ['multiplexed', 'pinned'] as const) {
  const pontoon = await startRedisPontoon({ source: redis, mode })
  tap.teardown(() => pontoon.stop())
  for (const version of [2, 3])
    await tap.test(`${mode}, RESP${version}: pipelines of subscribers`, async (t) => {
      for (const [name, pipeline] of Object.entries(pipelines)) {
        const direct = await replies(redis.port, version, pipeline)
        const proxied = await replies(pontoon.port, version, pipeline)
        t.equal(proxied, direct, name)
      }
    })
}

await tap.test('who has left all channels gives its server back', async (t) => {
  const pontoon = await startRedisPontoon({ source: redis })
  t.teardown(() => pontoon.stop())
  for (const version of [2, 3]) {
    const client = await pontoon.client()
    await client.call('HELLO', version)
    client.send('SUBSCRIBE', 'a', 'b')
    for (let count = 0; count < 2; count += 1) await client.value()
    t.equal(pontoon.ownServers(), 1)
    await client.ask('UNSUBSCRIBE', 'a')
    t.equal(pontoon.ownServers(), 1)
    await client.ask('UNSUBSCRIBE')
    await until(() => pontoon.ownServers() === 0, 'it is given back')
    t.equal(await client.call('SET', 'k', version), 'OK')
    client.destroy()
  }
})

await tap.test('a name that HELLO gives while it subscribes is the client’s', async (t) => {
  const pontoon = await startRedisPontoon({ source: redis })
  t.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('HELLO', 3)
  await client.ask('SUBSCRIBE', 'a')
  await client.call('HELLO', 3, 'SETNAME', 'worker')
  t.equal(await client.call('CLIENT', 'GETNAME'), 'worker')
  client.destroy()
})

await tap.test('what a server says is counted once', async (t) => {
  const pontoon = await startRedisPontoon({ source: redis, mode: 'pinned' })
  t.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('MULTI')
  await client.call('SUBSCRIBE', 'a', 'b')
  // Its reply has room for one channel; the other one comes behind it, to a listener by then.
  t.same(await client.call('EXEC'), [['subscribe', 'a', 1]])
  t.same(await client.value(), ['subscribe', 'b', 2])
  const { bytesFromServers, bytesToClients } = pontoon.service.stats
  t.equal(bytesFromServers, bytesToClients)
  client.destroy()
})

/** All that comes for the pipeline, sent in one write, without what differs between connections. */
async function replies(port: number, version: number, pipeline: string): Promise<string> {
  const wire = await connectRedis({ port })
  if (version === 3) await wire.call('HELLO', 3)
  const lines = [...pipeline.split('|'), 'ECHO done']
  wire.raw(Buffer.concat(lines.map((line) => encodeCommand(...line.split(' ')))))
  await until(() => wire.isClosed || wire.unread.includes(done), `${pipeline} ends`)
  const text = wire.unread.toString('latin1')
  wire.destroy()
  return text
    .replace(/(\$2\r\nid\r\n:)\d+/g, '$1')
    .replace(/\+\d+\.\d+ \[0 [\d.]+:\d+\]/g, '+time [client]')
}
