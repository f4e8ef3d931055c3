/** The third act: reads go to the target, a share at a time. Writes stay on the source. */
import { setTimeout as delay } from 'node:timers/promises'
import { heading, operate } from './stage.ts'
import type { Stage } from './stage.ts'
import { countStatements, subtract } from './statement-counts.ts'
import { watch } from './stretch.ts'
import type { Stretch } from './verdict.ts'

export const readsOfSteps: readonly number[] = [10, 50, 100]

/**
 * Counting starts this long after a shift: until readAfterWriteMs (1,000) have passed, a session
 * whose last transaction was not looked at, because its reads stayed anyway, counts as a writer.
 */
const settleMs = 1_200
/** Before the first read leaves Pontoon learns what is one; a busy machine takes its time for it. */
const firstReadMs = 30_000
const lookMs = 100

export async function shiftReads(stage: Stage): Promise<readonly Stretch[]> {
  heading(stage.view, 'reads', 'the target answers a growing share; writes stay on the source')
  const stretches: Stretch[] = []
  for (const reads of readsOfSteps) {
    await operate(stage, ['shift', 'orders', '--reads', String(reads)], oneLine)
    await delay(settleMs, undefined, { signal: stage.signal })
    await firstRead(stage)
    stretches.push(await watch(stage, { name: `reads ${reads} %`, reads, primary: 'source' }))
  }
  return stretches
}

/** Where none comes the stretch that follows says so. */
async function firstRead({ databases, signal }: Stage): Promise<void> {
  const before = await countStatements(databases)
  const untilMs = performance.now() + firstReadMs
  while (performance.now() < untilMs) {
    if (subtract(await countStatements(databases), before).report.target > 0) return
    await delay(lookMs, undefined, { signal })
  }
}

function oneLine(text: string): string {
  return text.trim().split(/\n\s*/).join('  ')
}
