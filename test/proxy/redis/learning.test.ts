/** What commands there are is asked of the primary, and asked again when it may be another server. */
import t from 'tap'
import { CommandLearning } from '../../../src/proxy/redis/command-learning.ts'
import { commandTable, type CommandTable } from '../../../src/routing/redis/command-table.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import type { Side } from '../../../src/shared/side.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const plain = await startRedis()
const renamed = await startRedis({ config: ['rename-command GETDEL ""'] })
t.teardown(() => Promise.all([plain.stop(), renamed.stop()]))

/** Whether GETDEL counts as a command that the primary does not have. */
async function isUnknown(pontoon: RedisPontoon, client: RedisWire): Promise<boolean> {
  const count = (): number =>
    pontoon.service.commands?.snapshot().commands.find(({ command }) => command === 'unknown')
      ?.calls ?? 0
  const before = count()
  await client.ask('GETDEL', 'n')
  await client.call('RESET')
  return count() > before
}

await t.test('a failover right after another is noticed too', async (test) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const first = await startRedis()
  test.teardown(() => first.stop())
  const pontoon = await startRedisPontoon({ source: first, clock })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await client.call('PING')
  await first.kill9()
  const second = await startRedis({ port: first.port, config: ['rename-command GETDEL ""'] })
  test.teardown(() => second.stop())
  await until(async () => (await client.ask('PING')) === 'PONG', 'it is back')
  test.equal(await isUnknown(pontoon, client), false, 'it was asked a moment ago')
  aheadMs = 60_000
  await until(() => isUnknown(pontoon, client), 'asked without any new connection')
  client.destroy()
})

await t.test('the new primary is asked when the route has moved', async (test) => {
  const pontoon = await startRedisPontoon({
    source: plain,
    target: renamed,
    route: { reads: 100 },
    config: { route: { readAfterWriteMs: 0 } },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await renamed.call('SET', 'here', 'target')
  await until(async () => (await client.call('GET', 'here')) === 'target', 'it is open')
  const { route } = pontoon.service
  pontoon.service.applyRoute({ ...route, epoch: 2, primary: 'target' })
  await until(() => isUnknown(pontoon, client), 'its commands are known')
  pontoon.service.applyRoute({ ...route, epoch: 3, primary: 'source' })
  test.equal(await isUnknown(pontoon, client), false, 'moved back: those of the source again')
  client.destroy()
})

await t.test('an answer that comes after the primary has moved is not taken', async (test) => {
  const answers = new Map<Side, (table: CommandTable) => void>()
  const learnt: CommandTable[] = []
  let primary: Side = 'source'
  const learning = new CommandLearning({
    book: { learn: (table) => learnt.push(table) },
    primary: () => primary,
    nowMs: () => 0,
    ask: ({ side }) => new Promise((resolve) => answers.set(side, resolve)),
    failed: (side) => test.fail(side),
  })
  const [ofSource, ofTarget] = [commandTable([]), commandTable([])]
  for (const side of ['source', 'target'] as const)
    learning.opened({ side, user: '', database: 0, version: 2 })
  answers.get('target')?.(ofTarget)
  await new Promise(setImmediate)
  test.strictSame(learnt.length, 0, 'it is not the primary')
  primary = 'target'
  learning.primaryMoved()
  answers.get('source')?.(ofSource)
  await new Promise(setImmediate)
  test.ok(learnt.length === 1 && learnt[0] === ofTarget)
})
