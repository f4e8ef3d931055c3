/**
 * `pontoon.copy_chunk` on the target: a row per chunk that is there, written in the transaction
 * that brings its rows, so that no crash can leave one without the other.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { literal, qualified, type QualifiedName } from '../quote.ts'
import { controlSchemaSql } from '../control-schema.ts'

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
  if (found === null) await client.run(tableSql)
}

export async function readChunkMarks(client: SqlClient, job: string): Promise<ChunkMark[]> {
  const { rows } = await client.query(
    'SELECT schema_name, table_name, chunk, rows, bytes FROM pontoon.copy_chunk WHERE job = $1::uuid',
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
 * that of a connection which was lost at COMMIT.
 */
export async function claimChunk(client: SqlClient, name: ChunkName): Promise<boolean> {
  const { tag } = await client.query(
    'INSERT INTO pontoon.copy_chunk (job, schema_name, table_name, chunk) ' +
      `VALUES (${keyOf(name)}) ON CONFLICT DO NOTHING`,
    undefined,
    { timeoutMs: 120_000 },
  )
  return tag === 'INSERT 0 1'
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
    'SELECT DISTINCT schema_name, table_name FROM pontoon.copy_chunk',
  )
  return new Set(
    rows.map(([schema, name]) => qualified({ schema: schema ?? '', name: name ?? '' })),
  )
}

function keyOf({ job, schema, name, chunk }: ChunkName): string {
  return `${literal(job)}::uuid, ${literal(schema)}, ${literal(name)}, ${chunk}`
}
