/** The third act: reads go to the target, a share at a time. Writes stay on the source. */
import { setTimeout as delay } from 'node:timers/promises'
import { heading, operate } from './stage.ts'
import type { Stage } from './stage.ts'
import { watch } from './stretch.ts'
import type { Stretch } from './verdict.ts'

export const readsOfSteps: readonly number[] = [10, 50, 100]

/**
 * Counting starts this long after a shift: until readAfterWriteMs (1,000) have passed, a session
 * whose last transaction was not looked at, because its reads stayed anyway, counts as a writer.
 */
const settleMs = 1_200

export async function shiftReads(stage: Stage): Promise<readonly Stretch[]> {
  heading(stage.view, 'reads', 'the target answers a growing share; writes stay on the source')
  const stretches: Stretch[] = []
  for (const reads of readsOfSteps) {
    await operate(stage, ['shift', 'orders', '--reads', String(reads)], oneLine)
    await delay(settleMs, undefined, { signal: stage.signal })
    stretches.push(await watch(stage, { name: `reads ${reads} %`, reads, primary: 'source' }))
  }
  return stretches
}

function oneLine(text: string): string {
  return text.trim().split(/\n\s*/).join('  ')
}
