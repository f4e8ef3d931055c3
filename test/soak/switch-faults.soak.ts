/**
 * The fault matrix of a switch: everything that can break, broken before every step of cutover and
 * rollback, under writers. PONTOON_FAULTS chooses cells: words that the name of a cell has to hold,
 * separated by commas, e.g. `17-17,rollback,source crashes|target crashes`. PONTOON_FAULTS_FILE gets
 * a line per cell.
 */
import { appendFileSync } from 'node:fs'
import tap from 'tap'
import { stepNames } from '../../src/migration/pg/switch/model.ts'
import { faults } from '../support/switch-fault-list.ts'
import { FaultBench, type Cell } from '../support/switch-faults.ts'
import type { PostgresMajor } from '../support/postgres.ts'

const wanted = (process.env['PONTOON_FAULTS'] ?? '').split(',').filter((word) => word !== '')
const resultFile = process.env['PONTOON_FAULTS_FILE']
const pairs: readonly (readonly [PostgresMajor, PostgresMajor])[] = [
  [17, 17],
  [15, 15],
  [18, 18],
]
const before = ['guards', 'publication', 'reverse', 'proof']

function cells(isTurns: boolean): readonly Cell[] {
  const steps = stepNames.filter((step) => step !== 'reverse-slot' || isTurns)
  const broken = Object.keys(faults).flatMap((fault) =>
    steps.flatMap((step) =>
      (['cutover', 'rollback'] as const).map((kind): Cell => ({ kind, step, fault })),
    ),
  )
  return [...broken, ...recoveries(steps)]
}

/** The process is killed, and the one that recovers as well. */
function recoveries(steps: readonly string[]): readonly Cell[] {
  const fault = 'sidecar is killed'
  return steps.flatMap((step) => {
    if (before.includes(step) || step === 'start') return []
    const isCommitted = steps.indexOf(step) > steps.indexOf('commit') && step !== 'undo'
    const recovery = isCommitted ? ['unfence', 'open', 'cleanup'] : ['undo']
    return recovery.flatMap((recoveryStep) =>
      (['cutover', 'rollback'] as const).map((kind): Cell => ({ kind, step, fault, recoveryStep })),
    )
  })
}

const nameOf = (majors: string, { kind, step, fault, recoveryStep }: Cell): string =>
  `${majors} ${kind} ${step}: ${fault}${recoveryStep === undefined ? '' : `, again at ${recoveryStep}`}`

tap.setTimeout(24 * 3_600_000)
for (const [source, target] of pairs) {
  const majors = `${source}-${target}`
  const chosen = cells(source < 16 || target < 16).filter((cell) =>
    wanted.every((words) => words.split('|').some((word) => nameOf(majors, cell).includes(word))),
  )
  if (chosen.length === 0) continue
  await tap.test(`${majors}: ${chosen.length} cells`, async (t) => {
    const bench = await FaultBench.start({ source, target })
    t.teardown(() => bench.stop())
    for (const cell of chosen) {
      const { problems, outcome, longestGapMs } = await bench.run(cell)
      t.same(problems, [], `${nameOf(majors, cell)} (${outcome}, ${longestGapMs} ms)`)
      if (resultFile === undefined) continue
      const line = { name: nameOf(majors, cell), outcome, longestGapMs, problems }
      appendFileSync(resultFile, `${JSON.stringify(line)}\n`)
    }
  })
}
