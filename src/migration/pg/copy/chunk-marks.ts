/**
 * `pontoon.copy_chunk` on the target: a row per chunk that is there, written in the transaction
 * that brings its rows, so that no crash can leave one without the other.
 *
 * One more row, of no table, says which copy the target belongs to. Every chunk holds it until its
 * end. One copy at a time is what target-lock.ts sees to; this is for one that has lost that lock
 * with its connection, and lives on: the next can neither begin amid a chunk of it nor have rows of
 * it among its own.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { literal, qualified, type QualifiedName } from '../quote.ts'
import { controlSchemaSql, readableSql } from '../control-schema.ts'
import { copyLimits } from './limits.ts'

export interface ChunkName extends QualifiedName {
  readonly job: string
  /** From 0. */
  readonly chunk: number
}

export interface ChunkMark extends QualifiedName {
  readonly chunk: number
  readonly rows: number
  /** Of the COPY, not of the table. */
  readonly bytes: number
}

const tableSql = `CREATE TABLE IF NOT EXISTS pontoon.copy_chunk (
  job uuid, schema_name text, table_name text, chunk int,
  rows bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (job, schema_name, table_name, chunk))`

/** Pontoon's schema is there after \`pontoon schema\`; whoever made the tables by hand has it made here. */
export async function ensureControlSchema(client: SqlClient): Promise<void> {
  const found = await client.value("SELECT pg_catalog.to_regclass('pontoon.heartbeat_forward')")
  if (found === null) await client.run(controlSchemaSql())
}

export async function ensureChunkMarks(client: SqlClient): Promise<void> {
  const found = await client.value("SELECT pg_catalog.to_regclass('pontoon.copy_chunk')")
  if (found === null) await client.run(`${tableSql}; ${readableSql('copy_chunk')}`)
}

/** The chunk of the row that says whose the target is. */
const ownerChunk = -1
const lockNotAvailable = '55P03'

function ownerKey(job: string): string {
  return keyOf({ job, schema: '', name: '', chunk: ownerChunk })
}

/** From now on no copy may write, of those that were. Throws MIGRATION_REFUSED amid a chunk of one. */
export async function takeTarget(client: SqlClient): Promise<void> {
  try {
    await client.run(
      `SELECT FROM pontoon.copy_chunk WHERE chunk = ${ownerChunk} FOR UPDATE NOWAIT;
       DELETE FROM pontoon.copy_chunk WHERE chunk = ${ownerChunk}`,
    )
  } catch (error) {
    if (!hasSqlstate(error, lockNotAvailable)) throw error
    throw new PontoonError(
      'MIGRATION_REFUSED',
      'Another copy writes to this target now, from another machine or state folder ' +
        '(pg_stat_activity of the target has it as "pontoon copy"). End that one first.',
    )
  }
}

/** Nothing is there, and the target belongs to `job`. */
export async function beginMarks(client: SqlClient, job: string): Promise<void> {
  await client.run(
    `TRUNCATE pontoon.copy_chunk;
     INSERT INTO pontoon.copy_chunk (job, schema_name, table_name, chunk) VALUES (${ownerKey(job)})`,
  )
}

/** Throws MIGRATION_REFUSED once another copy has begun. */
export async function assertOwner(client: SqlClient, job: string): Promise<void> {
  const found = await client.value(`SELECT 1 FROM pontoon.copy_chunk WHERE ${isOwner(job)}`)
  if (found === null) throw outdone()
}

/** As assertOwner(), for a target that may be another database by now, which no copy has seen. */
export async function assertNotOutdone(client: SqlClient, job: string): Promise<void> {
  const table = await client.value("SELECT pg_catalog.to_regclass('pontoon.copy_chunk')")
  if (table === null) return
  const found = await client.value(
    `SELECT 1 FROM pontoon.copy_chunk WHERE chunk = ${ownerChunk} AND NOT ${isOwner(job)}`,
  )
  if (found !== null) throw outdone()
}

function outdone(): PontoonError {
  return new PontoonError(
    'MIGRATION_REFUSED',
    'Another copy has begun on this target since, from another machine or state folder: this one ' +
      'ends. Go on with the other, or begin anew with --restart.',
  )
}

function isOwner(job: string): string {
  return `(job, schema_name, table_name, chunk) = (${ownerKey(job)})`
}

export async function readChunkMarks(client: SqlClient, job: string): Promise<ChunkMark[]> {
  const { rows } = await client.query(
    'SELECT schema_name, table_name, chunk, rows, bytes FROM pontoon.copy_chunk WHERE job = $1::uuid AND chunk >= 0',
    [job],
    { timeoutMs: 120_000 },
  )
  return rows.map(([schema, name, chunk, copied, bytes]) => ({
    schema: schema ?? '',
    name: name ?? '',
    chunk: Number(chunk),
    rows: Number(copied),
    bytes: Number(bytes),
  }))
}

/**
 * False when the chunk is there already. Waits for another transaction that is about to bring it:
 * that of a connection which was lost at COMMIT. Throws MIGRATION_REFUSED as assertOwner does.
 */
export async function claimChunk(client: SqlClient, name: ChunkName): Promise<boolean> {
  const { tag } = await client.query(
    'INSERT INTO pontoon.copy_chunk (job, schema_name, table_name, chunk) ' +
      `SELECT ${keyOf(name)} FROM (SELECT FROM pontoon.copy_chunk WHERE ${isOwner(name.job)} ` +
      'FOR KEY SHARE) AS mine ON CONFLICT DO NOTHING',
    undefined,
    { timeoutMs: copyLimits.statementMs },
  )
  if (tag === 'INSERT 0 1') return true
  await assertOwner(client, name.job)
  return false
}

export function countChunkSql(name: ChunkName, rows: number, bytes: number): string {
  return (
    `UPDATE pontoon.copy_chunk SET rows = ${rows}, bytes = ${bytes}, ` +
    'at = pg_catalog.clock_timestamp() ' +
    `WHERE (job, schema_name, table_name, chunk) = (${keyOf(name)})`
  )
}

/** The table is empty again, and nothing is said to be in it. */
export function forgetTableSql(job: string, table: QualifiedName): string {
  return (
    `DELETE FROM pontoon.copy_chunk WHERE job = ${literal(job)} ` +
    `AND schema_name = ${literal(table.schema)} AND table_name = ${literal(table.name)}`
  )
}

/** Tables that any copy has ever written to. */
export async function tablesEverCopied(client: SqlClient): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(
    'SELECT DISTINCT schema_name, table_name FROM pontoon.copy_chunk WHERE chunk >= 0',
  )
  return new Set(
    rows.map(([schema, name]) => qualified({ schema: schema ?? '', name: name ?? '' })),
  )
}

function keyOf({ job, schema, name, chunk }: ChunkName): string {
  return `${literal(job)}::uuid, ${literal(schema)}, ${literal(name)}, ${chunk}`
}
