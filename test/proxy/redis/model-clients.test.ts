/**
 * Clients at random over a single server, each with keys of its own: every reply and every final value
 * is what it must be, whenever they leave. As cluster-random.test.ts; more clients than servers.
 */
import tap from 'tap'
import { poolModes } from '../../support/redis-cluster-pontoon.ts'
import { runModelClients, SlotOwners } from '../../support/redis-model-run.ts'
import { startRedis } from '../../support/redis.ts'

const redis = await startRedis()
tap.teardown(() => redis.stop())
const single = { primaries: [redis] }
const durationMs = Number(process.env['PONTOON_MODEL_SECONDS'] ?? 1) * 1_000
tap.setTimeout(durationMs * 2 + 120_000)

for (const mode of poolModes)
  await tap.test(`${mode}: each reply and value is what it must be`, async (t) => {
    t.setTimeout(durationMs + 60_000)
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
    t.comment(`SEED=${seed}`)
    const differences: string[] = []
    const run = await runModelClients(single, new SlotOwners(single), {
      mode,
      seed,
      clientCount: 12,
      isMoving: false,
      durationMs,
      different: (words) => differences.push(words),
    })
    t.comment(`${run.replies} replies, ${run.left} clients`)
    t.same(differences.slice(0, 5), [], 'nothing is different')
    t.ok(run.replies > 0)
  })
