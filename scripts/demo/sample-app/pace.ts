/**
 * How long one client of the shop waited for its database, from answer to answer. The rests that
 * it takes by itself do not count, so that a pause of the database shows as long as it was.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClientBase, QueryConfig, QueryResult, QueryResultRow } from 'pg'

export class Pace {
  #sinceMs = performance.now()
  #longestMs = 0

  /** Every query of a client goes through here. */
  async ask<T extends QueryResultRow>(
    client: ClientBase,
    query: string | QueryConfig,
    values?: unknown[],
  ): Promise<QueryResult<T>> {
    const result = await client.query<T>(query, values)
    this.#answered()
    return result
  }

  async rest(ms: number): Promise<void> {
    await delay(ms)
    this.#sinceMs = performance.now()
  }

  /** The longest wait that has ended since this was asked last. */
  takeLongestMs(): number {
    const longestMs = this.#longestMs
    this.#longestMs = 0
    return longestMs
  }

  #answered(): void {
    const nowMs = performance.now()
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#sinceMs)
    this.#sinceMs = nowMs
  }
}
