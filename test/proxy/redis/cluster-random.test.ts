/**
 * Clients at random over a cluster, each with keys of its own: every reply and every final value is
 * what it must be, so each acknowledged write is there exactly once, also while slots move.
 */
import tap from 'tap'
import { runModelClients, SlotOwners } from '../../support/redis-model-run.ts'
import { startRedisCluster } from '../../support/redis-topologies.ts'

const cluster = await startRedisCluster({}, 0)
tap.teardown(() => cluster.stop())
const owners = new SlotOwners(cluster)
const durationMs = Number(process.env['PONTOON_MODEL_SECONDS'] ?? 1) * 1_000
tap.setTimeout(durationMs * 4 + 120_000)

for (const mode of ['multiplexed', 'pinned'] as const)
  for (const doing of ['stay', 'move'])
    await tap.test(
      `${mode}, slots ${doing}: each reply and value is what it must be`,
      async (t) => {
        const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
        t.comment(`SEED=${seed}`)
        const differences: string[] = []
        const run = await runModelClients(cluster, owners, {
          mode,
          seed,
          clientCount: 12,
          isMoving: doing === 'move',
          durationMs,
          different: (words) => differences.push(words),
        })
        t.comment(`${run.replies} replies, ${run.left} clients, ${run.moves} moves`)
        t.same(differences.slice(0, 5), [], 'nothing is different')
        t.ok(run.replies > 0)
      },
    )
