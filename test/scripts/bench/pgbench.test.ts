/** What the benchmark reads from pgbench's output, its logs and /proc. */
import t from 'tap'
import { parseCpuTimeUs } from '../../../scripts/bench/cpu-time.ts'
import { parseLatencies, parseSummary } from '../../../scripts/bench/pgbench.ts'

const goodOutput = `pgbench (15.18)
number of transactions actually processed: 103377
number of failed transactions: 0 (0.000%)
latency average = 0.309 ms
tps = 51688.123456 (without initial connection time)
`

await t.test('transactions and TPS come from the closing lines', async (test) => {
  test.same(parseSummary(goodOutput), { transactions: 103_377, tps: 51_688.123456 })
  const reconnecting = goodOutput.replace('without initial', 'including reconnection')
  test.equal(parseSummary(reconnecting).tps, 51_688.123456)
})

await t.test(
  'a run without a transaction, or with a failed one, is an error with its output',
  async (test) => {
    const failed = goodOutput.replace('failed transactions: 0', 'failed transactions: 7')
    test.throws(() => parseSummary(failed), /7 failed transactions[^]*latency average/)
    test.throws(() => parseSummary(goodOutput.replace('103377', '0')), /no result/)
    test.throws(() => parseSummary('connection refused'), /connection refused/)
  },
)

await t.test('latencies are the third column of all log files, in order', async (test) => {
  const logs = [
    '0 199 2241 0 1175850568 995598\n0 200 900 0 1175850568 998079\n',
    '1 4 5000 0 1 2\n',
    '',
  ]
  test.same([...parseLatencies(logs)], [900, 2_241, 5_000])
})

await t.test('CPU time counts fields after the last bracket of the name', async (test) => {
  const stat = '42 (a) b) S 1 42 42 0 -1 4194560 900 0 0 0 150 25 7 7 20 0 11 0 100 1 1 1'
  test.equal(parseCpuTimeUs(stat), 1_750_000)
  test.throws(() => parseCpuTimeUs('42 (short) S'), /proc/)
})
