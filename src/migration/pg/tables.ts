/**
 * The user's tables and sequences in one database, as the catalogue has them: what is copied,
 * synced, compared. Left out: system schemas, Pontoon's own, temporary ones, what belongs to an
 * extension, and what the configuration excludes.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { columnsWithoutEqualitySql, identityFault, isIdentityIndexSql } from './identity.ts'
import type { Identified, ReplicaIdentity } from './identity.ts'
import { pontoonSchema } from './names.ts'
import { literal, readable, type QualifiedName } from './quote.ts'

export interface Column {
  readonly name: string
  /** attnum: stays its own whatever it is called, and is never given to another. */
  readonly number: number
  /** As format_type gives it, e.g. `numeric(10,2)`. */
  readonly type: string
  readonly notNull: boolean
  /** GENERATED ALWAYS AS (…): copied by nobody, computed on each side. */
  readonly isGenerated: boolean
  readonly hasDefault: boolean
  readonly identity: 'always' | 'by-default' | null
}

export interface Table extends QualifiedName, Identified {
  readonly oid: number
  readonly kind: 'table' | 'partitioned'
  readonly owner: string
  readonly isUnlogged: boolean
  /** Columns of the primary key in its order, empty without one. */
  readonly primaryKey: readonly string[]
  readonly columns: readonly Column[]
  /** The partitioned table that this one is a partition of, or the parent it inherits from. */
  readonly parent: QualifiedName | null
  readonly isPartition: boolean
  readonly hasRowSecurity: boolean
  /** Heap with TOAST, without indexes. */
  readonly bytes: number
  /** Estimated by the planner's statistics; -1 when never analyzed. */
  readonly rows: number
}

export interface Sequence extends QualifiedName {
  readonly increment: bigint
  readonly min: bigint
  readonly max: bigint
  readonly cache: bigint
  readonly isCycle: boolean
}

/** A user relation in the catalogue, as `c` with its schema `n`. */
export function isUserRelationSql(exclude: readonly string[] = []): string {
  const excluded = exclude.map(literal).join(', ')
  return [
    "n.nspname !~ '^pg_'",
    `n.nspname NOT IN ('information_schema', ${literal(pontoonSchema)})`,
    "c.relpersistence <> 't'",
    `NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass
       AND d.objid = c.oid AND d.deptype = 'e')`,
    ...(excluded === '' ? [] : [`n.nspname || '.' || c.relname NOT IN (${excluded})`]),
  ].join('\n    AND ')
}

/** Of many thousand tables, on a busy server. */
const patient: SqlOptions = { timeoutMs: 120_000 }

/** `exclude` has names as `schema.table`. Ordered by schema and name. */
export async function readTables(
  client: SqlClient,
  exclude: readonly string[] = [],
  options: SqlOptions = patient,
): Promise<readonly Table[]> {
  const { rows } = await client.query(tablesSql(exclude), undefined, options)
  return rows.map(([json]) => parseTable(json ?? '{}'))
}

export async function readSequences(
  client: SqlClient,
  exclude: readonly string[] = [],
  options: SqlOptions = patient,
): Promise<readonly Sequence[]> {
  const { rows } = await client.query(
    `SELECT n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle
     FROM pg_catalog.pg_sequence s
     JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE ${isUserRelationSql(exclude)}
     ORDER BY 1, 2`,
    undefined,
    options,
  )
  return rows.map(([schema, name, increment, min, max, cache, cycle]) => ({
    schema: schema ?? '',
    name: name ?? '',
    increment: BigInt(increment ?? 1),
    min: BigInt(min ?? 1),
    max: BigInt(max ?? 1),
    cache: BigInt(cache ?? 1),
    isCycle: cycle === 't',
  }))
}

/** Whether changed and deleted rows can be found on the other side. */
export function hasIdentity(table: Table): boolean {
  return identityFault(table) === null
}

export function tableName(table: QualifiedName): string {
  return readable(table)
}

interface TableJson extends Omit<Table, 'kind' | 'replicaIdentity' | 'columns'> {
  readonly kind: string
  readonly replicaIdentity: string
  readonly columns: readonly (Omit<Column, 'identity'> & { readonly identity: string })[]
}

const identities: Readonly<Record<string, ReplicaIdentity>> = {
  d: 'default',
  n: 'nothing',
  f: 'full',
  i: 'index',
}

function parseTable(json: string): Table {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the statement below makes it
  const found = JSON.parse(json) as TableJson
  return {
    ...found,
    kind: found.kind === 'p' ? 'partitioned' : 'table',
    replicaIdentity: identities[found.replicaIdentity] ?? 'default',
    columns: found.columns.map((column) => ({
      ...column,
      identity: column.identity === 'a' ? 'always' : column.identity === 'd' ? 'by-default' : null,
    })),
  }
}

/** Columns of an index, in its order, by name. */
const indexColumns = (condition: string): string => `COALESCE((
    SELECT json_agg(a.attname ORDER BY k.place)
    FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND k.place <= COALESCE((to_jsonb(i)->>'indnkeyatts')::int, i.indnatts) AND ${condition}), '[]')`

/** Works from PostgreSQL 10 on; indnkeyatts came with 11, attgenerated with 12. */
function tablesSql(exclude: readonly string[]): string {
  return `SELECT json_build_object(
    'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'isUnlogged', c.relpersistence = 'u',
    'replicaIdentity', c.relreplident,
    'primaryKey', ${indexColumns('i.indisprimary')},
    'identityColumns', CASE c.relreplident
      WHEN 'd' THEN ${indexColumns(`i.indisprimary AND ${isIdentityIndexSql('i')}`)}
      WHEN 'i' THEN ${indexColumns(`i.indisreplident AND ${isIdentityIndexSql('i')}`)} ELSE '[]' END,
    'columnsWithoutEquality', ${columnsWithoutEqualitySql},
    'columns', COALESCE((
      SELECT json_agg(json_build_object(
        'name', a.attname, 'number', a.attnum, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
        'notNull', a.attnotnull,
        'isGenerated', COALESCE(to_jsonb(a)->>'attgenerated', '') <> '',
        'hasDefault', a.atthasdef,
        'identity', a.attidentity) ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'parent', (
      SELECT json_build_object('schema', pn.nspname, 'name', p.relname)
      FROM pg_catalog.pg_inherits h
      JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
      JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
      WHERE h.inhrelid = c.oid ORDER BY h.inhseqno LIMIT 1),
    'isPartition', c.relispartition,
    'hasRowSecurity', c.relrowsecurity,
    'bytes', CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END,
    'rows', c.reltuples::bigint)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND ${isUserRelationSql(exclude)}
  ORDER BY n.nspname, c.relname`
}
