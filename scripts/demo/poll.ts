/** Waits for a condition by asking again and again, at most until a deadline. */
import { setTimeout as delay } from 'node:timers/promises'

const intervalMs = 50

export async function untilTrue(
  what: string,
  isTrue: () => Promise<boolean>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!(await isTrue())) {
    signal.throwIfAborted()
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`)
    await delay(intervalMs, undefined, { signal })
  }
}
