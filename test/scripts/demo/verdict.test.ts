/** What the demo accepts as a success, and how it tells the application's statements apart. */
import t from 'tap'
import { UsageError } from '../../../scripts/command-line.ts'
import { parseOptions } from '../../../scripts/demo/options.ts'
import { kindOf, subtract, targetPercent } from '../../../scripts/demo/statement-counts.ts'
import type { StatementCounts } from '../../../scripts/demo/statement-counts.ts'
import { closingTables } from '../../../scripts/demo/tables.ts'
import { findFaults } from '../../../scripts/demo/verdict.ts'
import type { StepResult } from '../../../scripts/demo/verdict.ts'
import { lineView } from '../../../scripts/demo/view.ts'

const orders = { acknowledged: 10, onSource: 10, onTarget: 10 }

await t.test('reads that follow the percentage are no fault', async (test) => {
  const steps = [step(0, 200, 0), step(50, 110, 90), step(100, 1, 199), step(0, 200, 0)]
  test.same(findFaults(steps, orders), [])
})

await t.test('each thing that went wrong is named', async (test) => {
  const cases: [StepResult, RegExp][] = [
    [step(50, 180, 20), /reads 50 %: 10\.0 % of back-office reads/],
    [step(100, 190, 10), /reads 100 %: 5\.0 %/],
    [step(0, 100, 100), /reads 0 %: 50\.0 %/],
    [step(0, 3, 0), /only 3 back-office reads/],
    [{ ...step(0, 200, 0), errors: 2 }, /2 errors/],
    [{ ...step(0, 200, 0), shownInMetricsMs: 1_700 }, /1700 ms/],
    [withCounts(step(100, 0, 200), { write: { source: 9, target: 1 } }), /1 writes went to/],
    [withCounts(step(100, 0, 200), { own: { source: 9, target: 1 } }), /1 reads of fresh writes/],
  ]
  for (const [wrong, expected] of cases) {
    test.match(findFaults([wrong], orders).join(), expected)
  }
})

await t.test('an order that was acknowledged must be there once, on both sides', async (test) => {
  const lost = findFaults([], { ...orders, onSource: 9, onTarget: 9 })
  test.match(lost.join(), /10 orders acknowledged, 9 on the source/)
  test.match(findFaults([], { ...orders, onTarget: 8 }).join(), /10 .* source, 8 on the target/)
  test.match(findFaults([], { acknowledged: 0, onSource: 0, onTarget: 0 }).join(), /no order/)
})

await t.test('statements are told apart by their text', async (test) => {
  test.equal(kindOf('SELECT status, total FROM orders WHERE id = $1'), 'own')
  test.equal(kindOf('select o.id from orders o where o.customer_id = $1'), 'report')
  test.equal(kindOf('UPDATE orders SET status = $2 WHERE id = $1'), 'write')
  test.equal(kindOf('INSERT INTO orders (customer_id) VALUES ($1) RETURNING id'), 'write')
})

await t.test('counts are differences, and a share of nothing is unknown', async (test) => {
  const earlier = counts(5, 1)
  test.same(subtract(counts(8, 3), earlier).report, { source: 3, target: 2 })
  test.equal(targetPercent({ source: 3, target: 1 }), 25)
  test.equal(targetPercent({ source: 0, target: 0 }), undefined)
})

await t.test('the closing tables hold every figure', async (test) => {
  const text = closingTables([step(0, 200, 0), step(100, 0, 321)], orders)
  test.match(text, /100 % +400 +0 +321 +100\.0 %/)
  test.match(text, /source +1\.00 +2\.00 +1\.50 +3\.00 +40/)
  test.match(text, /acknowledged 10, on the source 10, replicated to the target 10/)
})

await t.test('without a terminal the view prints plain lines', async (test) => {
  const lines: string[] = []
  const view = lineView((line) => lines.push(line))
  view.say('$ command')
  const times = { secondsLeft: 1, requestsPerSecond: 99.6, p50Ms: 1, p99Ms: 2.25 }
  view.show({ reads: 50, requests: 1_234, errors: 0, targetPercent: undefined, ...times })
  test.same(lines, [
    '$ command',
    '  reads 50 %  target -  100/s  1234 requests, 0 errors  p99 2.3 ms',
  ])
})

await t.test('options have defaults, and a mistake is named', async (test) => {
  const defaults = { stepSeconds: 5, keep: false, port: 6_432, adminPort: 7_070 }
  test.same(parseOptions([]), defaults)
  test.same(parseOptions(['--keep', '--seconds', '1']), { ...defaults, keep: true, stepSeconds: 1 })
  test.equal(parseOptions(['--help']), undefined)
  for (const argv of [['--seconds', '0'], ['--port', '70000'], ['--port', 'x'], ['--nope']]) {
    test.throws(() => parseOptions(argv), UsageError)
  }
})

function counts(source: number, target: number): StatementCounts {
  const none = { source: 0, target: 0 }
  return { report: { source, target }, own: none, write: none }
}

function step(reads: number, source: number, target: number): StepResult {
  const direct = { p50Ms: 1, p99Ms: 2, samples: 40 }
  const sidecar = { p50Ms: 1.5, p99Ms: 3, samples: 40 }
  const latency = { source: direct, target: direct, sidecar }
  const figures = { requests: 400, errors: 0, shownInMetricsMs: 20 }
  return { reads, ...figures, counts: counts(source, target), latency }
}

function withCounts(base: StepResult, other: Partial<StatementCounts>): StepResult {
  return { ...base, counts: { ...base.counts, ...other } }
}
