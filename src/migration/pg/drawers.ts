/**
 * Which columns draw from which sequence, and in which tables their values are: what is left to tell
 * how far a sequence was when it cannot be read itself. Neighbour: lost-sequences.ts.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { literal, qualified, readable } from './quote.ts'

/**
 * A table with rows of its own and, of a column that owns a sequence or whose default is its next
 * value, the values that are in it. A table that others inherit from, partitions or not, is in it
 * once for each of them.
 */
export interface Drawer {
  readonly sequence: string
  /** Quoted. */
  readonly table: string
  readonly column: string
  /** The column that draws, for people; `place` is where the rows are. */
  readonly name: string
  readonly place: string
  /** Its rows are on another server. */
  readonly isForeign: boolean
  readonly isIndexed: boolean
  /** Whether the role sees the column in every row. */
  readonly isReadable: boolean
  readonly bytes: number
}

/** As the server writes a default that is the next value of a sequence and nothing else. */
const nextValuePattern = "^nextval\\('([^']|'')*'::regclass\\)$"

/**
 * Of columns of integers: one of another type may make anything of what it draws, and so may any
 * default but the next value itself. Defaults of partitions are those of their table.
 */
export async function readDrawers(client: SqlClient): Promise<readonly Drawer[]> {
  const { rows } = await client.query(
    `WITH RECURSIVE drawn AS (
       SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
       FROM pg_catalog.pg_depend d
       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
       UNION
       SELECT d.refobjid, e.adrelid, e.adnum
       FROM pg_catalog.pg_depend d
       JOIN pg_catalog.pg_attrdef e ON e.oid = d.objid
       JOIN pg_catalog.pg_class p ON p.oid = e.adrelid AND NOT p.relispartition
       WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND pg_catalog.pg_get_expr(e.adbin, e.adrelid) ~ ${literal(nextValuePattern)}),
     spread AS (
       SELECT d.sequence, d.relation, d.number, d.relation AS place FROM drawn d
       UNION
       SELECT s.sequence, s.relation, s.number, i.inhrelid FROM spread s
       JOIN pg_catalog.pg_inherits i ON i.inhparent = s.place)
     SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname, rn.nspname, r.relname,
       r.relkind = 'f', r.relpages::int8 * pg_catalog.current_setting('block_size')::int8,
       EXISTS (SELECT FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree'
         WHERE i.indrelid = r.oid AND i.indisvalid AND i.indpred IS NULL
           AND i.indkey[0] = ra.attnum),
       pg_catalog.has_schema_privilege(rn.oid, 'USAGE')
         AND pg_catalog.has_column_privilege(r.oid, ra.attnum, 'SELECT')
         AND NOT pg_catalog.row_security_active(r.oid)
     FROM spread d
     JOIN pg_catalog.pg_class s ON s.oid = d.sequence AND s.relkind = 'S'
     JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
     JOIN pg_catalog.pg_class t ON t.oid = d.relation AND t.relkind IN ('r', 'p')
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.number
     JOIN pg_catalog.pg_class r ON r.oid = d.place AND r.relkind IN ('r', 'f')
       AND (r.oid = t.oid OR r.relpersistence <> 't')
     JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     JOIN pg_catalog.pg_attribute ra ON ra.attrelid = r.oid AND ra.attname = a.attname
     WHERE a.atttypid IN (20, 21, 23)`,
  )
  return rows.map((row) => {
    const [schema, sequence, tableSchema, table, column, placeSchema, place, ...rest] = row
    const [isForeign, bytes, isIndexed, isReadable] = rest
    const whole = { schema: tableSchema ?? '', name: table ?? '' }
    const part = { schema: placeSchema ?? '', name: place ?? '' }
    return {
      sequence: qualified({ schema: schema ?? '', name: sequence ?? '' }),
      table: qualified(part),
      column: column ?? '',
      name: `${readable(whole)}.${column}`,
      place: readable(part),
      isForeign: isForeign === 't',
      isIndexed: isIndexed === 't',
      isReadable: isReadable === 't',
      bytes: Number(bytes),
    }
  })
}
