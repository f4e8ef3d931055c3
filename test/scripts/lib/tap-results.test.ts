/** Counting must not be fooled: by sums, by files that crash, by files that test nothing. */
import tap from 'tap'
import { TapResults } from '../../../scripts/lib/tap-results.ts'
import type { TapCounts } from '../../../scripts/lib/tap-results.ts'

interface Read {
  readonly counts: TapCounts
  readonly printed: readonly string[]
}

function read(text: string, files: readonly string[] = []): Read {
  const printed: string[] = []
  const results = new TapResults((line) => printed.push(line))
  for (const line of text.split('\n')) results.line(line)
  results.end(files)
  return { counts: results.counts, printed }
}

await tap.test('counts points, not their sums', async (t) => {
  const { counts, printed } = read(
    `TAP version 14
# Subtest: a.test.ts
    ok 1 - plain
    # Subtest: outer
        ok 1 - first
        # Subtest: inner
            ok 1 - deep
            1..1
        ok 2 - inner # time=1ms
        1..2
    ok 2 - outer # time=2ms
    1..2
ok 1 - a.test.ts # time=3ms`,
    ['a.test.ts'],
  )
  t.same(counts, { passed: 3, failed: 0, skipped: 0 })
  t.same(printed, ['pass  a.test.ts  3ms'])
})

await tap.test('counts a failure once, names where it is and shows its diagnostics', async (t) => {
  const { counts, printed } = read(`# Subtest: a.test.ts
    # Subtest: outer
        not ok 1 - wrong
          ---
          diff: |
            ok 7 - looks like a point
          ...
        1..1
    not ok 1 - outer # time=2ms
      ---
      at: somewhere
      ...
    1..1
not ok 1 - a.test.ts # time=3ms
  ---
  exitCode: 1
  ...`)
  t.same(counts, { passed: 0, failed: 1, skipped: 0 })
  t.same(printed, [
    'not ok a.test.ts > outer > wrong',
    '    diff: |',
    '      ok 7 - looks like a point',
    'FAIL  a.test.ts  3ms',
  ])
})

await tap.test(
  'a file that fails although all its points passed counts as a failure',
  async (t) => {
    const { counts, printed } = read(`# Subtest: a.test.ts
    ok 1 - fine
    1..1
not ok 1 - a.test.ts # time=3ms
  ---
  exitCode: 3
  ...`)
    t.same(counts, { passed: 1, failed: 1, skipped: 0 })
    t.match(printed.join('\n'), /exitCode: 3/)
  },
)

await tap.test(
  'a file without tests is a failure, a skipped or unfinished point is neither',
  async (t) => {
    const { counts, printed } = read(`# Subtest: a.test.ts
    1..0 # no tests found
ok 1 - a.test.ts # SKIP no tests found

# Subtest: b.test.ts
    ok 1 - b # SKIP later
    not ok 2 - c # todo
    ok 3 - d
    1..3
ok 2 - b.test.ts # time=1ms`)
    t.same(counts, { passed: 1, failed: 1, skipped: 2 })
    t.ok(printed.includes('skip  b.test.ts > b: later'), 'a skipped point is told with its reason')
  },
)

await tap.test('a file that never reports, and a bail-out, are failures', async (t) => {
  const { counts, printed } = read('Bail out! the machine is on fire', ['a.test.ts'])
  t.same(counts, { passed: 0, failed: 2, skipped: 0 })
  t.match(printed, ['Bail out! the machine is on fire', 'not ok a.test.ts > did not report'])
})
