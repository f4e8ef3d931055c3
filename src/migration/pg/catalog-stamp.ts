/**
 * Whether DDL has changed what a switch has read of tables, sequences and publications. Reading all
 * of it again takes a second per thousand tables, which a pause cannot spare; rows of the catalogues
 * that were written anew show by their xmin at a hundredth of that.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { literal } from './quote.ts'
import { pontoonSchema } from './names.ts'

const relations = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', ${literal(pontoonSchema)})
      AND c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'`

/** What names a row, and who has written it: a transaction, which VACUUM and ANALYZE are none of. */
const written: readonly string[] = [
  `c.oid, 0, c.xmin FROM ${relations}`,
  `a.attrelid, a.attnum, a.xmin FROM pg_catalog.pg_attribute a
     JOIN (${relations}) ON c.oid = a.attrelid WHERE a.attnum > 0`,
  `i.indexrelid, 0, i.xmin FROM pg_catalog.pg_index i JOIN (${relations}) ON c.oid = i.indrelid`,
  's.seqrelid, 0, s.xmin FROM pg_catalog.pg_sequence s',
  'h.inhrelid, h.inhseqno, h.xmin FROM pg_catalog.pg_inherits h',
  `t.oid, 0, t.xmin FROM pg_catalog.pg_type t
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname !~ '^pg_'`,
  "n.oid, 0, n.xmin FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_'",
  'p.oid, 0, p.xmin FROM pg_catalog.pg_publication p',
  'r.oid, 0, r.xmin FROM pg_catalog.pg_publication_rel r',
]

const stampSql = `SELECT string_agg(stamp, ' ' ORDER BY place) FROM (${written
  .map(
    (row, place) => `SELECT ${place} AS place,
      count(*) || ':' || COALESCE(sum(pg_catalog.hashtext(w.id || ' ' || w.part || ' ' || w.by)), 0)
        AS stamp
    FROM (SELECT ${row}) AS w (id, part, by)`,
  )
  .join('\n    UNION ALL ')}) AS stamps`

/** Another one than before when any of those rows has been written, made or dropped since. */
export async function catalogStamp(client: SqlClient, options?: SqlOptions): Promise<string> {
  return (await client.query(stampSql, undefined, options)).rows[0]?.[0] ?? ''
}
