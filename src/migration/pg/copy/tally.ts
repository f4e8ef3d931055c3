/**
 * How much of a copy is done, in bytes of the source's tables. What travels is longer or shorter
 * than that; each table's own ratio, learned from its first finished chunk, converts it.
 */
import { qualified, readable, type QualifiedName } from '../quote.ts'
import type { ChunkMark } from './chunk-marks.ts'
import type { PlannedTable } from './journal.ts'

export interface TableTally extends QualifiedName {
  readonly bytes: number
  readonly doneBytes: number
  readonly rows: number
  readonly isActive: boolean
}

export interface TallySum {
  readonly bytes: number
  readonly doneBytes: number
  readonly rows: number
}

/** A chunk on its way. */
export interface Ride {
  add(bytes: number, messages: number): void
  /** It is there. */
  arrive(rows: number, bytes: number): void
  /** It is not, and does not count. */
  fail(): void
}

interface Entry {
  readonly table: PlannedTable
  arrivedChunks: number
  arrivedRows: number
  arrivedBytes: number
  readonly rides: Set<{ bytes: number; messages: number }>
}

export class Tally {
  readonly #entries = new Map<string, Entry>()

  constructor(tables: readonly PlannedTable[]) {
    for (const table of tables)
      this.#entries.set(qualified(table), {
        table,
        arrivedChunks: 0,
        arrivedRows: 0,
        arrivedBytes: 0,
        rides: new Set(),
      })
  }

  /** A chunk that an earlier run has brought. */
  count(mark: ChunkMark): void {
    this.#arrive(this.#entries.get(qualified(mark)), mark.rows, mark.bytes)
  }

  begin(table: PlannedTable): Ride {
    const entry = this.#entries.get(qualified(table))
    const ride = { bytes: 0, messages: 0 }
    entry?.rides.add(ride)
    return {
      add: (bytes, messages) => {
        ride.bytes += bytes
        ride.messages += messages
      },
      arrive: (rows, bytes) => {
        entry?.rides.delete(ride)
        this.#arrive(entry, rows, bytes)
      },
      fail: () => entry?.rides.delete(ride),
    }
  }

  tables(): readonly TableTally[] {
    return [...this.#entries.values()].map((entry) => ({
      schema: entry.table.schema,
      name: entry.table.name,
      bytes: entry.table.bytes,
      doneBytes: doneBytes(entry),
      rows: entry.arrivedRows + sum([...entry.rides].map(({ messages }) => messages)),
      isActive: entry.rides.size > 0,
    }))
  }

  sum(): TallySum {
    const tables = this.tables()
    return {
      bytes: sum(tables.map(({ bytes }) => bytes)),
      doneBytes: sum(tables.map((table) => table.doneBytes)),
      rows: sum(tables.map(({ rows }) => rows)),
    }
  }

  #arrive(entry: Entry | undefined, rows: number, bytes: number): void {
    if (entry === undefined) return
    entry.arrivedChunks += 1
    entry.arrivedRows += rows
    entry.arrivedBytes += bytes
  }
}

/** What is under way never makes a chunk whole. */
const rideShareMax = 0.99

function doneBytes({ table, arrivedChunks, arrivedBytes, rides }: Entry): number {
  const chunkBytes = table.bytes / table.chunkPages.length
  const travelled = arrivedChunks > 0 ? arrivedBytes / arrivedChunks : chunkBytes
  const shares = [...rides].map(({ bytes }) =>
    Math.min(rideShareMax, bytes / Math.max(1, travelled)),
  )
  return Math.round(chunkBytes * (arrivedChunks + sum(shares)))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

/** For progress: what is under way, the largest first. */
export function activeTables(
  tally: Tally,
): readonly { readonly name: string; readonly done: number; readonly total: number }[] {
  return tally
    .tables()
    .filter(({ isActive }) => isActive)
    .map((table) => ({ name: readable(table), done: table.doneBytes, total: table.bytes }))
}
