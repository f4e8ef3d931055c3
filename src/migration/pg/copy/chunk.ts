/**
 * One chunk of one table: read in the snapshot, written with its mark in one transaction. Whatever
 * happens, the chunk is there whole and marked, or not at all.
 */
import { relayCopy, type CopyCount } from '../../../net/pg/copy-relay.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { identifiers, literal, qualified, readable } from '../quote.ts'
import { claimChunk, countChunkSql } from './chunk-marks.ts'
import type { PlannedTable } from './journal.ts'
import { copyLimits } from './limits.ts'

export interface ChunkWork {
  readonly job: string
  readonly snapshot: string
  readonly table: PlannedTable
  readonly chunk: number
  /** Nobody else writes to the table: it is emptied first, and its rows are born frozen. */
  readonly mayTruncate: boolean
  readonly onProgress: (bytes: number, messages: number) => void
  readonly pace: (bytes: number) => Promise<void> | null
  readonly signal: AbortSignal
}

/** The snapshot is gone, with the transaction that held it. */
export class SnapshotLost extends Error {
  override readonly name = 'SnapshotLost'
}

/** The table was truncated or rewritten since the plan: the snapshot cannot give its rows. */
export class TableRewritten extends Error {
  override readonly name = 'TableRewritten'
}

/** Undefined when the chunk is there already. Closes both connections when it rejects. */
export async function copyChunk(
  source: SqlClient,
  target: SqlClient,
  work: ChunkWork,
): Promise<CopyCount | undefined> {
  try {
    return await copyOrThrow(source, target, work)
  } catch (error) {
    source.destroy()
    target.destroy()
    throw error
  }
}

async function copyOrThrow(
  source: SqlClient,
  target: SqlClient,
  work: ChunkWork,
): Promise<CopyCount | undefined> {
  const { table, chunk, job, signal } = work
  const name = { job, schema: table.schema, name: table.name, chunk }
  await target.run('BEGIN')
  if (!(await claimChunk(target, name))) {
    await target.run('ROLLBACK')
    return undefined
  }
  await openSnapshot(source, work)
  if (work.mayTruncate)
    await target.run(`TRUNCATE TABLE ONLY ${qualified(table)}`, {
      timeoutMs: copyLimits.statementMs,
      signal,
    })
  const count = await relayCopy({
    from: source,
    to: target,
    copyOut: `COPY ${fromSql(table, chunk)} TO STDOUT WITH (FORMAT ${table.format})`,
    copyIn:
      `COPY ${qualified(table)}${columnsOf(table)} FROM STDIN ` +
      `WITH (FORMAT ${table.format}${work.mayTruncate ? ', FREEZE true' : ''})`,
    onProgress: work.onProgress,
    pace: work.pace,
    signal,
    stallMs: copyLimits.stallMs,
  })
  // No signal: what has come this far is worth its end.
  await target.run(`${countChunkSql(name, count.rows, count.bytes)}; COMMIT`, {
    timeoutMs: copyLimits.statementMs,
  })
  await source.run('COMMIT')
  return count
}

/**
 * The lock keeps the table as it is while its chunk is read, and is the moment from which on the
 * file counts: whoever rewrote the table before has given it another.
 */
async function openSnapshot(
  source: SqlClient,
  { snapshot, table, signal }: ChunkWork,
): Promise<void> {
  try {
    await source.run(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ' +
        `SET TRANSACTION SNAPSHOT ${literal(snapshot)}`,
    )
  } catch (error) {
    // invalid_parameter_value: no such file; object_not_in_prerequisite_state: its holder ended.
    if (hasSqlstate(error, '22023', '42704', '55000', '58P01')) throw new SnapshotLost()
    throw error
  }
  const options = { timeoutMs: copyLimits.statementMs, signal }
  try {
    await source.run(`LOCK TABLE ONLY ${qualified(table)} IN ACCESS SHARE MODE`, options)
  } catch (error) {
    if (!hasSqlstate(error, '42P01', '3F000')) throw error
    throw renamed(table)
  }
  const { rows } = await source.query(
    `SELECT pg_catalog.pg_relation_filenode(${table.oid}),
       ${literal(qualified(table))}::pg_catalog.regclass::pg_catalog.oid`,
  )
  const [filenode, oid] = rows[0] ?? []
  if (filenode !== table.filenode) throw new TableRewritten(readable(table))
  // Two tables that have changed their names: the rows of the other one would come.
  if (oid !== String(table.oid)) throw renamed(table)
}

function renamed(table: PlannedTable): PontoonError {
  return new PontoonError(
    'MIGRATION_REFUSED',
    `${readable(table)} was dropped or renamed on the source while it was being copied. ` +
      'Begin again with --restart once the schemas are alike.',
  )
}

/** A whole table is read by COPY itself, which is faster than a query. */
function fromSql(table: PlannedTable, chunk: number): string {
  if (table.chunkPages.length === 1) return `${qualified(table)}${columnsOf(table)}`
  const first = table.chunkPages[chunk] ?? 0
  const next = table.chunkPages[chunk + 1]
  const end = next === undefined ? '' : ` AND ctid < '(${next},0)'::tid`
  const columns = identifiers(table.columns)
  return `(SELECT ${columns} FROM ONLY ${qualified(table)} WHERE ctid >= '(${first},0)'::tid${end})`
}

/** A table may have no column at all, or generated ones only. */
function columnsOf({ columns }: PlannedTable): string {
  return columns.length === 0 ? '' : ` (${identifiers(columns)})`
}
