/**
 * Replaces a file so that after a crash at any moment either the old or the new content is there,
 * whole: write beside it, fsync, rename over it, fsync the folder (rename(2), fsync(2)).
 */
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

export async function replaceFile(path: string, content: string): Promise<void> {
  // Only the holder of the folder's lock writes, so one name for the temporary file is enough and
  // what a crash leaves behind is overwritten.
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncFolder(dirname(path))
}

/** Makes created, renamed and removed names of a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
