/** `pontoon.table_pair` on the target, which table-pairs.ts reads and writes. */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { decodeColumns, encodeColumns, type ColumnPair } from './column-pairs.ts'
import { literal, type QualifiedName } from './quote.ts'

/** In place of an oid: the other one has the rows of a table that has got another partner since. */
export const nobody = 0

export interface TablePair extends QualifiedName {
  /** Their oids. */
  readonly source: number
  readonly target: number
  /** Null where a Pontoon has noted it that knew of none. */
  readonly columns: readonly ColumnPair[] | null
  /** Columns whose names have meant others since, or that of the table where there are none. */
  readonly mixed: readonly string[] | null
}

export interface KnownPairs {
  readonly pairs: readonly TablePair[]
  /** Another one than before when any has been written since. */
  readonly stamp: string
}

/**
 * One at a time: of two that grant at once, PostgreSQL refuses one. ALTER TABLE only where columns are
 * missing: it waits for whoever reads the table, as a dump. The keys: 'port' and 'pair'.
 */
const tablePairSql = `SELECT pg_catalog.pg_advisory_xact_lock(1886351988, 1885432178);
CREATE TABLE IF NOT EXISTS pontoon.table_pair (
  source_table oid NOT NULL, target_table oid NOT NULL,
  schema_name text NOT NULL, table_name text NOT NULL, columns jsonb, mixed jsonb
);
DO $pontoon$ BEGIN
  IF (SELECT count(*) FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = 'pontoon.table_pair'::pg_catalog.regclass
        AND a.attname IN ('columns', 'mixed') AND NOT a.attisdropped) < 2 THEN
    ALTER TABLE pontoon.table_pair ADD COLUMN IF NOT EXISTS columns jsonb,
      ADD COLUMN IF NOT EXISTS mixed jsonb;
  END IF;
END $pontoon$;
GRANT SELECT ON pontoon.table_pair TO PUBLIC;`

const stampSql = `SELECT count(*) || ' ' || COALESCE(sum(p.xmin::text::bigint), 0)
  FROM pontoon.table_pair p`

/** None before Pontoon has noted any. */
export async function readPairs(target: SqlClient, options?: SqlOptions): Promise<KnownPairs> {
  const table = "SELECT pg_catalog.to_regclass('pontoon.table_pair')"
  if ((await target.value(table, undefined, options)) === null) return { pairs: [], stamp: '0 0' }
  // The last two columns came later than the table.
  const { rows } = await target.query(
    `SELECT (${stampSql}), p.schema_name, p.table_name, p.source_table, p.target_table,
       to_jsonb(p)->>'columns', to_jsonb(p)->>'mixed'
     FROM (SELECT) AS one LEFT JOIN pontoon.table_pair p ON true`,
    undefined,
    options,
  )
  const pairs = rows.flatMap(([, schema, name, source, there, columns, mixed]): TablePair[] => {
    if (typeof schema !== 'string' || typeof name !== 'string') return []
    return [
      {
        schema,
        name,
        source: Number(source),
        target: Number(there),
        columns: typeof columns === 'string' ? decodeColumns(columns) : null,
        mixed: typeof mixed === 'string' ? decodeNames(mixed) : null,
      },
    ]
  })
  return { pairs, stamp: rows[0]?.[0] ?? '' }
}

/** Puts them in the place of those of the same tables; nothing where any was written since `stamp`. */
export function replacePairsSql(pairs: readonly TablePair[], stamp: string): string {
  const oids = (side: 'source' | 'target'): string =>
    ['NULL', ...pairs.map((pair) => pair[side]).filter((oid) => oid !== nobody)].join(', ')
  return `${tablePairSql}
    WITH here AS (SELECT (${stampSql}) = ${literal(stamp)} AS is_same),
      gone AS (DELETE FROM pontoon.table_pair USING here WHERE here.is_same
        AND (source_table IN (${oids('source')}) OR target_table IN (${oids('target')})))
    ${insertSql(pairs)}, here WHERE here.is_same`
}

/** They are all that is remembered. */
export function renewPairsSql(pairs: readonly TablePair[]): string {
  const insert = pairs.length === 0 ? '' : `; ${insertSql(pairs)}`
  return `${tablePairSql} DELETE FROM pontoon.table_pair${insert}`
}

function insertSql(pairs: readonly TablePair[]): string {
  const values = pairs.map(({ source, target, schema, name, columns, mixed }) => {
    const json = [columns && encodeColumns(columns), mixed && JSON.stringify(mixed)]
    const texts = [schema, name, ...json].map((text) => (text === null ? 'NULL' : literal(text)))
    return `(${[source, target, ...texts].join(', ')})`
  })
  return (
    'INSERT INTO pontoon.table_pair ' +
    '(source_table, target_table, schema_name, table_name, columns, mixed) ' +
    'SELECT v.source, v.target, v.schema, v.name, v.columns::jsonb, v.mixed::jsonb ' +
    `FROM (VALUES ${values.join(', ')}) AS v (source, target, schema, name, columns, mixed)`
  )
}

function decodeNames(json: string): readonly string[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- insertSql() has written it
  return JSON.parse(json) as readonly string[]
}
