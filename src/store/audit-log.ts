/**
 * The append-only record of what operators did: one JSON object a line, fsynced before the
 * operator gets an answer. It is never rotated or rewritten; retention is the owner's business.
 * A crash may tear the last line: it is skipped when reading and ended before the next append.
 * Lives beside state.json (file-store.ts), whose lock also covers it.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { assert } from '../shared/assert.ts'
import { systemClock, type Clock } from '../shared/clock.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import { linesFromEnd } from './lines-from-end.ts'

export const auditOutcomes = ['done', 'refused', 'failed'] as const
export type AuditOutcome = (typeof auditOutcomes)[number]

const entrySchema = z.object({
  /** ISO 8601, UTC. */
  time: z.string(),
  /** Name of the token, or who else acted. */
  actor: z.string(),
  role: z.string(),
  /** Network address that the request came from; empty for what Pontoon does by itself. */
  origin: z.string(),
  action: z.string(),
  service: z.string().nullable(),
  /** What it was and what it became, where the action changes a value; else null. */
  before: z.unknown(),
  after: z.unknown(),
  outcome: z.enum(auditOutcomes),
  /** What was asked for, or why it was refused. */
  details: z.record(z.string(), z.unknown()),
})

/** A line of the file. */
export type AuditEntry = Readonly<z.infer<typeof entrySchema>>

/** What the caller says; the log adds the time. */
export interface AuditRecord {
  readonly actor: { readonly name: string; readonly role: string; readonly address: string }
  readonly action: string
  readonly service: string | null
  readonly before?: unknown
  readonly after?: unknown
  readonly outcome: AuditOutcome
  readonly details?: Readonly<Record<string, unknown>>
}

const readLimit = 10_000

export class AuditLog {
  readonly #path: string
  readonly #file: FileHandle
  readonly #clock: Clock
  #lastAppend: Promise<unknown> = Promise.resolve()
  /** Whether the file ends inside a line, after a crash or a failed write. */
  #torn: boolean
  #closed = false

  private constructor(path: string, file: FileHandle, clock: Clock, torn: boolean) {
    this.#path = path
    this.#file = file
    this.#clock = clock
    this.#torn = torn
  }

  /** Throws STATE_UNREADABLE. The folder is the one of the state, which FileStore has made. */
  static async open(folder: string, clock: Clock = systemClock): Promise<AuditLog> {
    const path = join(folder, 'audit.jsonl')
    try {
      const file = await open(path, 'a+', 0o600)
      return new AuditLog(path, file, clock, await endsInsideLine(file))
    } catch (error) {
      throw failure(path, 'opened', error)
    }
  }

  /** Settles when the entry is on disk. Appends keep the order in which they were asked for. */
  append(record: AuditRecord): Promise<void> {
    assert(!this.#closed, 'the audit log is closed')
    const line = `${JSON.stringify(entryOf(record, this.#clock))}\n`
    const mine = this.#lastAppend.then(() => this.#write(line))
    this.#lastAppend = mine.catch(() => undefined)
    return mine
  }

  /** The last `count` whole entries, oldest first, without reading the rest of the file. */
  async readLast(count: number): Promise<readonly AuditEntry[]> {
    const wanted = Math.min(count, readLimit)
    const newestFirst: AuditEntry[] = []
    if (wanted < 1) return newestFirst
    try {
      for await (const line of linesFromEnd(this.#file)) {
        const entry = parseEntry(line)
        if (entry !== undefined) newestFirst.push(entry)
        if (newestFirst.length >= wanted) break
      }
    } catch (error) {
      throw failure(this.#path, 'read', error)
    }
    return newestFirst.toReversed()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#lastAppend
    await this.#file.close()
  }

  async #write(line: string): Promise<void> {
    const start = this.#torn ? '\n' : ''
    this.#torn = true
    try {
      await this.#file.appendFile(start + line)
      await this.#file.sync()
    } catch (error) {
      throw failure(this.#path, 'written', error)
    }
    this.#torn = false
  }
}

function entryOf(record: AuditRecord, clock: Clock): AuditEntry {
  return {
    time: new Date(clock.wallMs()).toISOString(),
    actor: record.actor.name,
    role: record.actor.role,
    origin: record.actor.address,
    action: record.action,
    service: record.service,
    before: record.before ?? null,
    after: record.after ?? null,
    outcome: record.outcome,
    details: record.details ?? {},
  }
}

async function endsInsideLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat()
  if (size === 0) return false
  const last = Buffer.alloc(1)
  await file.read(last, 0, 1, size - 1)
  return last.toString('latin1') !== '\n'
}

/** Undefined for an empty line, the rest of a torn one, or what someone else wrote. */
function parseEntry(line: string): AuditEntry | undefined {
  try {
    return entrySchema.parse(JSON.parse(line))
  } catch {
    return undefined
  }
}

function failure(path: string, what: string, error: unknown): PontoonError {
  const reason = toPontoonError(error).message
  return new PontoonError('STATE_UNREADABLE', `${path} cannot be ${what}: ${reason}`, {
    cause: error,
  })
}
