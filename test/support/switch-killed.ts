/**
 * The sidecar is killed before steps of a switch, under writers, and started again. Two files of
 * tests share the steps, because a slow machine does not get through all of them in the time of one.
 */
import type { Test } from 'tap'
import type { StepName } from '../../src/migration/pg/switch/model.ts'
import { FaultBench, type Cell } from './switch-faults.ts'

const fault = 'sidecar is killed'

function cellsOf(step: StepName): readonly Cell[] {
  const cutover: Cell = { kind: 'cutover', step, fault }
  switch (step) {
    // Both servers are newer than 15, so nothing is turned round. A forced switch detaches.
    case 'reverse-slot':
    case 'detach':
      return []
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
}

export async function finishesKilled(t: Test, steps: readonly StepName[]): Promise<void> {
  const bench = await FaultBench.start({ source: 17, target: 17 })
  t.teardown(() => bench.stop())
  for (const cell of steps.flatMap(cellsOf)) {
    const { kind, step, recoveryStep = '' } = cell
    const { problems, outcome, longestGapMs } = await bench.run(cell)
    t.same(problems, [], `${kind} before ${step} ${recoveryStep}: ${outcome}, ${longestGapMs} ms`)
    const isCommitted = ['unfence', 'open', 'cleanup'].includes(step)
    t.equal(outcome, isCommitted ? 'done' : 'undone')
  }
}
