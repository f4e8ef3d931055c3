/** What a service tells of its commands: counts, slow ones, hot keys, large values. */
import t from 'tap'
import { CommandBook } from '../../../src/proxy/redis/command-book.ts'
import { CommandWatch } from '../../../src/proxy/redis/command-watch.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { present } from '../../support/pontoon.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const pontoon = await startRedisPontoon({
  source: redis,
  config: { limits: { slowCommandMs: 50 } },
})
t.teardown(() => pontoon.stop())

await t.test('counts, hot keys, large values and slow commands', async (test) => {
  const client = await pontoon.client()
  const calls = 2_000
  for (let at = 0; at < calls; at += 1) client.send('GET', at % 4 === 0 ? `k${at}` : 'hot')
  for (let at = 0; at < calls; at += 1) await client.value()
  await client.call('SET', 'large', 'x'.repeat(100_000))
  await client.ask('HGET', 'large', 'f')
  await client.call('EVAL', "for i = 1, 3e5 do redis.sha1hex('x') end return 1", '0')
  const told = present(pontoon.service.commands).snapshot()
  test.match(told.commands[0], { command: 'get', calls, errors: 0 })
  test.match(
    told.commands.find(({ command }) => command === 'hget'),
    { calls: 1, errors: 1 },
  )
  const [hottest] = told.hotKeys
  test.equal(hottest?.key, 'hot')
  test.ok(present(hottest).percent > 50)
  test.match(told.bigValues, [{ command: 'set', key: 'large' }])
  test.ok(present(told.bigValues[0]).bytes > 100_000)
  test.equal(told.slow[0]?.command, 'eval')
  const families = new Map(present(pontoon.service.commands).families())
  test.ok(present(families.get('string')).count > calls)
  test.equal(families.get('scripting')?.count, 1)
  client.destroy()
})

for (const mode of ['multiplexed', 'pinned'] as const)
  await t.test(`${mode}: large replies of commands that were sampled`, async (test) => {
    const measuring = await startRedisPontoon({ source: redis, mode })
    test.teardown(() => measuring.stop())
    await redis.call('SET', 'wide', 'x'.repeat(300_000))
    await redis.call('RPUSH', 'long', ...Array.from({ length: 10_000 }, () => 'item number one'))
    const client = await measuring.client()
    // One in 128 is looked at: the last of each round.
    const rounds = [
      ['GET', 'wide'],
      ['GET', 'narrow'],
      ['LRANGE', 'long', '0', '-1'],
    ]
    for (const words of rounds) {
      for (let at = 0; at < 126; at += 1) client.send('ECHO', 'x')
      for (let at = 0; at < 2; at += 1) client.send(...words)
      for (let at = 0; at < 128; at += 1) await client.value()
    }
    const { bigValues, hotKeys } = present(measuring.service.commands).snapshot()
    test.match(bigValues, [
      { command: 'get', key: 'wide', bytes: '$300000\r\n\r\n'.length + 300_000 },
      { command: 'lrange', key: 'long' },
    ])
    test.equal(bigValues.length, 2)
    test.equal(hotKeys.length, 3)
    await redis.call('DEL', 'wide', 'long')
    client.destroy()
  })

await t.test('the latest slow commands, the last one first', (test) => {
  const book = new CommandBook()
  const get = book.find(Buffer.from('get'), 0, 3)
  const watch = new CommandWatch(book, systemClock, 1)
  const tooks = (): number[] => watch.snapshot().slow.map(({ tookMs }) => tookMs)
  for (let tookMs = 1; tookMs <= 3; tookMs += 1) watch.slow(get, tookMs)
  test.same(tooks(), [3, 2, 1])
  for (let tookMs = 4; tookMs <= 130; tookMs += 1) watch.slow(get, tookMs)
  test.same(
    tooks(),
    Array.from({ length: 128 }, (_, at) => 130 - at),
  )
  test.end()
})
