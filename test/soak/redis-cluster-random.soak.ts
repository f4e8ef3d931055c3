/**
 * test/proxy/redis/cluster-random.test.ts for long: 24 clients at once, round after round with other
 * numbers. PONTOON_SOAK_SECONDS sets the duration (default 1800), SEED the first round.
 */
import tap from 'tap'
import { runModelClients, SlotOwners } from '../support/redis-model-run.ts'
import { startRedisCluster } from '../support/redis-topologies.ts'
import { durationMs } from './churn-run.ts'

const roundMs = 10_000

tap.setTimeout(durationMs * 2 + 300_000)
const cluster = await startRedisCluster({}, 0)
tap.teardown(() => cluster.stop())
const owners = new SlotOwners(cluster)
const kinds = (['multiplexed', 'pinned'] as const).flatMap((mode) =>
  [false, true].map((isMoving) => ({ mode, isMoving })),
)

await tap.test('each reply and value is what it must be', async (t) => {
  t.setTimeout(durationMs * 2 + 300_000)
  const end = performance.now() + durationMs
  const first = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  for (let round = 0; performance.now() < end; round += 1) {
    const seed = first + round
    for (const kind of kinds) {
      const differences: string[] = []
      const different = (words: string): number => differences.push(words)
      const options = { ...kind, seed, clientCount: 24, durationMs: roundMs, different }
      const { replies, left, moves } = await runModelClients(cluster, owners, options)
      t.comment(`SEED=${seed} ${kind.mode}: ${replies} replies, ${left} clients, ${moves} moves`)
      t.same(differences.slice(0, 5), [], 'nothing is different')
    }
  }
})
