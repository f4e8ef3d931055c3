/** Builds what stands on the tables of the target, several things at once, on connections of its own. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { qualified, readable, type QualifiedName } from '../quote.ts'
import { planBuild, type BuildStep } from './build-plan.ts'
import type { TableDefinitions } from './definitions.ts'
import { planForeignKeys } from './foreign-keys.ts'
import { copyLimits } from './limits.ts'
import { readPresent } from './present.ts'
import { withRetry } from './retry.ts'
import { connectBuilder } from './session.ts'
import { note, type CopyWork } from './work.ts'

export class Builders {
  readonly #work: CopyWork
  readonly #memoryBytes: number
  readonly #free: SqlClient[] = []
  readonly #turns: (() => void)[] = []
  #busy = 0
  #begun = 0
  #ended = 0

  constructor(work: CopyWork, memoryBytes: number) {
    this.#work = work
    this.#memoryBytes = memoryBytes
  }

  /** Tables that are built, and all that were asked for so far. */
  get progress(): { readonly done: number; readonly total: number } {
    return { done: this.#ended, total: this.#begun }
  }

  /**
   * Everything on one table, and its statistics. What is there is left alone. Statistics come first
   * where they can: ANALYZE keeps one core busy, what is built last should keep all of them.
   */
  async buildTable(table: TableDefinitions): Promise<void> {
    const startMs = this.#work.clock.nowMs()
    this.#begun += 1
    await this.#try(readable(table), async () => {
      const present = await this.#with((client) => readPresent(client, table))
      const { indexes, afterwards } = planBuild(table, present)
      const needsIndexes = table.indexes.some(({ hasExpressions }) => hasExpressions)
      if (!needsIndexes) await this.#analyze(table)
      await this.#buildAll(indexes)
      for (const step of afterwards) await this.#build(step)
      if (needsIndexes) await this.#analyze(table)
    })
    this.#ended += 1
    const tookMs = this.#work.clock.nowMs() - startMs
    this.#work.onEvent({ kind: 'built', table: readable(table), tookMs })
  }

  /** Of partitioned tables, whose partitions have theirs by now: indexes, then what joins them. */
  async joinPartitions(tables: ReadonlyMap<string, TableDefinitions>): Promise<void> {
    const all = [...tables.values()]
    const partitioned = all.filter(({ isPartitioned }) => isPartitioned)
    for (const table of partitioned) await this.buildTable(table)
    const parents = new Set(partitioned.flatMap(({ indexes }) => indexes.map(qualified)))
    for (const { schema, name, parent } of all.flatMap(({ indexes }) => indexes)) {
      if (parent === null || !parents.has(qualified(parent))) continue
      const sql = `ALTER INDEX ${qualified(parent)} ATTACH PARTITION ${qualified({ schema, name })}`
      await this.#try(name, () => this.#build({ name, sql }))
    }
  }

  async addForeignKeys(tables: ReadonlyMap<string, TableDefinitions>): Promise<void> {
    await this.#try('foreign keys', async () => {
      const { add, validate, remarks } = await this.#with((one) => planForeignKeys(one, tables))
      for (const remark of remarks) note(this.#work, remark)
      for (const step of add) await this.#build(step)
      await this.#buildAll(validate)
    })
  }

  close(): void {
    for (const client of this.#free.splice(0)) client.close()
  }

  #try(name: string, run: () => Promise<void>): Promise<void> {
    const { signal } = this.#work
    const onRetry = (words: string): void => note(this.#work, words)
    return withRetry({ what: `building on ${name}`, signal, onRetry }, run)
  }

  async #analyze(table: QualifiedName & { readonly isPartitioned: boolean }): Promise<void> {
    const sql = (major: number): string =>
      `ANALYZE ${table.isPartitioned && major >= 18 ? 'ONLY ' : ''}${qualified(table)}`
    await this.#with((client) => this.#run(client, sql(client.major)))
  }

  /** All have ended when it rejects: what is tried again must not meet what still runs. */
  async #buildAll(steps: readonly BuildStep[]): Promise<void> {
    const outcomes = await Promise.allSettled(steps.map((step) => this.#build(step)))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  async #build({ sql }: BuildStep): Promise<void> {
    await this.#with((client) => this.#run(client, sql))
  }

  async #run(client: SqlClient, sql: string): Promise<void> {
    const { signal } = this.#work
    await client.run(sql, { timeoutMs: copyLimits.buildMs, signal })
  }

  /** With one of `jobs` connections, when it is one's turn. */
  async #with<T>(run: (client: SqlClient) => Promise<T>): Promise<T> {
    if (this.#busy < this.#work.jobs) this.#busy += 1
    else await new Promise<void>((resolve) => this.#turns.push(resolve))
    try {
      this.#work.signal.throwIfAborted()
      const idle = this.#free.pop()
      const client =
        idle?.isOpen === true ? idle : await connectBuilder(this.#work.context, this.#memoryBytes)
      try {
        return await run(client)
      } finally {
        if (client.isOpen) this.#free.push(client)
      }
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#busy -= 1
      else next()
    }
  }
}
