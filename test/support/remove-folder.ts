/** Removes a folder in which processes may still write. */
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** A keeper of a snapshot looks twice a second whether its copy is over, and then says so there. */
const goesOnMs = 10_000

/**
 * A file that is made while the folder is emptied keeps it there (ENOTEMPTY), and rm's own retries
 * do not empty it again: this does, for 10 s.
 */
export async function removeFolder(folder: string): Promise<void> {
  const endMs = performance.now() + goesOnMs
  for (;;) {
    try {
      return await rm(folder, { recursive: true, force: true })
    } catch (error) {
      const isWritten = error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY'
      if (!isWritten || performance.now() > endMs) throw error
    }
    await delay(100)
  }
}
