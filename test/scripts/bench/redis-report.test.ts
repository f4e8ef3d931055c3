/** The Redis benchmark's arithmetic and its reading of redis-benchmark. */
import tap from 'tap'
import { combinations, parseOptions } from '../../../scripts/bench/redis/options.ts'
import { loadArguments, parseFigures } from '../../../scripts/bench/redis/redis-benchmark.ts'
import { boundPerSecond, formatTable, summarise } from '../../../scripts/bench/redis/report.ts'
import type { RedisRun } from '../../../scripts/bench/redis/run.ts'
import { UsageError } from '../../../scripts/command-line.ts'

await tap.test('ratios compare runs of the same round', async (t) => {
  const rows = summarise([
    run('twemproxy', 0, 1_000),
    run('pontoon', 0, 2_000),
    run('twemproxy', 1, 500),
    run('pontoon', 1, 1_000),
  ])
  const pontoon = rows.find(({ peer }) => peer === 'pontoon')
  t.match(pontoon, { perSecond: 1_500, ofTwemproxy: 2, p99OfTwemproxy: 1, ofDirect: undefined })
  t.match(formatTable(rows), /\| pontoon +\| +1500 .*\| +2\.00 \|/)
})

await tap.test(
  'what two cores allow is either the busiest process or all of them together',
  (t) => {
    t.equal(bound(4, 1, 1), 250_000)
    t.equal(bound(2, 2, 4), 250_000)
    t.equal(bound(3, 3, 2), 250_000)
    t.equal(bound(undefined, 2, 1), 500_000)
    t.end()
  },
)

await tap.test('figures of redis-benchmark', async (t) => {
  const output =
    'WARNING: Could not fetch server CONFIG\n' +
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"\n' +
    '"SET","57202.10","13.733","0.376","5.823","25.247","56.639","1003.007"\n'
  t.same(parseFigures(output), { perSecond: 57_202.1, p50Ms: 5.823, p99Ms: 56.639 })
  t.throws(() => parseFigures('Could not connect'), /printed no rps/)
  t.throws(() => parseFigures(`Error from server: ERR x\n${output}`), /ERR x/)
})

await tap.test('options select the matrix, and a mistake is named', async (t) => {
  const options = parseOptions(['--commands', 'get,mset', '--clients', '50', '--peers', 'direct'])
  t.equal(options === undefined ? 0 : combinations(options).length, 4)
  const settings = { port: 1, requests: 2, keys: 3, valueBytes: 4 }
  const words = loadArguments({ command: 'get', pipeline: 16, clients: 50 }, settings).join(' ')
  t.match(words, /-t get -c 50 -P 16 -n 2 -r 3 -d 4 --csv/)
  t.equal(parseOptions(['--help']), undefined)
  for (const argv of [['--peers', 'envoy'], ['--rounds', '0'], ['--nope']]) {
    t.throws(() => parseOptions(argv), UsageError)
  }
})

function run(peer: RedisRun['peer'], round: number, perSecond: number): RedisRun {
  const figures = {
    requests: 1,
    perSecond,
    p50Ms: 1,
    p99Ms: 2,
    cpuUsPerCommand: { proxy: 3, redis: 2, load: 1 },
  }
  return { command: 'get', pipeline: 1, clients: 50, peer, round, ...figures }
}

function bound(proxy: number | undefined, redis: number, load: number): number {
  return boundPerSecond({ cpuUsPerCommand: { proxy, redis, load } })
}
