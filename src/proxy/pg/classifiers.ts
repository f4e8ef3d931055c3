/**
 * One classifier per database of a service. It recognises nothing as a read until it knows the
 * database's functions, views and operators, and it learns them only while a route needs it.
 */
import { catalogFromRows, catalogQuery, catalogQueryOfOthers } from '../../routing/catalog.ts'
import { Classifier } from '../../routing/classify.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { Rows } from '../../net/pg/query.ts'

/** How old the knowledge of a database may get; a read that became a write fails on the read-only server meanwhile. */
const catalogAgeMaxMs = 30_000

/** Asks the primary side, as the user whose rights the sessions have. */
export type CatalogSource = (user: string, database: string, sql: string) => Promise<Rows>

interface Entry {
  readonly classifier: Classifier
  readonly user: string
  readonly database: string
  loadedAtMs: number
  isLoading: boolean
}

export class ClassifierSet {
  readonly #ask: CatalogSource
  readonly #isOthers: () => boolean
  readonly #clock: Clock
  readonly #log: Log
  readonly #entries = new Map<string, Entry>()
  #isNeeded = false

  /** `isOthers`: reads elsewhere log in as another role than the client's. */
  constructor(ask: CatalogSource, isOthers: () => boolean, clock: Clock, log: Log) {
    this.#ask = ask
    this.#isOthers = isOthers
    this.#clock = clock
    this.#log = log
  }

  of(user: string, database: string): Classifier {
    let entry = this.#entries.get(database)
    if (entry === undefined) {
      entry = {
        classifier: new Classifier({}),
        user,
        database,
        loadedAtMs: Number.NEGATIVE_INFINITY,
        isLoading: false,
      }
      this.#entries.set(database, entry)
      if (this.#isNeeded) void this.#load(entry)
    }
    return entry.classifier
  }

  /** Whether the route asks for reads to be recognised. */
  need(isNeeded: boolean): void {
    this.#isNeeded = isNeeded
    this.sweep()
  }

  /** Once a second: loads what is missing or old. */
  sweep(): void {
    if (!this.#isNeeded) return
    const nowMs = this.#clock.nowMs()
    for (const entry of this.#entries.values()) {
      if (nowMs - entry.loadedAtMs > catalogAgeMaxMs) void this.#load(entry)
    }
  }

  async #load(entry: Entry): Promise<void> {
    if (entry.isLoading) return
    const nowMs = this.#clock.nowMs()
    entry.isLoading = true
    try {
      const sql = this.#isOthers() ? catalogQueryOfOthers : catalogQuery
      const rows = await this.#ask(entry.user, entry.database, sql)
      const catalog = catalogFromRows(
        rows.map(([kind, name]) => ({ kind: kind ?? '', name: name ?? '' })),
      )
      const { unsafe } = catalog
      if (unsafe.length > 0)
        this.#log.warn({ database: entry.database, unsafe }, 'no query here can be called a read')
      entry.classifier.useCatalog(catalog)
      entry.loadedAtMs = nowMs
    } catch (error) {
      // Try again soon; an old catalog stays in use.
      entry.loadedAtMs = Math.max(entry.loadedAtMs, nowMs - catalogAgeMaxMs + 5_000)
      this.#log.warn(
        { database: entry.database, error: String(error) },
        'the catalog could not be read; unknown reads stay on the primary',
      )
    } finally {
      entry.isLoading = false
    }
  }
}
