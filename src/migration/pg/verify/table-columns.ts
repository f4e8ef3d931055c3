/** What verification has to know about columns beyond tables.ts: types below domains, collations. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'

export interface ColumnFacts {
  readonly table: number
  readonly name: string
  readonly baseType: string
  readonly isBuiltin: boolean
  readonly isEnum: boolean
  /** Provider and locale that order its values; empty where the type has none. */
  readonly collation: string
}

/** Works from PostgreSQL 10 on: columns that came later are read through to_jsonb. */
const factsSql = `
WITH RECURSIVE below(type, base) AS (
  SELECT oid, oid FROM pg_catalog.pg_type
  UNION ALL
  SELECT b.type, t.typbasetype FROM below b
  JOIN pg_catalog.pg_type t ON t.oid = b.base WHERE t.typtype = 'd'
), here AS (
  SELECT COALESCE(to_jsonb(d)->>'datlocprovider', 'c') || ':' || COALESCE(
    to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datcollate) AS collation
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
)
SELECT a.attrelid::bigint, a.attname, t.typname, t.oid::bigint < 10000, t.typtype = 'e',
  CASE WHEN a.attcollation = 0 THEN ''
    WHEN c.collprovider = 'd' THEN here.collation
    ELSE c.collprovider::text || ':' || COALESCE(
      to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale', c.collcollate::text, '') END
FROM pg_catalog.pg_attribute a
CROSS JOIN here
JOIN below b ON b.type = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = b.base AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid::bigint = ANY ($1::bigint[])
ORDER BY a.attrelid, a.attnum`

/** By table and name. */
export async function readColumnFacts(
  client: SqlClient,
  tables: readonly number[],
): Promise<ReadonlyMap<number, ReadonlyMap<string, ColumnFacts>>> {
  const { rows } = await client.query(factsSql, [`{${tables.join(',')}}`], { timeoutMs: 120_000 })
  const found = new Map<number, Map<string, ColumnFacts>>()
  for (const [table, name, baseType, isBuiltin, isEnum, collation] of rows) {
    const facts = {
      table: Number(table),
      name: name ?? '',
      baseType: baseType ?? '',
      isBuiltin: isBuiltin === 't',
      isEnum: isEnum === 't',
      collation: collation ?? '',
    }
    const columns = found.get(facts.table) ?? new Map<string, ColumnFacts>()
    found.set(facts.table, columns.set(facts.name, facts))
  }
  return found
}
