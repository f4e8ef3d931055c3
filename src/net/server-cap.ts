/**
 * A bound on the servers of several pools together: those of one side, one user or one database.
 * A pool takes a place before it opens a server. When none is free, a server that idles in
 * another pool is closed for it; when none idles either, the pool waits for its turn.
 */
import { assert } from '../shared/assert.ts'

/** What a cap asks of a pool (pool.ts). */
export interface CappedPool {
  /** Since when its longest idle server rests that it can do without; null when it has none. */
  spareSinceMs(): number | null
  /** Closes that server. */
  closeSpare(): void
  /** Since when the first who waits for a server of it waits; null when nobody does. */
  waitingSinceMs(): number | null
  /** A place may be free: try again. */
  placeFreed(): void
}

export class ServerCap {
  readonly #max: () => number
  readonly #pools = new Set<CappedPool>()
  readonly #starved = new Set<CappedPool>()
  #used = 0

  /** `max` is asked each time, so that a reload counts at once. */
  constructor(max: () => number) {
    this.#max = max
  }

  /** No pool is under it any more. */
  get isUnused(): boolean {
    return this.#pools.size === 0
  }

  /** Some pool waits for a place. */
  get isContended(): boolean {
    return this.#starved.size > 0
  }

  join(pool: CappedPool): void {
    this.#pools.add(pool)
  }

  leave(pool: CappedPool): void {
    this.#pools.delete(pool)
    this.#starved.delete(pool)
  }

  /** Whether `pool` may take a place; closes an idle server of another one where that helps. */
  makeRoom(pool: CappedPool): boolean {
    if (this.#used < this.#max()) return true
    if (pool.waitingSinceMs() !== null) this.#longestSpare(pool)?.closeSpare()
    if (this.#used < this.#max()) return true
    this.#starved.add(pool)
    return false
  }

  take(pool: CappedPool): void {
    this.#used += 1
    this.#starved.delete(pool)
  }

  free(): void {
    assert(this.#used > 0, 'a place that was taken is freed')
    this.#used -= 1
    if (this.#used < this.#max()) this.#hungriest()?.placeFreed()
  }

  /** Whether a pool other than `pool` has waited for a place since before `sinceMs`. */
  isOwedBefore(sinceMs: number, pool: CappedPool): boolean {
    const hungriest = this.#hungriest()
    if (hungriest === null || hungriest === pool) return false
    return (hungriest.waitingSinceMs() ?? Number.POSITIVE_INFINITY) < sinceMs
  }

  #longestSpare(asker: CappedPool): CappedPool | null {
    let found: CappedPool | null = null
    let foundSinceMs = Number.POSITIVE_INFINITY
    for (const pool of this.#pools) {
      const sinceMs = pool === asker ? null : pool.spareSinceMs()
      if (sinceMs === null || sinceMs >= foundSinceMs) continue
      found = pool
      foundSinceMs = sinceMs
    }
    return found
  }

  /** Of those who wait for a place, whose first has waited longest. */
  #hungriest(): CappedPool | null {
    let found: CappedPool | null = null
    let foundSinceMs = Number.POSITIVE_INFINITY
    for (const pool of this.#starved) {
      const sinceMs = pool.waitingSinceMs()
      if (sinceMs === null) this.#starved.delete(pool)
      else if (sinceMs < foundSinceMs) {
        found = pool
        foundSinceMs = sinceMs
      }
    }
    return found
  }
}
