/**
 * Makes rows of the side that is not primary equal to the primary side, a few at a time:
 *
 * 1. locks the rows on the primary side, so that they cannot change, and reads them;
 * 2. waits until the other side has applied all that was committed before;
 * 3. reads them there, and writes what still differs, as a replication origin and with the
 *    replica role: reverse sync does not carry it back, and no trigger or foreign key acts on it;
 * 4. lets the rows on the primary side go.
 *
 * A row that is not on the primary side cannot be locked. Should it be inserted there meanwhile,
 * the insert cannot be applied before the surplus row is gone, so no insert is lost; what is found
 * on the other side and was inserted is seen by a second look at the primary side.
 *
 * Meanwhile no switch may begin, since the side that is written may not become the primary one.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { wait } from '../../../shared/wait.ts'
import { readMark } from '../control-schema.ts'
import { switchLockKeys } from '../switch/lock.ts'
import { identifier, identifiers } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import type { Alignment } from './alignment.ts'
import type { KeyColumn } from './compared-table.ts'
import { isSameDigest, keyId, type RowState } from './row-digest.ts'
import type { RowReader } from './row-reader.ts'
import { takeOrigin } from './repair-origin.ts'
import { readSettings } from './side-pool.ts'

export type RepairAction = 'inserted' | 'updated' | 'deleted' | 'replaced' | 'none' | 'failed'

export interface RepairedRow {
  readonly key: readonly string[]
  readonly action: RepairAction
  /** Why nothing was done, empty otherwise. */
  readonly reason: string
}

/** Rows of the primary side that are locked at once. */
const batchRows = 20
/** Longest that they wait for sync. */
const syncMsMax = 5_000
/** Longest that they are locked for. */
const lockedMsMax = 10_000
/** The server lets them go by itself where Pontoon is lost, or stands still, in the middle. */
const beginSql = `BEGIN; SET LOCAL lock_timeout = '2s';
  SET LOCAL idle_in_transaction_session_timeout = '15s'`
const lockSql = `SELECT pg_catalog.pg_try_advisory_xact_lock(${switchLockKeys})`

export interface RepairOptions {
  readonly context: MigrationContext
  readonly primary: Side
  readonly alignment: Alignment | null
  readonly signal?: AbortSignal | undefined
}

type Values = ReadonlyMap<string, readonly (string | null)[]>

export class Repair {
  readonly #primary: SqlClient
  readonly #other: SqlClient
  readonly #alignment: Alignment | null
  readonly #side: Side
  readonly #signal: AbortSignal | undefined
  #deadlineMs = 0
  #last: Promise<unknown> = Promise.resolve()

  private constructor(primary: SqlClient, other: SqlClient, options: RepairOptions) {
    this.#primary = primary
    this.#other = other
    this.#alignment = options.alignment
    this.#side = options.primary
    this.#signal = options.signal
  }

  /** Throws MIGRATION_REFUSED where the control role may not write without being carried back. */
  static async open(options: RepairOptions): Promise<Repair> {
    const { context, primary: side } = options
    const login = { purpose: 'control', task: 'verify --repair' } as const
    const primary = await connectAs(context, { ...login, side })
    let other: SqlClient | undefined
    try {
      other = await connectAs(context, { ...login, side: otherSide(side) })
      await primary.run(readSettings)
      await other.run(readSettings)
      await takeOrigin(other, context)
      return new Repair(primary, other, options)
    } catch (error) {
      primary.close()
      other?.close()
      throw error
    }
  }

  close(): void {
    this.#primary.close()
    this.#other.close()
  }

  /** Callers take turns. */
  repair(reader: RowReader, keys: readonly (readonly string[])[]): Promise<readonly RepairedRow[]> {
    const mine = this.#last.then(() => this.#all(reader, keys))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  async #all(
    reader: RowReader,
    keys: readonly (readonly string[])[],
  ): Promise<readonly RepairedRow[]> {
    if (reader.table.method === 'multiset') {
      const reason =
        'rows of a table without a key cannot be told apart: give it a primary key on both sides first'
      return keys.map((key) => ({ key, action: 'failed', reason }))
    }
    const done: RepairedRow[] = []
    for (let at = 0; at < keys.length; at += batchRows) {
      const batch = keys.slice(at, at + batchRows)
      this.#signal?.throwIfAborted()
      done.push(...(await this.#batch(reader, batch)))
    }
    return done
  }

  async #batch(
    reader: RowReader,
    keys: readonly (readonly string[])[],
  ): Promise<readonly RepairedRow[]> {
    this.#deadlineMs = performance.now() + lockedMsMax
    try {
      await this.#begin()
      const values = await this.#lockedValues(reader, keys)
      const wanted = await reader.lookup(this.#primary, keys, this.#statement())
      await this.#caughtUp()
      const found = await reader.lookup(this.#other, keys, this.#statement())
      const surplus = keys.filter((key) => !wanted.has(keyId(key)) && found.has(keyId(key)))
      const late = await reader.lookup(this.#primary, surplus, this.#statement())
      const done: RepairedRow[] = []
      for (const key of keys) {
        const isLate = late.has(keyId(key))
        done.push(
          isLate
            ? { key, action: 'none', reason: 'it was inserted just now' }
            : await this.#row(reader, key, values, wanted, found),
        )
      }
      await this.#other.query('COMMIT', undefined, this.#statement())
      return done
    } catch (thrown) {
      const error = toPontoonError(thrown)
      if (error.code !== 'SQL_FAILED' && error.code !== 'SYNC_BEHIND') throw error
      if (keys.length === 1 || error.code === 'SYNC_BEHIND')
        return keys.map((key) => ({ key, action: 'failed', reason: error.message }))
    } finally {
      for (const client of [this.#other, this.#primary])
        if (client.isOpen)
          await client
            .query('ROLLBACK', undefined, { timeoutMs: lockedMsMax })
            .catch(() => undefined)
    }
    // One of them cannot be written: each by itself.
    const done: RepairedRow[] = []
    for (const key of keys) done.push(...(await this.#batch(reader, [key])))
    return done
  }

  /** On both sides, with no switch under way, and none while it lasts. */
  async #begin(): Promise<void> {
    for (const client of [this.#primary, this.#other]) {
      await client.run(beginSql, this.#statement())
      const isLocked = (await client.value(lockSql, undefined, this.#statement())) === 't'
      const mark = await readMark(client)
      if (isLocked && (mark === undefined || mark.primary === this.#side)) continue
      throw new PontoonError(
        'MIGRATION_REFUSED',
        isLocked
          ? `the ${mark?.primary} takes the writes now: run pontoon verify again`
          : `${client.where}: a switch, or another repair, is under way: run pontoon verify again when it is over`,
      )
    }
  }

  /** Throws SYNC_BEHIND once the rows have been locked for long enough. */
  #statement(): SqlOptions {
    const timeoutMs = Math.ceil(this.#deadlineMs - performance.now())
    if (timeoutMs > 0) return { timeoutMs, signal: this.#signal }
    throw new PontoonError('SYNC_BEHIND', `it took more than ${lockedMsMax} ms`)
  }

  async #row(
    reader: RowReader,
    key: readonly string[],
    values: Values,
    wanted: ReadonlyMap<string, RowState>,
    found: ReadonlyMap<string, RowState>,
  ): Promise<RepairedRow> {
    const id = keyId(key)
    const [here, there, row] = [wanted.get(id), found.get(id), values.get(id)]
    if (isSameDigest(here, there)) return { key, action: 'none', reason: 'it is equal by now' }
    if ((here?.rows ?? 0) > 1)
      return { key, action: 'failed', reason: 'the primary side has the key more than once' }
    const { table } = reader
    const where = reader.isAmongSql([key])
    const remove = `DELETE FROM ${table.from} WHERE ${where}`
    if (here === undefined || row === undefined)
      return { key, action: await this.#write(remove, 'deleted'), reason: '' }
    const insert = insertSql(reader, row)
    if (there === undefined)
      return { key, action: await this.#write(insert, 'inserted'), reason: '' }
    if (there.rows > 1 || table.isGeneratedIdentity || table.written.length <= table.key.length)
      return { key, action: await this.#write(`${remove}; ${insert}`, 'replaced'), reason: '' }
    return { key, action: await this.#write(updateSql(reader, row, where), 'updated'), reason: '' }
  }

  async #write(sql: string, action: RepairAction): Promise<RepairAction> {
    await this.#other.run(sql, this.#statement())
    return action
  }

  async #lockedValues(reader: RowReader, keys: readonly (readonly string[])[]): Promise<Values> {
    const { table } = reader
    const names = reader.keyTextsSql
    const texts = table.written.map(({ name }) => reader.valueTextSql(name))
    const { rows } = await this.#primary.query(
      `SELECT ${[...names, ...texts].join(', ')} FROM ${table.from}
       WHERE ${reader.isAmongSql(keys)} ORDER BY ${identifiers(table.key.map(({ name }) => name))}
       FOR SHARE`,
      undefined,
      this.#statement(),
    )
    return new Map(
      rows.map((row) => [
        keyId(row.slice(0, names.length).map((value) => value ?? '')),
        row.slice(names.length),
      ]),
    )
  }

  async #caughtUp(): Promise<void> {
    if (this.#alignment === null) return
    const done = new AbortController()
    const late = wait(syncMsMax, done.signal).then(() => {
      throw new PontoonError('SYNC_BEHIND', `sync needs more than ${syncMsMax} ms`)
    })
    try {
      await Promise.race([this.#alignment.caughtUp(), late])
    } finally {
      done.abort()
    }
  }
}

function insertSql(reader: RowReader, row: readonly (string | null)[]): string {
  const { from, written } = reader.table
  const values = written.map((column, at) => valueSql(reader, column, row[at]))
  return (
    `INSERT INTO ${from.replace(/^ONLY /, '')} (${identifiers(written.map(({ name }) => name))}) ` +
    `OVERRIDING SYSTEM VALUE VALUES (${values.join(', ')})`
  )
}

function updateSql(reader: RowReader, row: readonly (string | null)[], where: string): string {
  const { from, key, written } = reader.table
  const keyNames = new Set(key.map(({ name }) => name))
  const changes = written.flatMap((column, at) =>
    keyNames.has(column.name)
      ? []
      : [`${identifier(column.name)} = ${valueSql(reader, column, row[at])}`],
  )
  return `UPDATE ${from} SET ${changes.join(', ')} WHERE ${where}`
}

function valueSql(
  reader: RowReader,
  { type }: KeyColumn,
  value: string | null | undefined,
): string {
  return value === null || value === undefined ? 'NULL' : reader.literalSql(value, type)
}
