/** What the demo accepts as a success, and how it tells the application's statements apart. */
import t from 'tap'
import { UsageError } from '../../../scripts/command-line.ts'
import { expectedMoney } from '../../../scripts/demo/evidence.ts'
import { parseOptions } from '../../../scripts/demo/options.ts'
import { kindOf, subtract, targetPercent } from '../../../scripts/demo/statement-counts.ts'
import type { StatementCounts } from '../../../scripts/demo/statement-counts.ts'
import { closingTables, summary } from '../../../scripts/demo/tables.ts'
import { findFaults } from '../../../scripts/demo/verdict.ts'
import type { Outcome, Stretch } from '../../../scripts/demo/verdict.ts'
import { lineView } from '../../../scripts/demo/view.ts'
import type { Side } from '../../../src/shared/side.ts'

const good = {
  acknowledged: 10,
  stored: 10,
  lost: 0,
  duplicated: 0,
  unexpected: 0,
  money: expectedMoney,
  unbalanced: 0,
}
const outcome: Outcome = {
  stretches: [stretch(10, 170, 30), stretch(100, 1, 199), stretch(100, 0, 200, 'target')],
  switches: [
    { kind: 'cutover', pauseMs: 81.4, attempts: 1, requests: 9, errors: 0, longestGapMs: 93.6 },
  ],
  requests: 700,
  errors: 0,
  messages: [],
  evidence: { source: good, target: good },
  isEqual: true,
}

await t.test('a migration as it should be has no fault', async (test) => {
  test.same(findFaults(outcome), [])
})

await t.test('each thing that went wrong is named', async (test) => {
  const strayWrite = { write: { source: 9, target: 1 } }
  const cases: [Stretch, RegExp][] = [
    [stretch(50, 180, 20), /reads 50 %: 10\.0 % of back-office reads/],
    [stretch(100, 190, 10), /reads 100 %: 5\.0 %/],
    [stretch(10, 200, 0), /reads 10 %: no back-office read/],
    [stretch(0, 100, 100), /reads 0 %: 50\.0 %/],
    [stretch(0, 3, 0), /only 3 back-office reads/],
    [withCounts(stretch(100, 0, 200), strayWrite), /1 writes went to the target/],
    [withCounts(stretch(100, 0, 200, 'target'), strayWrite), /9 writes went to the source/],
    [withCounts(stretch(0, 200, 0), { write: { source: 0, target: 0 } }), /no writes on the so/],
    [withCounts(stretch(100, 0, 200), { own: { source: 9, target: 1 } }), /1 reads of fresh/],
  ]
  for (const [wrong, expected] of cases) {
    test.match(findFaults({ ...outcome, stretches: [wrong] }).join(), expected)
  }
})

await t.test('errors, losses, copies and money are looked at on both sides', async (test) => {
  const errors = findFaults({ ...outcome, errors: 2, messages: ['visit: timeout'] })
  test.same(errors, ['the application saw 2 errors', 'visit: timeout'])
  const cases: [Partial<typeof good>, RegExp][] = [
    [{ lost: 3 }, /3 records lost/],
    [{ duplicated: 1 }, /1 records duplicated/],
    [{ unexpected: 2 }, /2 records that nobody wrote/],
    [{ money: expectedMoney - 1 }, /99999 in all accounts/],
    [{ unbalanced: 4 }, /4 balances and totals/],
    [{ acknowledged: 0 }, /wrote nothing/],
  ]
  for (const [change, expected] of cases) {
    for (const side of ['source', 'target'] as const) {
      const evidence = { ...outcome.evidence, [side]: { ...good, ...change } }
      test.match(findFaults({ ...outcome, evidence }).join(), expected)
    }
  }
  test.match(findFaults({ ...outcome, isEqual: false }).join(), /pontoon verify found differences/)
})

await t.test('statements are told apart by their text', async (test) => {
  test.equal(kindOf('SELECT status, total FROM orders WHERE id = $1'), 'own')
  test.equal(kindOf('SELECT o.id, o.status FROM orders o WHERE o.customer_id = $1'), 'report')
  test.equal(kindOf('UPDATE orders SET status = $2 WHERE id = $1'), 'write')
  test.equal(kindOf('INSERT INTO transfers (reference) VALUES ($1)'), 'write')
  test.equal(kindOf('SELECT count(*) FROM orders'), undefined)
})

await t.test('counts are differences, and a share of nothing is unknown', async (test) => {
  const earlier = counts(5, 1)
  test.same(subtract(counts(8, 3), earlier).report, { source: 3, target: 2 })
  test.equal(targetPercent({ source: 3, target: 1 }), 25)
  test.equal(targetPercent({ source: 0, target: 0 }), undefined)
})

await t.test('the closing tables hold every figure', async (test) => {
  const text = closingTables(outcome)
  test.match(text, /reads 10 % +400 +0 +170 \+ 30 +15\.0 % +0 \+ 0 +9 \+ 0/)
  test.match(text, /cutover +94 +81 +0 +1/)
  test.match(text, /otherwise +12/)
  test.match(text, /target +10 +10 +0 +0 +100000 +100000 +0/)
  const words = summary({ ...outcome, evidence: { source: good, target: { ...good, lost: 2 } } })
  test.match(words, /cutover 94 ms/)
  test.match(words, /requests: 700, errors seen by the application: 0/)
  test.match(words, /records lost: 2, records duplicated: 0/)
})

await t.test('without a terminal the view prints plain lines', async (test) => {
  const lines: string[] = []
  const view = lineView((line) => lines.push(line))
  view.say('$ command')
  const times = { secondsLeft: 1, requestsPerSecond: 99.6, p50Ms: 1, p99Ms: 2.25 }
  const writes = { source: 7, target: 0 }
  view.show({ name: 'now', requests: 1_234, errors: 0, targetPercent: undefined, writes, ...times })
  test.same(lines, [
    '$ command',
    '  now  target answers - of reads, writes 7 + 0  100/s  1234 requests, 0 errors  p99 2.3 ms',
  ])
})

await t.test('options have defaults, and a mistake is named', async (test) => {
  const defaults = {
    stepSeconds: 4,
    ordersCount: 100_000,
    keep: false,
    port: 6_432,
    adminPort: 7_070,
  }
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

function stretch(reads: number, source: number, target: number, primary: Side = 'source'): Stretch {
  const write = primary === 'source' ? { source: 9, target: 0 } : { source: 0, target: 9 }
  const seen = { requests: 400, errors: 0, longestGapMs: 12 }
  return {
    name: `reads ${reads} %`,
    reads,
    primary,
    ...seen,
    counts: { ...counts(source, target), write },
  }
}

function withCounts(base: Stretch, other: Partial<StatementCounts>): Stretch {
  return { ...base, counts: { ...base.counts, ...other } }
}
