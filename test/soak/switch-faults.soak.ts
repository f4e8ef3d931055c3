/**
 * The fault matrix of a switch: everything that can break, broken before every step of cutover and
 * rollback, under writers, between all kinds of servers. Thousands of cells of about ten seconds
 * each, so in an order of which every beginning touches every step and every fault:
 *
 * - PONTOON_FAULTS chooses: words that the name of a cell has to hold, separated by commas, each
 *   perhaps one of several, e.g. `17-17,rollback,source crashes|target crashes`. A word with `!`
 *   before it must not be there, e.g. `15-15,!for 70 s`.
 * - PONTOON_FAULTS_MINUTES bounds the run, shared out evenly among the pairs of servers; 50 by
 *   default, since a soak may take an hour.
 * - PONTOON_FAULTS_FILE gets a line per cell, as JSON; cells that have passed in it are left out,
 *   so that a run can be ended at any time and gone on with.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import tap, { type Test } from 'tap'
import { z } from 'zod'
import { stepNames } from '../../src/migration/pg/switch/model.ts'
import { faults } from '../support/switch-fault-list.ts'
import { FaultBench, type Cell, type SwitchKind } from '../support/switch-faults.ts'
import type { PairOptions } from '../support/switch-pair.ts'

interface Named extends Cell {
  readonly name: string
}

interface Chosen {
  readonly name: string
  readonly options: PairOptions
  readonly cells: readonly Named[]
}

const wanted = (process.env['PONTOON_FAULTS'] ?? '').split(',').filter((word) => word !== '')
const minutes = Number(process.env['PONTOON_FAULTS_MINUTES'] ?? '50')
const resultFile = process.env['PONTOON_FAULTS_FILE']
const lineSchema = z.object({ name: z.string(), problems: z.array(z.string()) })
const passed = new Set(
  (resultFile !== undefined && existsSync(resultFile) ? readFileSync(resultFile, 'utf8') : '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => lineSchema.parse(JSON.parse(line)))
    .filter(({ problems }) => problems.length === 0)
    .map(({ name }) => name),
)
const pairs: readonly (PairOptions & { readonly name: string })[] = [
  { name: '15-15', source: 15, target: 15 },
  { name: '18-18 managed', source: 18, target: 18, managed: true },
  { name: '15-18 managed', source: 15, target: 18, managed: true },
  { name: '17-17', source: 17, target: 17 },
  { name: '18-18', source: 18, target: 18 },
  { name: '15-18', source: 15, target: 18 },
]
const kinds = ['cutover', 'rollback'] as const
const before = ['guards', 'publication', 'reverse', 'proof']

/** Along the diagonals, both kinds in turn: what one leaves is what the next one begins with. */
function diagonals(names: readonly string[], steps: readonly string[]): readonly Cell[] {
  const all = steps.flatMap((_, shift) =>
    names.map((fault, index) => ({ fault, step: steps[(index + shift) % steps.length] ?? '' })),
  )
  return [0, 1].flatMap((first) =>
    all.map(({ fault, step }, index): Cell => ({ kind: kindAt(first + index), step, fault })),
  )
}

/** The shorter outages first. */
function broken(steps: readonly string[]): readonly Cell[] {
  const lengths = [...new Set([...faults.values()].map(({ outageMs }) => outageMs))]
  return lengths.flatMap((length) => {
    const same = [...faults].filter(([, { outageMs }]) => outageMs === length)
    return diagonals(
      same.map(([name]) => name),
      steps,
    )
  })
}

/** The process is killed, and the one that recovers as well. */
function recoveries(steps: readonly string[]): readonly Cell[] {
  const fault = 'sidecar is killed'
  return steps.flatMap((step) => {
    if (before.includes(step) || step === 'start') return []
    const isCommitted = steps.indexOf(step) > steps.indexOf('commit') && step !== 'undo'
    const recovery = isCommitted ? ['unfence', 'open', 'cleanup'] : ['undo']
    return recovery.flatMap((recoveryStep) =>
      kinds.map((kind): Cell => ({ kind, step, fault, recoveryStep })),
    )
  })
}

function kindAt(index: number): SwitchKind {
  return index % 2 === 0 ? 'cutover' : 'rollback'
}

function isWanted(name: string): boolean {
  const has = (word: string): boolean =>
    word.startsWith('!') ? !name.includes(word.slice(1)) : name.includes(word)
  return !passed.has(name) && wanted.every((words) => words.split('|').some(has))
}

function chosenOf({ name, source = 15, target = 15 }: (typeof pairs)[number]): readonly Named[] {
  const isTurns = source < 16 || target < 16
  const steps = stepNames.filter((step) => (step === 'reverse-slot' ? isTurns : step !== 'detach'))
  return [...broken(steps), ...recoveries(steps)]
    .map((cell) => {
      const again = cell.recoveryStep === undefined ? '' : `, again at ${cell.recoveryStep}`
      return { ...cell, name: `${name} ${cell.kind} ${cell.step}: ${cell.fault}${again}` }
    })
    .filter((cell) => isWanted(cell.name))
}

async function runCells(t: Test, { options, cells }: Chosen, deadlineMs: number): Promise<void> {
  let bench: FaultBench | null = null
  for (const [index, cell] of cells.entries()) {
    const startedMs = performance.now()
    if (startedMs > deadlineMs) {
      t.comment(`${index} cells ran, ${cells.length - index} are left`)
      break
    }
    bench ??= await FaultBench.start(options)
    const { problems, outcome, reason, longestGapMs } = await bench.run(cell)
    const tookMs = Math.round(performance.now() - startedMs)
    const line = { name: cell.name, outcome, reason, longestGapMs, tookMs, problems }
    if (resultFile !== undefined) appendFileSync(resultFile, `${JSON.stringify(line)}\n`)
    t.same(problems, [], JSON.stringify(line))
    if (problems.length === 0) continue
    // What it has left is the trouble of this cell alone.
    t.comment(bench.logs())
    await bench.stop()
    bench = null
  }
  await bench?.stop()
}

tap.setTimeout(24 * 3_600_000)
const chosen = pairs
  .map(({ name, ...options }): Chosen => ({ name, options, cells: chosenOf({ name, ...options }) }))
  .filter(({ cells }) => cells.length > 0)
const endMs = performance.now() + minutes * 60_000
for (const [index, one] of chosen.entries()) {
  const leftMs = endMs - performance.now()
  const deadlineMs = performance.now() + leftMs / (chosen.length - index)
  await tap.test(`${one.name}: ${one.cells.length} cells`, (t) => runCells(t, one, deadlineMs))
}
