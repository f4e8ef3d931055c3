/**
 * The rows: all chunks that are not there yet, by as many jobs as asked for, the largest tables
 * first. A table whose last chunk has arrived is handed on at once, so that its indexes are built
 * beside the next tables.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { qualified, readable } from '../quote.ts'
import type { ChunkMark } from './chunk-marks.ts'
import { copyChunk, SnapshotLost, TableRewritten } from './chunk.ts'
import type { PlannedTable } from './journal.ts'
import { withRetry } from './retry.ts'
import { connectReader, connectWriter } from './session.ts'
import { note, type CopyWork } from './work.ts'

export interface RowsOptions {
  readonly snapshot: string
  readonly mayReplicate: boolean
  /** Tables that others point at by foreign keys already cannot be truncated. */
  readonly mayTruncate: ReadonlySet<string>
  readonly marks: readonly ChunkMark[]
  readonly onTable: (table: PlannedTable) => void
}

export interface RowsOutcome {
  /** The snapshot is gone: what had not arrived can no longer be had from it. */
  readonly isSnapshotLost: boolean
  /** Truncated or rewritten meanwhile, by quoted name. */
  readonly rewritten: ReadonlySet<string>
}

interface Chunk {
  readonly table: PlannedTable
  readonly chunk: number
}

export async function copyRows(work: CopyWork, options: RowsOptions): Promise<RowsOutcome> {
  const run = new RowsRun(work, options)
  return run.run()
}

class RowsRun {
  readonly #work: CopyWork
  readonly #options: RowsOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #waiting: Chunk[] = []
  /** Chunks of each table that have yet to arrive. */
  readonly #missing = new Map<string, number>()
  readonly #rewritten = new Set<string>()
  #isSnapshotLost = false

  constructor(work: CopyWork, options: RowsOptions) {
    this.#work = work
    this.#options = options
    this.#signal = AbortSignal.any([work.signal, this.#stop.signal])
    const there = new Set(options.marks.map((mark) => `${qualified(mark)} ${mark.chunk}`))
    for (const table of work.job.tables) {
      if (table.isLeftToSync) continue
      const chunks = table.chunkPages
        .map((_, chunk) => ({ table, chunk }))
        .filter(({ chunk }) => !there.has(`${qualified(table)} ${chunk}`))
      this.#missing.set(qualified(table), chunks.length)
      this.#waiting.push(...chunks)
      if (chunks.length === 0) options.onTable(table)
    }
  }

  async run(): Promise<RowsOutcome> {
    const jobs = Math.min(this.#work.jobs, this.#waiting.length)
    const outcomes = await Promise.allSettled(Array.from({ length: jobs }, () => this.#runJob()))
    this.#work.signal.throwIfAborted()
    // All have ended; the first to fail has stopped the others.
    const failed = outcomes.map((one): unknown => (one.status === 'rejected' ? one.reason : null))
    const cause = failed.find((one) => one !== null && one !== this.#stop.signal.reason)
    if (cause !== undefined) throw cause
    return { isSnapshotLost: this.#isSnapshotLost, rewritten: this.#rewritten }
  }

  async #runJob(): Promise<void> {
    const ends = new JobEnds(this.#work, this.#options.mayReplicate)
    try {
      for (;;) {
        this.#signal.throwIfAborted()
        const next = this.#isSnapshotLost ? undefined : this.#waiting.shift()
        if (next === undefined) return
        await this.#bring(ends, next)
      }
    } catch (error) {
      this.#stop.abort(new PontoonError('ABORTED', 'another job of the copy has failed'))
      throw error
    } finally {
      ends.close()
    }
  }

  async #bring(ends: JobEnds, { table, chunk }: Chunk): Promise<void> {
    const key = qualified(table)
    if (this.#rewritten.has(key)) return
    const what = `copying ${readable(table)}`
    const onRetry = (words: string): void => note(this.#work, words)
    try {
      await withRetry({ what, signal: this.#signal, onRetry }, () =>
        this.#attempt(ends, table, chunk),
      )
    } catch (error) {
      if (error instanceof SnapshotLost) {
        this.#isSnapshotLost = true
        return
      }
      if (!(error instanceof TableRewritten)) throw error
      this.#rewritten.add(key)
      return
    }
    const missing = (this.#missing.get(key) ?? 0) - 1
    this.#missing.set(key, missing)
    if (missing === 0) this.#options.onTable(table)
  }

  async #attempt(ends: JobEnds, table: PlannedTable, chunk: number): Promise<void> {
    const { job, throttle, tally } = this.#work
    const [source, target] = await ends.open()
    const ride = tally.begin(table)
    try {
      const count = await copyChunk(source, target, {
        job: job.id,
        snapshot: this.#options.snapshot,
        table,
        chunk,
        mayTruncate:
          table.chunkPages.length === 1 && this.#options.mayTruncate.has(qualified(table)),
        onProgress: (bytes, messages) => ride.add(bytes, messages),
        pace: throttle.pace,
        signal: this.#signal,
      })
      // Brought by a transaction that seemed lost: its rows are counted by the next run only.
      ride.arrive(count?.rows ?? 0, count?.bytes ?? 0)
    } catch (error) {
      ride.fail()
      throw error
    }
  }
}

/** The two connections of a job, made when they are needed and made again after a failure. */
class JobEnds {
  readonly #work: CopyWork
  readonly #mayReplicate: boolean
  #source: SqlClient | null = null
  #target: SqlClient | null = null

  constructor(work: CopyWork, mayReplicate: boolean) {
    this.#work = work
    this.#mayReplicate = mayReplicate
  }

  async open(): Promise<readonly [SqlClient, SqlClient]> {
    const { context } = this.#work
    if (this.#source?.isOpen !== true) this.#source = await connectReader(context)
    if (this.#target?.isOpen !== true)
      this.#target = await connectWriter(context, this.#mayReplicate)
    return [this.#source, this.#target]
  }

  close(): void {
    this.#source?.close()
    this.#target?.close()
  }
}
