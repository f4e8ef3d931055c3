/** The statements of a verification about one table, the same on both sides. */
import type { SqlClient, SqlOptions, SqlRow } from '../../../net/pg/sql-client.ts'
import { identifier } from '../quote.ts'
import type { ComparedTable } from './compared-table.ts'
import { keyId, type Digest, type RowState } from './row-digest.ts'
import { hashSql, rowTextSql, type HashForm } from './row-hash.ts'
import { keyTextSql, valueLiteral, valueTextSql } from './value-text.ts'

/** Rows whose key is above `after` and not above `upTo`; null: without that bound. */
export interface KeyRange {
  readonly after: readonly string[] | null
  readonly upTo: readonly string[] | null
}

export const wholeTable: KeyRange = { after: null, upTo: null }

/** How many buckets rows are dealt into, and which of them are meant. */
export interface Buckets {
  /** A power of two. */
  readonly count: number
  readonly chosen: readonly number[]
}

/** Keys in one statement. */
export const lookupKeysMax = 500

export class RowReader {
  readonly table: ComparedTable
  readonly #form: HashForm
  readonly #rowHash: string
  readonly #keyHash: string

  constructor(table: ComparedTable, form: HashForm) {
    this.table = table
    this.#form = form
    this.#rowHash = hashSql(form, rowTextSql(form, table.columns))
    this.#keyHash =
      table.method === 'multiset'
        ? this.#rowHash
        : hashSql(form, rowTextSql(form, table.keyHashColumns))
  }

  async digest(client: SqlClient, range: KeyRange, options: SqlOptions): Promise<Digest> {
    const { rows } = await client.query(
      `SELECT count(*), COALESCE(sum(${this.#rowHash}), 0) FROM ${this.table.from}${this.#where(range)}`,
      undefined,
      options,
    )
    return digestOf(rows[0] ?? [], 0)
  }

  /** Digests by bucket, of those that have rows. `count` is a power of two. */
  async buckets(
    client: SqlClient,
    range: KeyRange,
    count: number,
    options: SqlOptions,
  ): Promise<ReadonlyMap<number, Digest>> {
    const { rows } = await client.query(
      `SELECT (${this.#keyHash}) & ${count - 1}, count(*), sum(${this.#rowHash})
       FROM ${this.table.from}${this.#where(range)} GROUP BY 1`,
      undefined,
      options,
    )
    return new Map(rows.map((row) => [Number(row[0]), digestOf(row, 1)]))
  }

  /** Every row of the chosen buckets, by key. */
  async rows(
    client: SqlClient,
    range: KeyRange,
    buckets: Buckets,
    options: SqlOptions,
  ): Promise<ReadonlyMap<string, RowState>> {
    const chosen = `(${this.#keyHash}) & ${buckets.count - 1} IN (${buckets.chosen.join(', ')})`
    const where = this.#where(range)
    return await this.#states(
      client,
      where === '' ? ` WHERE ${chosen}` : `${where} AND ${chosen}`,
      options,
    )
  }

  /** The rows of these keys, by key; at most `lookupKeysMax` keys. */
  async lookup(
    client: SqlClient,
    keys: readonly (readonly string[])[],
    options: SqlOptions,
  ): Promise<ReadonlyMap<string, RowState>> {
    if (keys.length === 0) return new Map()
    return await this.#states(client, ` WHERE ${this.isAmongSql(keys)}`, options)
  }

  /** A condition that holds for the rows of these keys. */
  isAmongSql(keys: readonly (readonly string[])[]): string {
    const { key, method } = this.table
    if (method === 'multiset')
      return `(${this.#rowHash}) IN (${keys.map(([hash]) => hash ?? '0').join(', ')})`
    const [first] = key
    if (first !== undefined && key.length === 1)
      return `${identifier(first.name)} IN (${keys.map((values) => this.#values(values)).join(', ')})`
    const names = key.map(({ name }) => identifier(name)).join(', ')
    return `(${names}) IN (${keys.map((values) => `(${this.#values(values)})`).join(', ')})`
  }

  /** The hash of a row, for conditions on it. */
  get rowHashSql(): string {
    return this.#rowHash
  }

  /** What keys are read as, of a table that has one. */
  get keyTextsSql(): readonly string[] {
    return this.table.key.map(({ name }) => keyTextSql(this.#form, name))
  }

  valueTextSql(column: string): string {
    return valueTextSql(this.#form, column)
  }

  /** A value of that type that was read as a key or by valueTextSql. */
  literalSql(text: string, type: string): string {
    return `${valueLiteral(this.#form, text)}::${type}`
  }

  async #states(
    client: SqlClient,
    where: string,
    options: SqlOptions,
  ): Promise<ReadonlyMap<string, RowState>> {
    const { method, from } = this.table
    const names = method === 'multiset' ? [`(${this.#rowHash})::text`] : this.keyTextsSql
    const width = names.length
    const sql =
      method === 'multiset'
        ? `SELECT ${names.join(', ')}, count(*), sum(${this.#rowHash}), '' FROM ${from}${where} GROUP BY 1`
        : `SELECT ${names.join(', ')}, 1, ${this.#rowHash}, xmin::text FROM ${from}${where}`
    const { rows } = await client.query(sql, undefined, options)
    const found = new Map<string, RowState>()
    for (const row of rows) {
      const values = row.slice(0, width).map((value) => value ?? '')
      const id = keyId(values)
      const { rows: more, sum } = digestOf(row, width)
      // A side that lost its unique index may have a key twice.
      const before = found.get(id)
      found.set(id, {
        key: values,
        rows: more + (before?.rows ?? 0),
        sum: sum + (before?.sum ?? 0n),
        version: `${before?.version ?? ''} ${row[width + 2] ?? ''}`,
      })
    }
    return found
  }

  #where({ after, upTo }: KeyRange): string {
    const names = this.table.key.map(({ name }) => identifier(name)).join(', ')
    const key = this.table.key.length === 1 ? names : `(${names})`
    const bound = (values: readonly string[]): string =>
      this.table.key.length === 1 ? this.#values(values) : `(${this.#values(values)})`
    const conditions = [
      ...(after === null ? [] : [`${key} > ${bound(after)}`]),
      ...(upTo === null ? [] : [`${key} <= ${bound(upTo)}`]),
    ]
    return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  }

  #values(values: readonly string[]): string {
    return this.table.key.map(({ type }, at) => this.literalSql(values[at] ?? '', type)).join(', ')
  }
}

function digestOf(row: SqlRow, at: number): Digest {
  return { rows: Number(row[at] ?? 0), sum: BigInt(row[at + 1] ?? 0) }
}
