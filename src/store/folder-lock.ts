/**
 * Keeps two processes from holding one state folder. The lock is a file that names its holder; a
 * process that was killed leaves it behind, and the next one takes it over once it has seen that
 * the holder is gone: by pid and start time on the same machine, by a silent heartbeat (the
 * file's mtime) where the holder ran in another container or on another machine.
 */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { systemClock, type Clock } from '../shared/clock.ts'
import { PontoonError } from '../shared/errors.ts'
import { systemErrorCode } from '../shared/system-error.ts'
import { lifeOf, ownIdentity, type ProcessIdentity } from './process-identity.ts'

const heartbeatMs = 2_000
/** A holder that we cannot see counts as gone after this long without a heartbeat. */
const silentMs = 5 * heartbeatMs
const attemptsMax = 5

const lockSchema = z.object({
  pid: z.number().int(),
  startTicks: z.string(),
  realm: z.string(),
  hostname: z.string(),
  /** Tells this lock from any other of the same process. */
  nonce: z.string(),
}) satisfies z.ZodType<ProcessIdentity>
type LockContent = Readonly<z.infer<typeof lockSchema>>

export class FolderLock {
  readonly #path: string
  readonly #nonce: string
  readonly #heartbeat: NodeJS.Timeout

  private constructor(path: string, nonce: string, clock: Clock) {
    this.#path = path
    this.#nonce = nonce
    this.#heartbeat = setInterval(() => {
      const seconds = clock.wallMs() / 1_000
      // A lock that is gone shows at the next write; a heartbeat has nobody to tell.
      utimes(path, seconds, seconds).catch(() => undefined)
    }, heartbeatMs)
    this.#heartbeat.unref()
  }

  /** Throws STATE_LOCKED, naming the holder. */
  static async acquire(folder: string, clock: Clock = systemClock): Promise<FolderLock> {
    const path = join(folder, 'lock')
    const nonce = randomUUID()
    const content: LockContent = { ...ownIdentity(), hostname: hostname(), nonce }
    const draft = join(folder, `lock.${nonce}`)
    await writeFile(draft, `${JSON.stringify(content)}\n`, { mode: 0o600 })
    try {
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        if (await linked(draft, path)) return new FolderLock(path, nonce, clock)
        await removeStale(folder, path, clock)
      }
    } finally {
      await rm(draft, { force: true })
    }
    throw new PontoonError('STATE_LOCKED', `${folder}: other processes keep taking the lock`)
  }

  /** Asserted before every write: throws STATE_LOCKED if someone took the lock away. */
  async verify(): Promise<void> {
    const holder = await readLock(this.#path)
    if (holder !== 'gone' && holder !== 'damaged' && holder.nonce === this.#nonce) return
    throw new PontoonError(
      'STATE_LOCKED',
      `${this.#path} was taken away from this process; nothing is written any more`,
    )
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat)
    const holder = await readLock(this.#path)
    if (holder === 'gone' || holder === 'damaged' || holder.nonce !== this.#nonce) return
    await rm(this.#path, { force: true })
  }
}

/** link(2) makes the lock with its content in one step, and fails where one exists. */
async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock of a dead holder. Throws STATE_LOCKED while the holder lives. */
async function removeStale(folder: string, path: string, clock: Clock): Promise<void> {
  const holder = await readLock(path)
  if (holder === 'gone') return
  await refuseLiving(path, holder, clock)
  // Two takers may see the same stale lock, and the slower one must not remove the lock that the
  // faster one has made meanwhile. So it is moved aside, looked at again, and put back if wrong.
  const aside = join(folder, `lock.${randomUUID()}`)
  try {
    await rename(path, aside)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return
    throw error
  }
  const moved = await readLock(aside)
  if (JSON.stringify(moved) !== JSON.stringify(holder)) await linked(aside, path)
  await rm(aside, { force: true })
}

async function refuseLiving(
  path: string,
  holder: LockContent | 'damaged',
  clock: Clock,
): Promise<void> {
  const life = holder === 'damaged' ? 'unknown' : lifeOf(holder)
  if (life === 'dead') return
  const who = holder === 'damaged' ? 'a process' : `process ${holder.pid}`
  if (life === 'alive') {
    throw new PontoonError('STATE_LOCKED', `${path} is held by ${who}, which is running`)
  }
  const silentForMs = clock.wallMs() - (await beatMs(path))
  if (silentForMs > silentMs) return
  const where = holder === 'damaged' ? 'unknown host' : `host ${holder.hostname}`
  throw new PontoonError(
    'STATE_LOCKED',
    `${path} is held by ${who} on ${where}; if it is gone, the lock is free in ` +
      `${Math.ceil((silentMs - silentForMs) / 1_000)} s`,
  )
}

/** When the holder was last heard of; long ago where there is none. */
async function beatMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch {
    return 0
  }
}

async function readLock(path: string): Promise<LockContent | 'gone' | 'damaged'> {
  try {
    return lockSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT' ? 'gone' : 'damaged'
  }
}
