/**
 * Averages as PgBouncer computes them: against totals that are one to two periods old. The
 * console's sweep calls `tick`; nothing happens on the hot path.
 */
import { DatabaseTotals } from '../../service.ts'

/** PgBouncer's stats_period. */
export const statsPeriodMs = 60_000

interface Kept {
  readonly atMs: number
  readonly totals: ReadonlyMap<string, DatabaseTotals>
}

export interface Change {
  readonly seconds: number
  readonly before: DatabaseTotals
}

const nothing = new DatabaseTotals()

export class StatsWindow {
  #older: Kept
  #newer: Kept

  constructor(nowMs: number) {
    this.#older = { atMs: nowMs, totals: new Map() }
    this.#newer = this.#older
  }

  tick(nowMs: number, totals: ReadonlyMap<string, DatabaseTotals>): void {
    if (nowMs - this.#newer.atMs < statsPeriodMs) return
    this.#older = this.#newer
    const copies = [...totals].map(
      ([name, one]) => [name, Object.assign(new DatabaseTotals(), one)] as const,
    )
    this.#newer = { atMs: nowMs, totals: new Map(copies) }
  }

  /** Since when averages are taken, and the totals of a database then. */
  since(nowMs: number, database: string): Change {
    return {
      seconds: Math.max(1, (nowMs - this.#older.atMs) / 1_000),
      before: this.#older.totals.get(database) ?? nothing,
    }
  }
}
