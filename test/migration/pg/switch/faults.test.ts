/**
 * The sidecar is killed before every step of a switch, under writers, and started again: see
 * switch-faults.soak.ts for everything else that can break.
 */
import tap from 'tap'
import { stepNames } from '../../../../src/migration/pg/switch/model.ts'
import { FaultBench, type Cell } from '../../../support/switch-faults.ts'

tap.setTimeout(170_000)

const fault = 'sidecar is killed'
const cells: readonly Cell[] = stepNames.flatMap((step): readonly Cell[] => {
  // Both servers are newer than 15, so nothing is turned round.
  if (step === 'reverse-slot') return []
  const cutover: Cell = { kind: 'cutover', step, fault }
  switch (step) {
    case 'undo':
      return [cutover]
    case 'fence-row':
      return [cutover, { kind: 'rollback', step, fault, recoveryStep: 'undo' }]
    case 'unfence':
      return [cutover, { kind: 'rollback', step, fault, recoveryStep: 'cleanup' }]
    default:
      // The next one shows that it can begin again.
      return [{ ...cutover, asksAgain: false }]
  }
})

await tap.test('a switch whose process is killed is finished by the next one', async (t) => {
  const bench = await FaultBench.start({ source: 17, target: 17 })
  t.teardown(() => bench.stop())
  for (const cell of cells) {
    const { kind, step, recoveryStep = '' } = cell
    const { problems, outcome, longestGapMs } = await bench.run(cell)
    t.same(problems, [], `${kind} before ${step} ${recoveryStep}: ${outcome}, ${longestGapMs} ms`)
    const isCommitted = ['unfence', 'open', 'cleanup'].includes(step)
    t.equal(outcome, isCommitted ? 'done' : 'undone')
  }
})
