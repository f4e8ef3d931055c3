/**
 * The corpus through Pontoon and directly, against the same server: the same replies, byte for byte,
 * in RESP2 and RESP3, step by step and as one pipeline, in both pool modes. What may differ is in
 * corpus-exceptions.ts.
 */
import tap from 'tap'
import { startRedis } from '../../support/redis.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { itemsOf, readReply, textOf } from '../../support/resp.ts'
import { play, playAtOnce, readCorpus } from './corpus.ts'
import type { Played, Scenario } from './corpus.ts'
import { exceptions, shapeOf } from './corpus-exceptions.ts'

const corpus = readCorpus()
const redis = await startRedis({
  config: ['enable-debug-command yes'],
})
tap.teardown(() => redis.stop())

/** Commands that no scenario can hold, and why. */
const notPlayed: Readonly<Record<string, string>> = {
  shutdown: 'ends the server',
  pfselftest: 'keeps the server busy for a second',
  save: 'writes to disk',
  bgsave: 'writes to disk',
  bgrewriteaof: 'writes to disk',
  sync: 'turns the connection into a replica’s, as psync',
  psync: 'turns the connection into a replica’s; psync.test.ts has it',
}

await tap.test('the corpus holds every command that the server knows', async (t) => {
  const played = new Set(
    corpus.flatMap(({ steps }) => steps.map(({ words }) => String(words[0]).toLowerCase())),
  )
  const names = itemsOf(await redis.call('COMMAND')).map((entry) => textOf(itemsOf(entry)[0]))
  t.same(
    names.filter((name) => !played.has(name) && !Object.hasOwn(notPlayed, name)),
    [],
  )
})

for (const mode of ['pinned', 'multiplexed'] as const) {
  const pontoon = await startRedisPontoon({ source: redis, mode })
  tap.teardown(() => pontoon.stop())
  for (const version of [2, 3] as const) {
    await tap.test(`${mode}, RESP${version}`, async (t) => {
      for (const scenario of corpus) {
        const direct = await fresh(() => play(redis.port, scenario, version))
        const proxied = await fresh(() => play(pontoon.port, scenario, version))
        t.same(differences(direct, proxied, mode), [], scenario.name)
        if (!canBeAtOnce(scenario)) continue
        const directly = await fresh(() => playAtOnce(redis.port, scenario, version))
        const piped = await fresh(() => playAtOnce(pontoon.port, scenario, version))
        t.same(differences(directly, piped, mode), [], `${scenario.name}, at once`)
      }
      await pontoon.untilIdle()
    })
  }
}

/** On an empty server without scripts, functions and users. */
async function fresh(run: () => Promise<Played[]>): Promise<Played[]> {
  await redis.call('FLUSHALL')
  await redis.call('SCRIPT', 'FLUSH')
  await redis.call('FUNCTION', 'FLUSH')
  await redis.call('ACL', 'DELUSER', 'app')
  await redis.call('ACL', 'LOG', 'RESET')
  await redis.call('CLIENT', 'UNPAUSE')
  return run()
}

/** One client, and no step that waits for what another one does. */
function canBeAtOnce({ steps }: Scenario): boolean {
  return steps.every(({ client, line }) => client === 'a' && !/QUIT|MONITOR/.test(line))
}

function differences(
  direct: readonly Played[],
  proxied: readonly Played[],
  mode: 'pinned' | 'multiplexed',
): string[] {
  return direct.flatMap(({ line, replies }, step) =>
    replies.flatMap((reply, index) => {
      const other = proxied[step]?.replies[index]
      if (isSame(line, reply, other, mode)) return []
      return [`${line}: ${shown(reply)}, but through Pontoon ${shown(other)}`]
    }),
  )
}

function isSame(
  line: string,
  direct: Buffer | 'closed',
  proxied: Buffer | 'closed' | undefined,
  mode: string,
): boolean {
  if (direct === 'closed' || proxied === 'closed' || proxied === undefined) {
    return direct === proxied
  }
  if (direct.equals(proxied)) return true
  const command = line.replace(/^[a-z]: /, '')
  const exception = exceptions.find(
    (one) => one.line.test(command) && (one.mode === undefined || one.mode === mode),
  )
  if (exception === undefined) return false
  if (exception.compare === 'any') return true
  return JSON.stringify(shape(direct)) === JSON.stringify(shape(proxied))
}

function shape(bytes: Buffer): unknown {
  return shapeOf(readReply(bytes)?.value ?? null)
}

function shown(reply: Buffer | 'closed' | undefined): string {
  return Buffer.isBuffer(reply)
    ? JSON.stringify(reply.toString('latin1').slice(0, 300))
    : `${reply}`
}
