/**
 * Clients at random that use all that leaves something on a connection: what they are told, and what
 * is left, is as of a direct connection. Also while pauses come, which nobody may notice.
 */
import tap from 'tap'
import { findDifferences } from '../../support/redis-differential.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const durationMs = Number(process.env['PONTOON_MODEL_SECONDS'] ?? 1) * 1_000
tap.setTimeout(durationMs * 4 + 120_000)

const config = ['enable-debug-command yes']
const [single, behind] = [await startRedis({ config }), await startRedis({ config })]
tap.teardown(() => Promise.all([single.stop(), behind.stop()]))

for (const mode of ['multiplexed', 'pinned'] as const)
  for (const pauses of [false, true]) {
    const name = pauses ? `${mode}, with pauses` : mode
    await tap.test(`${name}: as a direct connection`, async (t) => {
      t.setTimeout(durationMs + 60_000)
      for (const server of [single, behind]) {
        await server.call('FLUSHALL')
        await server.call('FUNCTION', 'FLUSH')
        await server.call('SCRIPT', 'FLUSH')
      }
      const pontoon = await startRedisPontoon({ source: behind, mode, pool: { size: 2 } })
      t.teardown(() => pontoon.stop())
      const { service } = pontoon
      const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
      t.comment(`SEED=${seed}`)
      const playing = { isOver: !pauses }
      const pausing = async (): Promise<void> => {
        while (!playing.isOver) {
          const report = await service.pause(30_000, 20_000, 'a test')
          t.equal(report.drained, true, JSON.stringify(report))
          service.resume()
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
      const paused = pausing()
      const run = await findDifferences({
        single,
        behind,
        pontoon,
        seed,
        durationMs,
        clientCount: 6,
      }).finally(() => {
        playing.isOver = true
      })
      await paused
      t.comment(`${run.played} clients`)
      t.same(run.found, [], 'nothing is different')
      await until(() => service.clients(1).length === 0, 'all have left')
      t.equal(pontoon.ownServers(), 0, 'no server is anybody’s own')
    })
  }
