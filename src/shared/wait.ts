/** A wait that a signal ends. Rejects with the signal's own reason. */
import { setTimeout as delay } from 'node:timers/promises'

export async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
