/**
 * Pontoon's own tables, the same on both sides:
 *
 * - `pontoon.mark`: which side takes the writes, since which epoch. Every new server connection
 *   reads it, so that a lost or restored state file cannot quietly choose the wrong side. `parted`
 *   names a side that a forced switch has left behind: it may have changes that the primary lacks.
 * - `pontoon.fence`: a row while this side is fenced (fence.ts), with what was there before.
 * - `pontoon.table_file`: what tells that a table was truncated (truncations.ts), where a side is 10.
 * - `pontoon.missed`: a row while changes of a direction are missing on its other side, or its way back
 *   was given up (missed.ts).
 * - `pontoon.table_pair`, on the target: which tables and columns belong together (pair-store.ts).
 * - `pontoon.heartbeat_forward`, `…_reverse`: rows that travel with the changes of that direction
 *   only: the beat of the lag, and markers (beats.ts).
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { isSide, type Side } from '../../shared/side.ts'
import { missedTableSql } from './missed.ts'
import { directions, heartbeatTable } from './names.ts'

const partedColumn = "parted text CHECK (parted IN ('source', 'target'))"

const tables = ['mark', 'fence', 'table_file', 'missed']

/**
 * Whoever opens a connection reads the mark; and who dumps a database, as the role of an
 * application may do every night, has to read every table in it.
 */
export function readableSql(table: string): string {
  return `GRANT SELECT ON pontoon.${table} TO PUBLIC;`
}

/** Idempotent; to be run by the control role, which owns the schema. */
export function controlSchemaSql(): string {
  return [
    'CREATE SCHEMA IF NOT EXISTS pontoon;',
    'GRANT USAGE ON SCHEMA pontoon TO PUBLIC;',
    'CREATE TABLE IF NOT EXISTS pontoon.mark (',
    '  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),',
    '  epoch bigint NOT NULL,',
    "  primary_side text NOT NULL CHECK (primary_side IN ('source', 'target')),",
    '  changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),',
    `  ${partedColumn}`,
    ');',
    'CREATE TABLE IF NOT EXISTS pontoon.fence (',
    '  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),',
    '  prior json NOT NULL,',
    '  since timestamptz NOT NULL DEFAULT pg_catalog.now()',
    ');',
    'CREATE TABLE IF NOT EXISTS pontoon.table_file (',
    '  relation oid PRIMARY KEY,',
    '  file oid NOT NULL',
    ');',
    missedTableSql,
    ...directions.flatMap((direction) => [
      `CREATE TABLE IF NOT EXISTS pontoon.${heartbeatTable(direction)} (`,
      '  name text PRIMARY KEY,',
      '  value bigint NOT NULL,',
      '  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()',
      ');',
    ]),
    ...[...tables, ...directions.map(heartbeatTable)].map(readableSql),
  ].join('\n')
}

export interface Mark {
  readonly epoch: number
  readonly primary: Side
  /** Absent while both sides have one history. */
  readonly parted?: Side
}

/** Undefined when the database has no mark (yet). */
export async function readMark(client: SqlClient): Promise<Mark | undefined> {
  const table = await client.value("SELECT pg_catalog.to_regclass('pontoon.mark')")
  if (table === null) return undefined
  // The column came later than the table.
  const { rows } = await client.query(
    "SELECT m.epoch, m.primary_side, to_jsonb(m)->>'parted' FROM pontoon.mark m",
  )
  const [epoch, primary, parted] = rows[0] ?? []
  if (!isSide(primary)) return undefined
  return { epoch: Number(epoch), primary, ...(isSide(parted) ? { parted } : {}) }
}

/** Leaves `parted` as it is. */
export function writeMarkSql({ epoch, primary }: Mark): string {
  return (
    'INSERT INTO pontoon.mark (epoch, primary_side) ' +
    `VALUES (${epoch}, '${primary}') ON CONFLICT (singleton) DO UPDATE SET ` +
    'epoch = EXCLUDED.epoch, primary_side = EXCLUDED.primary_side, changed_at = pg_catalog.now()'
  )
}

/**
 * For a mark of an earlier version. Where it is there, nothing is altered: that waits for whoever
 * has the table open, such as a dump for hours, and every new server would wait behind it.
 */
export async function ensurePartedColumn(client: SqlClient): Promise<void> {
  const found = await client.query(
    `SELECT FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = 'pontoon.mark'::pg_catalog.regclass AND a.attname = 'parted'
       AND NOT a.attisdropped`,
  )
  if (found.rows.length === 0)
    await client.query(`ALTER TABLE pontoon.mark ADD COLUMN IF NOT EXISTS ${partedColumn}`)
}

/** Behind writeMarkSql() and ensurePartedColumn(). */
export function writePartedSql(parted: Side): string {
  return `UPDATE pontoon.mark SET parted = '${parted}'`
}

/** Both sides are to have one history again. */
export async function clearParted(client: SqlClient): Promise<void> {
  if ((await readMark(client))?.parted !== undefined)
    await client.query('UPDATE pontoon.mark SET parted = NULL')
}
