/** Hands out the chunks of all tables, one after the other, at a rate that spares the servers. */
import type { Clock } from '../../../shared/clock.ts'
import { wait } from '../../../shared/wait.ts'
import type { ChunkPlan } from './chunk-plan.ts'
import type { ComparedTable } from './compared-table.ts'
import type { Journal } from './journal.ts'
import type { HashForm } from './row-hash.ts'
import { RowReader, type KeyRange } from './row-reader.ts'

export interface Chunk {
  readonly reader: RowReader
  readonly at: number
  readonly range: KeyRange
}

export interface ChunkLineOptions {
  readonly tables: readonly ComparedTable[]
  readonly form: HashForm
  readonly journal: Journal
  /** Where the journal has none yet. */
  readonly plan: (reader: RowReader) => Promise<ChunkPlan>
}

/** Chunks that the journal has are left out. May be asked for the next one at any time. */
export async function* chunkLine(options: ChunkLineOptions): AsyncGenerator<Chunk, void> {
  const { tables, form, journal, plan } = options
  for (const table of tables) {
    const reader = new RowReader(table, form)
    let planned = journal.planOf(table.label)
    if (planned === null) {
      planned = await plan(reader)
      await journal.planned(table.label, planned)
    }
    for (const [at, range] of planned.ranges.entries())
      if (!journal.isCompared(table.label, at)) yield { reader, at, range }
  }
}

/** Keeps the rows compared per second below a limit. */
export class Pace {
  readonly #rowsPerSecond: number | null
  readonly #clock: Clock
  #freeAtMs = 0

  /** Null: without a limit. */
  constructor(rowsPerSecond: number | null, clock: Clock) {
    this.#rowsPerSecond = rowsPerSecond
    this.#clock = clock
  }

  async turn(signal: AbortSignal | undefined): Promise<void> {
    const waitMs = this.#freeAtMs - this.#clock.nowMs()
    if (waitMs > 0) await wait(waitMs, signal)
  }

  spent(rows: number): void {
    if (this.#rowsPerSecond === null) return
    const from = Math.max(this.#freeAtMs, this.#clock.nowMs())
    this.#freeAtMs = from + (rows * 1_000) / this.#rowsPerSecond
  }
}
