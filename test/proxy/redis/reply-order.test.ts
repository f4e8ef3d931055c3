/**
 * Pipelines at random of commands that Pontoon answers itself and commands that the server answers,
 * with CLIENT REPLY between them: what comes is what comes of a direct connection, byte for byte.
 */
import t from 'tap'
import { sequence } from '../../support/redis-model-client.ts'
import { repliesTo } from '../../support/redis-replies.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { startRelay } from '../../support/relay.ts'

const pipelineCount = 100
const linesMax = 14

const redis = await startRedis()
t.teardown(() => redis.stop())

const replyModes = ['CLIENT REPLY ON', 'CLIENT REPLY OFF', 'CLIENT REPLY SKIP']

const others = (
  'CLIENT GETNAME|CLIENT SETNAME me|CLIENT UNBLOCK 999999|CLIENT KILL ID 999999|SELECT 0|SELECT 1|' +
  'SELECT 99|HELLO 2|HELLO 3|RESET|CLIENT ID x|CLIENT REPLY|CLIENT REPLY maybe|NOSUCH|GET|' +
  'CLIENT TRACKING off|INCR n|GET n|HGETALL h|PING|ECHO x|BLPOP none 0.001|MULTI|EXEC|DISCARD|' +
  'WATCH n|UNWATCH|SUBSCRIBE x y|UNSUBSCRIBE|PUBLISH x 1'
).split('|')

function randomPipeline(below: (end: number) => number): string {
  const lines: string[] = []
  let isInMulti = false
  for (let left = 2 + below(linesMax); left > 0; left -= 1) {
    const modes = below(3) > 0 ? others : replyModes
    const line = modes[below(modes.length)] ?? 'PING'
    // These take effect at EXEC, where nobody else can follow them.
    if (isInMulti && /^(?:CLIENT TRACKING|HELLO|SELECT|(?:UN)?SUBSCRIBE)/.test(line)) continue
    if (line === 'MULTI') isInMulti = true
    if (/^(?:EXEC|DISCARD|RESET)$/.test(line)) isInMulti = false
    lines.push(line)
  }
  // Also where nothing is answered any more.
  return [...lines, 'RESET'].join('|')
}

/** In the middle of the reply to EXEC: what is left of that is no array any more. */
const inTransactions = [
  'MULTI|INCR n|CLIENT REPLY OFF|INCR n|EXEC|PING|CLIENT REPLY ON|PING',
  'MULTI|INCR n|CLIENT REPLY SKIP|INCR n|EXEC|PING|ECHO x|PING',
  'MULTI|CLIENT REPLY ON|INCR n|EXEC|CLIENT GETNAME|PING',
  'MULTI|CLIENT REPLY OFF|INCR n|CLIENT REPLY ON|INCR n|EXEC|CLIENT GETNAME|PING',
  'MULTI|CLIENT REPLY SKIP|CLIENT REPLY ON|EXEC|UNWATCH|PING',
  'MULTI|CLIENT REPLY SKIP|CLIENT REPLY OFF|CLIENT REPLY ON|PING|EXEC|UNWATCH|PING',
  'MULTI|CLIENT REPLY OFF|CLIENT REPLY SKIP|CLIENT REPLY ON|EXEC|UNWATCH|PING',
  'MULTI|CLIENT REPLY maybe|INCR n|EXEC|CLIENT GETNAME|PING',
  'CLIENT REPLY OFF|MULTI|INCR n|CLIENT REPLY ON|INCR n|EXEC|CLIENT GETNAME|PING',
  'CLIENT REPLY OFF|MULTI|INCR n|EXEC|CLIENT REPLY ON|PING',
  'MULTI|CLIENT REPLY OFF|NOSUCH|EXEC|PING|MULTI|CLIENT REPLY SKIP|DISCARD|PING',
  'MULTI|CLIENT GETNAME|CLIENT SETNAME me|CLIENT GETNAME|CLIENT KILL ID 999999|EXEC|CLIENT GETNAME',
]

/** What is spoken behind them only the server knows. */
const hellosInTransactions = [
  'MULTI|HELLO 3|HGETALL h|EXEC|HGETALL h|CLIENT GETNAME|HELLO|HGETALL h',
  'HELLO 3|MULTI|HELLO 2|EXEC|HGETALL h|HELLO|SUBSCRIBE x|UNSUBSCRIBE x|HGETALL h',
  'MULTI|HELLO 3|DISCARD|CLIENT GETNAME|HELLO|SUBSCRIBE x|UNSUBSCRIBE x|HGETALL h',
  'MULTI|HELLO 3|EXEC|CLIENT REPLY SKIP|SUBSCRIBE x|ECHO x|CLIENT REPLY SKIP|GET n|HGETALL h',
  'MULTI|INCR n|EXEC|MULTI|HELLO 3|EXEC|MULTI|INCR n|EXEC|HGETALL h|PING',
  'WATCH n|INCR n|MULTI|HELLO 3|EXEC|HELLO|MULTI|HELLO 4|HELLO 3 SETNAME me|EXEC|HGETALL h',
  'HELLO 3|MULTI|SUBSCRIBE x y|LRANGE none 0 1|HGETALL none|EXEC|HGETALL h|PING',
  'HELLO 3|MULTI|HELLO 2|SUBSCRIBE x|EXEC|PING|UNSUBSCRIBE x|HGETALL h|GET n',
  'HELLO 3|MULTI|SUBSCRIBE x|UNSUBSCRIBE x|HELLO 2|EXEC|HGETALL h|GET n',
  'MULTI|HELLO 3|SUBSCRIBE x|EXEC|HGETALL h|UNSUBSCRIBE x|GET n',
]

/** A server before 7.2 says the message in the middle of the reply to EXEC. */
const ownMessages = [
  'HELLO 3|SUBSCRIBE x|MULTI|PUBLISH x m|INCR n|EXEC|GET n|PUBLISH x m|GET n',
  'HELLO 3|PSUBSCRIBE x*|SUBSCRIBE x|MULTI|INCR n|PUBLISH x m|PUBLISH x m|EXEC|GET n|UNSUBSCRIBE x|GET n',
  'HELLO 3|SSUBSCRIBE x|MULTI|SPUBLISH x m|SUBSCRIBE y|PUBLISH y m|EXEC|GET n|PING',
]

/** The server speaks unasked there, so no reply is counted. */
const behindMonitor = [
  'PING|CLIENT GETNAME|PING|CLIENT SETNAME me|ECHO x|CLIENT GETNAME|SELECT 1|CLIENT ID x|PING',
  'PING|HELLO 3|CLIENT GETNAME|PING|HELLO x|PING|CLIENT SETINFO lib-name me|PING',
  'PING|CLIENT REPLY SKIP|CLIENT GETNAME|CLIENT GETNAME|CLIENT REPLY OFF|CLIENT GETNAME|PING|CLIENT REPLY ON|CLIENT GETNAME',
  'MULTI|PING|CLIENT GETNAME|PING|EXEC|CLIENT GETNAME|PING',
  'PING|CLIENT KILL ID 999999|PING|CLIENT UNBLOCK 999999|CLIENT SETNAME "|CLIENT GETNAME|PING',
  'PING|CLIENT GETNAME|RESET|CLIENT GETNAME|MONITOR|PING|CLIENT GETNAME',
  'CLIENT GETNAME|SUBSCRIBE x|UNSUBSCRIBE x|CLIENT GETNAME',
  'CLIENT REPLY SKIP|RESET|CLIENT GETNAME|MONITOR|PING|CLIENT REPLY OFF|CLIENT REPLY SKIP|RESET|PING',
  'MULTI|CLIENT REPLY SKIP|EXEC|RESET|CLIENT GETNAME|SUBSCRIBE x|UNSUBSCRIBE x|PING',
  'CLIENT REPLY ON|GET large|CLIENT REPLY SKIP|RESET|GET large|RESET',
]
  .flatMap((pipeline) => [`MONITOR|${pipeline}`, `CLIENT REPLY OFF|MONITOR|${pipeline}`])
  .concat(
    'MONITOR|PING|CLIENT GETNAME|QUIT',
    'CLIENT REPLY OFF|MULTI|MONITOR|CLIENT REPLY ON|RESET',
  )

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: replies come in the order of a direct connection`, async (test) => {
    const pontoon = await startRedisPontoon({ source: redis, mode })
    test.teardown(() => pontoon.stop())
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
    test.comment(`SEED=${seed}`)
    const random = sequence(seed)
    const below = (end: number): number => Math.floor(random() * end)
    const pipelines = [
      ...inTransactions,
      ...hellosInTransactions,
      ...ownMessages,
      ...behindMonitor,
    ].map((pipeline) => `${pipeline}|RESET`)
    while (pipelines.length < pipelineCount) pipelines.push(randomPipeline(below))
    for (const pipeline of pipelines) {
      const said: string[] = []
      for (const port of [redis.port, pontoon.port]) {
        await redis.call('FLUSHALL')
        await redis.call('HSET', 'h', 'f', 'v')
        await redis.call('SET', 'large', 'v'.repeat(100_000))
        const text = await repliesTo(port, 2, pipeline)
        said.push(text)
      }
      test.equal(said[1], said[0], pipeline)
    }
  })

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: an answer that comes byte by byte shows the version`, async (test) => {
    const relay = await startRelay({ to: { host: '127.0.0.1', port: redis.port } })
    test.teardown(() => relay.close())
    const pontoon = await startRedisPontoon({ source: relay, mode })
    test.teardown(() => pontoon.stop())
    await redis.call('HSET', 'h', 'f', 'v')
    relay.splitEvery(1, 'down')
    // Of two channels EXEC says more than it announces: its arrays begin as that answer does.
    for (const pipeline of hellosInTransactions.filter((one) => !one.includes(' x y'))) {
      const said: string[] = []
      for (const port of [redis.port, pontoon.port]) {
        await redis.call('DEL', 'n')
        said.push(await repliesTo(port, 2, pipeline))
      }
      test.equal(said[1], said[0], pipeline)
    }
  })
