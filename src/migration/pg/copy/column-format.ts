/**
 * Which tables may travel in the binary format of COPY: those whose columns are of types that mean
 * the same bytes on every server. Left out are types whose binary form carries object ids (reg*,
 * arrays and composites of the user's own types), and all of extensions: they go as text.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { qualified } from '../quote.ts'
import { isUserRelationSql } from '../tables.ts'

/** Of the column's type `t`, or of the type its domain is made of. */
const isPortable = `(
  x.typtype = 'e' OR (
    x.typnamespace = 'pg_catalog'::regnamespace AND x.oid < 16384 AND x.typtype IN ('b', 'r', 'm')
    AND x.typsend <> 0 AND x.typreceive <> 0
    AND x.typname !~ '^_?(reg|pg_|refcursor|xml|aclitem|cid$|gtsvector)'))`

/** Tables, quoted with their schema, that may. */
export async function binaryTables(client: SqlClient): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(
    `SELECT n.nspname, c.relname
     FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     JOIN pg_catalog.pg_type x ON x.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
     WHERE c.relkind = 'r' AND ${isUserRelationSql()}
     GROUP BY 1, 2 HAVING bool_and(${isPortable})`,
    undefined,
    { timeoutMs: 120_000 },
  )
  return new Set(
    rows.map(([schema, name]) => qualified({ schema: schema ?? '', name: name ?? '' })),
  )
}
