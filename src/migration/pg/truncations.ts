/**
 * TRUNCATE where replication cannot carry it: PostgreSQL 10 neither sends nor takes one. What can
 * be seen is that the file of a table is another one than before; so it is after VACUUM FULL,
 * CLUSTER and some ALTER TABLE, which do no harm. Hence `pontoon.table_file` on the side that
 * sends: the file of each table when the sides were known to be equal last. A table with another
 * one is in doubt until `pontoon verify` has seen it equal.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { isUserRelationSql } from './tables.ts'

const firstMajorWithTruncate = 11

export function carriesTruncate(senderMajor: number, receiverMajor: number): boolean {
  return Math.min(senderMajor, receiverMajor) >= firstMajorWithTruncate
}

const files = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND ${isUserRelationSql()}`

/** Forgets what was known. */
export const noteFilesSql = `DELETE FROM pontoon.table_file;
INSERT INTO pontoon.table_file (relation, file) SELECT c.oid, c.relfilenode FROM ${files}`

/** Of tables that have come since. */
export const noteNewFilesSql = `INSERT INTO pontoon.table_file (relation, file)
SELECT c.oid, c.relfilenode FROM ${files} ON CONFLICT DO NOTHING`

/** For noteFiles(), once it is known that what is in them now is equal. */
export async function readFiles(client: SqlClient): Promise<string> {
  return (
    (await client.value(
      `SELECT COALESCE(json_agg(json_build_array(c.oid::bigint, c.relfilenode::bigint)), '[]')
       FROM ${files}`,
    )) ?? '[]'
  )
}

export async function noteFiles(client: SqlClient, read: string): Promise<void> {
  await client.query(
    `INSERT INTO pontoon.table_file (relation, file)
     SELECT (f->>0)::bigint::oid, (f->>1)::bigint::oid FROM json_array_elements($1::json) AS f
     ON CONFLICT (relation) DO UPDATE SET file = EXCLUDED.file`,
    [read],
  )
}

/** Tables of the sending side, as people write them, that are in doubt. */
export async function truncatedTables(
  sender: SqlClient,
  receiverMajor: number,
  options?: SqlOptions,
): Promise<readonly string[]> {
  if (carriesTruncate(sender.major, receiverMajor)) return []
  const { rows } = await sender.query(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pontoon.table_file f
     JOIN pg_catalog.pg_class c ON c.oid = f.relation
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relfilenode <> f.file ORDER BY 1`,
    undefined,
    options,
  )
  return rows.map(([name]) => name ?? '')
}

/** What to say and do of them. */
export function truncatedText(tables: readonly string[], service: string): string {
  return (
    'truncated, or rewritten otherwise, since both sides were known to be equal: ' +
    `${tables.join(', ')}. PostgreSQL 10 carries no TRUNCATE over, so pontoon verify ${service} has ` +
    'to find them equal; --repair deletes what is left on the other side'
  )
}
