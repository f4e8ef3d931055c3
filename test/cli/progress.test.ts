/** What long work shows of itself on a terminal, elsewhere, and to machines. */
import tap from 'tap'
import { formatAmount, parseBytes } from '../../src/cli/progress-amount.ts'
import { Progress } from '../../src/cli/progress.ts'
import type { ProgressReport } from '../../src/cli/progress.ts'

const copying: ProgressReport = { name: 'copy', done: 0, total: 4_000_000, unit: 'bytes', rows: 0 }

function start(options: { json?: boolean; columns?: number }) {
  let nowMs = 0
  let written = ''
  const streams = {
    out: () => undefined,
    err: (text: string) => {
      written += text
    },
    errColumns: () => options.columns,
  }
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs }
  const progress = new Progress({ json: options.json ?? false, streams, clock })
  return {
    progress,
    at: (ms: number, report: ProgressReport) => {
      nowMs = ms
      progress.report(report)
    },
    taken: () => {
      const all = written
      written = ''
      return all
    },
  }
}

await tap.test('plain lines, now and then, with rate and time left', async (t) => {
  const { at, taken } = start({})
  at(0, copying)
  t.equal(taken(), 'copy: 0 B of 4.0 MB (0%), 0 rows\n')
  at(5_000, { ...copying, done: 500_000, rows: 10 })
  t.equal(taken(), '', 'not yet')
  at(10_000, { ...copying, done: 1_000_000, rows: 1_234, note: 'paused' })
  t.equal(taken(), 'copy: 1.0 MB of 4.0 MB (25%), 1.2k rows, 100 kB/s, 30 s left, paused\n')
  at(10_001, { ...copying, name: 'indexes', unit: 'steps', done: 1, total: 3 })
  t.match(taken(), /^indexes: 1 of 3 \(33%\)/, 'a new stage at once')
})

await tap.test('JSON lines', async (t) => {
  const { at, progress, taken } = start({ json: true })
  at(0, copying)
  at(1_000, { ...copying, done: 2_000_000 })
  progress.event('table', { table: 'public.a' }, 'a is done')
  const lines = taken()
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
  t.match(lines, [
    { event: 'progress', name: 'copy', done: 0, ratePerSecond: null, etaMs: null },
    { event: 'progress', done: 2_000_000, ratePerSecond: 2_000_000, etaMs: 1_000 },
    { event: 'table', table: 'public.a' },
  ])
})

await tap.test('a terminal is drawn over, cut to its width', async (t) => {
  const { at, progress, taken } = start({ columns: 60 })
  const active = Array.from({ length: 10 }, (_, index) => ({
    name: `public.t${index}\u001b[2J`,
    done: index,
    total: 10,
  }))
  at(0, { ...copying, active })
  const first = taken()
  t.equal(first.split('\n').length, 11, 'the total, eight tables, and how many more')
  t.notOk(first.includes('\u001b'), 'a name does not steer the terminal')
  t.ok(first.split('\n').every((line) => line.length <= 60))
  at(100, copying)
  t.equal(taken(), '', 'not faster than the eye')
  at(200, copying)
  t.ok(taken().startsWith('\u001b[10F\u001b[J[·'))
  progress.event('note', {}, 'something')
  t.equal(taken(), '\u001b[1F\u001b[Jsomething\n')
  progress.close()
  t.equal(taken(), '')
})

await tap.test('amounts', async (t) => {
  t.equal(formatAmount(1, 'rows'), '1 row')
  t.equal(formatAmount(999, 'bytes'), '999 B')
  t.equal(formatAmount(999_960, 'bytes'), '1.0 MB')
  t.equal(formatAmount(5_000_000_000, 'bytes'), '5.0 GB')
  t.equal(formatAmount(12, 'rows'), '12 rows')
  t.equal(parseBytes('50MB/s', '--rate'), 50_000_000)
  t.equal(parseBytes('1.5 GB', '--rate'), 1_500_000_000)
  t.equal(parseBytes('64k', '--rate'), 64_000)
  for (const wrong of ['', 'MB', '-1MB', '0', '1EB'])
    t.throws(() => parseBytes(wrong, '--rate'), { code: 'USAGE' }, wrong)
})
