/** CLIENT KILL and LIST through Pontoon say, and end, what a single server would. */
import t from 'tap'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { connectRedis, type RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { encodeCommand, RespError, textOf } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const redis = await startRedis({ users: { app: 'on nopass ~* &* +@all' } })
t.teardown(() => redis.stop())

/** `me` and `other` stand for the ids of two clients, `@me` and `@other` for their addresses. */
const requests = [
  'KILL ID other',
  'KILL ID me',
  'KILL ID me SKIPME no',
  'KILL ID me SKIPME yes',
  'KILL ID other SKIPME no',
  'KILL ID 999999',
  'KILL ID 0',
  'KILL ID -1',
  'KILL ID x',
  'KILL ID',
  'KILL @other',
  'KILL @me',
  'KILL 127.0.0.1:1',
  'KILL x',
  'KILL ADDR @other',
  'KILL ADDR @me',
  'KILL ADDR @other ID other',
  'KILL ADDR @other ID me',
  'KILL ID other ID 999999',
  'KILL ID other TYPE normal USER default',
  'KILL ID other TYPE pubsub',
  'KILL TYPE nosuch',
  'KILL TYPE master',
  'KILL TYPE replica',
  'KILL USER nosuch',
  'KILL USER app',
  'KILL ID other SKIPME maybe',
  'KILL ID other MAYBE no',
  'KILL ID other SKIPME',
  'LIST ID 999999',
  'LIST ID x',
  'LIST ID 0',
  'LIST TYPE nosuch',
  'LIST TYPE replica',
  'LIST TYPE',
  'LIST MAYBE 1',
]

interface Ended {
  readonly reply: string
  /** Which of the two are closed then. */
  readonly closed: readonly boolean[]
}

function addressOf({ socket }: RedisWire): string {
  return `${socket.localAddress}:${socket.localPort}`
}

async function endedBy(port: number, request: string): Promise<Ended> {
  const clients = [await connectRedis({ port }), await connectRedis({ port })]
  const [me, other] = clients
  if (me === undefined || other === undefined) throw new Error('no clients')
  const names: Readonly<Record<string, string>> = {
    me: textOf(await me.call('CLIENT', 'ID')),
    other: textOf(await other.call('CLIENT', 'ID')),
    '@me': addressOf(me),
    '@other': addressOf(other),
  }
  const words = request.split(' ').map((word) => names[word] ?? word)
  const value = await me.ask('CLIENT', ...words)
  const reply = value instanceof RespError ? value.message : JSON.stringify(value)
  const closed: boolean[] = []
  for (const client of clients) closed.push(await isEnded(client))
  for (const client of clients) client.destroy()
  return { reply, closed }
}

/** One that is being closed answers nothing any more. */
async function isEnded(client: RedisWire): Promise<boolean> {
  return client.ask('PING').then(
    () => false,
    () => true,
  )
}

/** Reviewed: where Pontoon says something else on purpose, and why. */
const exceptions: Readonly<Record<'multiplexed' | 'pinned', RegExp>> = {
  // Which users there are is up to the sides: nobody has logged in as that one.
  multiplexed: /^KILL USER nosuch$/,
  // The server has the addresses of Pontoon's connections, and shows those in its CLIENT LIST.
  pinned: /@/,
}

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: CLIENT KILL and LIST are answered as by a server`, async (test) => {
    const pontoon = await startRedisPontoon({ source: redis, mode })
    test.teardown(() => pontoon.stop())
    for (const request of requests) {
      if (exceptions[mode].test(request)) continue
      const direct = await endedBy(redis.port, request)
      test.same(await endedBy(pontoon.port, request), direct, request)
    }
    await until(() => pontoon.service.clients(1).length === 0, 'all have left')
  })

/** `me` stands for its id. */
const goodbyes = [
  'PING|CLIENT KILL ID me SKIPME no|SET left 1',
  'WATCH w|CLIENT KILL ID me SKIPME no|SET left 1',
  'MONITOR|PING|CLIENT KILL ID me SKIPME no|SET left 1',
  'MONITOR|CLIENT KILL ID 999999|CLIENT KILL TYPE normal SKIPME no ID me|PING',
  'MONITOR|PING|CLIENT REPLY SKIP|CLIENT KILL ID me SKIPME no|SET left 1',
]

/** What it is told until it is closed, and whether anything behind that is carried out. */
async function saidLast(port: number, pipeline: string): Promise<string> {
  await redis.call('DEL', 'left')
  const client = await connectRedis({ port })
  const id = textOf(await client.call('CLIENT', 'ID'))
  const lines = pipeline.split('|').map((line) => line.split(' '))
  const words = lines.map((line) => line.map((word) => (word === 'me' ? id : word)))
  client.raw(Buffer.concat(words.map((line) => encodeCommand(...line))))
  await client.untilClosed()
  const said = client.unread.toString('latin1').replaceAll(/^\+\d+\.\d+ .*\r\n/gm, '')
  return `${said}${JSON.stringify(await redis.call('EXISTS', 'left'))}`
}

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: who ends itself has its last answer`, async (test) => {
    const pontoon = await startRedisPontoon({ source: redis, mode })
    test.teardown(() => pontoon.stop())
    for (const pipeline of goodbyes) {
      const direct = await saidLast(redis.port, pipeline)
      test.equal(await saidLast(pontoon.port, pipeline), direct, pipeline)
    }
  })
