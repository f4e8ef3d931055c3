/**
 * Forced switches in every case and between servers of every kind, with the sidecar killed before
 * each step: see test/support/forced-bench.ts for what has to hold.
 */
import tap from 'tap'
import { ForcedBench, type ForcedCell } from '../support/forced-bench.ts'
import type { PairOptions } from '../support/switch-pair.ts'

tap.setTimeout(3_500_000)

const steps: readonly (string | null)[] = [
  null,
  'start',
  'gate',
  'applied',
  'commit',
  'detach',
  'sequences',
  'unfence',
  'open',
  'cleanup',
]
const pairs: readonly PairOptions[] = [
  { source: 15, target: 15 },
  { source: 17, target: 17, managed: true },
]
const only = process.env['PONTOON_FORCED'] ?? ''

for (const pair of pairs)
  for (const pending of ['none', 'aborting', 'committed'] as const) {
    const cells: readonly ForcedCell[] = [
      ...steps.map((step) => ({ pending, step })),
      { pending, step: null, backAt: 'commit' },
      { pending, step: null, hangs: true },
    ]
    for (const cell of cells) {
      const how = cell.backAt === undefined ? (cell.step ?? 'dead') : 'back'
      const name = `${pair.source} ${pending} ${cell.hangs === true ? 'hangs' : how}`
      if (!name.includes(only)) continue
      await tap.test(name, async (t) => {
        const { problems, loss } = await ForcedBench.run(pair, cell)
        t.same(problems, [], name)
        t.comment(loss)
      })
    }
  }
