/**
 * What a copy knows of itself across crashes, in its folder `jobs/SERVICE/copy` of the state:
 *
 * - `job.json`: the plan and the stage, replaced whole. Which chunks are there is not in it: that
 *   stands on the target, in the same transaction as the rows (chunk-marks.ts).
 * - `snapshot.json`: written by the keeper of the snapshot (keeper.ts).
 * - `order`: what an operator asks of the running copy (orders.ts).
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { PontoonError } from '../../../shared/errors.ts'
import { systemErrorCode } from '../../../shared/system-error.ts'
import { replaceFile } from '../../../store/durable-file.ts'

const count = z.number().int()

const tableSchema = z.object({
  schema: z.string(),
  name: z.string(),
  oid: count,
  /** Another one later means that the table was rewritten or truncated. */
  filenode: z.string(),
  isPublished: z.boolean(),
  bytes: count,
  rows: count,
  columns: z.array(z.string()),
  format: z.enum(['binary', 'text']),
  /** First page of each chunk; the last one is open at its end. */
  chunkPages: z.array(count),
  /** Whether the snapshot cannot give it any more, and the server's own table sync has to. */
  isLeftToSync: z.boolean(),
})

const jobSchema = z.object({
  version: z.literal(1),
  id: z.uuid(),
  /**
   * `preparing`: publication and slot are being made. `copying`: rows and indexes. `following`: the
   * subscription is there, or about to be. `done`, `aborted`: over.
   */
  stage: z.enum(['preparing', 'copying', 'following', 'done', 'aborted']),
  slot: z.string(),
  startedAtMs: z.number(),
  endedAtMs: z.number().optional(),
  tables: z.array(tableSchema),
})

export type PlannedTable = Readonly<z.infer<typeof tableSchema>>
/** Its tables are never changed in place. */
export type CopyJob = Readonly<Omit<z.infer<typeof jobSchema>, 'tables'>> & {
  readonly tables: readonly PlannedTable[]
}

const snapshotSchema = z.object({
  job: z.string(),
  /** `held`: to be imported. `failed`: could not be made. `ended`: let go. */
  state: z.enum(['held', 'failed', 'ended']),
  snapshot: z.string().optional(),
  lsn: z.string().optional(),
  pid: count,
  error: z.string().optional(),
})
export type HeldSnapshot = Readonly<z.infer<typeof snapshotSchema>>

export function copyFolder(stateFolder: string, service: string): string {
  return join(stateFolder, 'jobs', service, 'copy')
}

export async function makeCopyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** Undefined when no copy was ever begun. */
export async function readJob(folder: string): Promise<CopyJob | undefined> {
  return readState(join(folder, 'job.json'), jobSchema)
}

export async function writeJob(folder: string, job: CopyJob): Promise<void> {
  await replaceFile(join(folder, 'job.json'), `${JSON.stringify(job)}\n`)
}

/** Undefined until the keeper has said anything. */
export async function readHeldSnapshot(folder: string): Promise<HeldSnapshot | undefined> {
  return readState(join(folder, 'snapshot.json'), snapshotSchema)
}

export async function writeHeldSnapshot(folder: string, held: HeldSnapshot): Promise<void> {
  await replaceFile(join(folder, 'snapshot.json'), `${JSON.stringify(held)}\n`)
}

/** Throws STATE_UNREADABLE for what cannot be understood. */
async function readState<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    const words = error instanceof Error ? error.message : String(error)
    throw new PontoonError('STATE_UNREADABLE', `${path}: ${words}`, { cause: error })
  }
}
