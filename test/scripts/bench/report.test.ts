/** The benchmark's arithmetic: order of turns, medians, and ratios within a round. */
import t from 'tap'
import { cannotRun, combinations, rotate } from '../../../scripts/bench/matrix.ts'
import { parseOptions } from '../../../scripts/bench/options.ts'
import { UsageError } from '../../../scripts/command-line.ts'
import { knowsPrepared } from '../../../scripts/bench/pgbouncer.ts'
import { formatTable, summarise } from '../../../scripts/bench/report.ts'
import type { Run } from '../../../scripts/bench/run.ts'
import { median, percentile } from '../../../scripts/statistics.ts'

await t.test('every peer starts a round as often as the others', async (test) => {
  const orders = [0, 1, 2, 3].map((round) => rotate(['a', 'b', 'c'], round).join(''))
  test.same(orders, ['abc', 'bca', 'cab', 'abc'])
  test.same(rotate([], 1), [])
})

await t.test('medians and percentiles', async (test) => {
  test.equal(median([]), undefined)
  test.equal(median([3, 1, 2]), 2)
  test.equal(median([4, 1, 2, 3]), 2.5)
  test.equal(percentile([], 0.5), undefined)
  test.equal(percentile([1, 2, 3, 4], 0.5), 2)
  test.equal(percentile([1, 2, 3, 4], 0.99), 4)
})

await t.test(
  'ratios compare runs of the same round, not medians of different ones',
  async (test) => {
    // The machine was half as fast in round 1; Pontoon kept 0.9 of PgBouncer in both.
    const [row] = summarise([
      run('pgbouncer', 0, 1_000),
      run('pontoon', 0, 900),
      run('pgbouncer', 1, 500),
      run('pontoon', 1, 450),
    ])
    test.equal(row?.ratios['pontoon/pgbouncer'], 0.9)
    test.equal(row?.ratios['pontoon/direct'], undefined)
    test.equal(row?.peers.pgbouncer?.tps, 750)
    test.match(formatTable(row === undefined ? [] : [row]), /pontoon +\| +675 .*\| +0\.90 \| +- \|/)
  },
)

await t.test('prepared statements need PgBouncer 1.21', async (test) => {
  test.notOk(knowsPrepared('1.18.0'))
  test.ok(knowsPrepared('1.21.0'))
  test.ok(knowsPrepared('2.0.1'))
  const prepared = { workload: 'select', protocol: 'prepared', clients: 16 } as const
  test.match(cannotRun('pgbouncer', prepared, false), /1\.21/)
  test.equal(cannotRun('pgbouncer', prepared, true), undefined)
  test.equal(cannotRun('pontoon', prepared, false), undefined)
})

await t.test('options select the matrix, and a mistake is named', async (test) => {
  const options = parseOptions(['--clients', '16,500', '--protocol', 'simple', '--rounds', '7'])
  test.equal(options?.rounds, 7)
  test.equal(options === undefined ? 0 : combinations(options).length, 4)
  test.equal(parseOptions(['--help']), undefined)
  for (const argv of [['--peers', 'pgcat'], ['--rounds', '0'], ['--reads', '101'], ['--nope']]) {
    test.throws(() => parseOptions(argv), UsageError)
  }
})

function run(peer: Run['peer'], round: number, tps: number): Run {
  const combination = { workload: 'select', protocol: 'simple', clients: 16 } as const
  const result = { transactions: tps, tps, p50Ms: 1, p99Ms: 2, samples: 10, cpuUsPerQuery: 12 }
  return { ...combination, ...result, peer, round }
}
