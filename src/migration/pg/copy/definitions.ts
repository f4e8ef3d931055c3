/**
 * What stands on the source's tables and is built once their rows are there: indexes, keys, checks,
 * foreign keys, replica identity. In the source's own words (pg_get_indexdef, pg_get_constraintdef),
 * which name everything with its schema because search_path is empty.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { qualified, type QualifiedName } from '../quote.ts'
import { isUserRelationSql } from '../tables.ts'

export interface KeyConstraint {
  readonly name: string
  readonly type: 'p' | 'u' | 'x'
  readonly definition: string
  readonly isDeferrable: boolean
  readonly isDeferred: boolean
}

export interface IndexDefinition {
  readonly schema: string
  readonly name: string
  readonly definition: string
  readonly isValid: boolean
  readonly isClustered: boolean
  readonly isIdentity: boolean
  /** ANALYZE gathers statistics of the expressions, once the index is there. */
  readonly hasExpressions: boolean
  readonly constraint: KeyConstraint | null
  /** Index of the partitioned table above, that this one is a part of. */
  readonly parent: QualifiedName | null
}

export interface TableConstraint {
  readonly name: string
  readonly definition: string
  /** Of a foreign key: the table that it points to. */
  readonly references: QualifiedName | null
  readonly isValidated: boolean
}

export interface TableDefinitions extends QualifiedName {
  readonly isPartitioned: boolean
  readonly indexes: readonly IndexDefinition[]
  readonly checks: readonly TableConstraint[]
  readonly foreignKeys: readonly TableConstraint[]
  /** pg_class.relreplident. */
  readonly replicaIdentity: string
}

/** By quoted name with schema. Constraints that come from a parent table come with the parent's. */
export async function readDefinitions(
  source: SqlClient,
  exclude: readonly string[],
): Promise<ReadonlyMap<string, TableDefinitions>> {
  const { rows } = await source.query(definitionsSql(exclude), undefined, { timeoutMs: 300_000 })
  return new Map(
    rows.map(([json]) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the statement below makes it
      const found = JSON.parse(json ?? '{}') as TableDefinitions
      return [qualified(found), found]
    }),
  )
}

const indexesSql = `SELECT json_agg(json_build_object(
    'schema', n.nspname, 'name', ic.relname,
    'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
    'isValid', i.indisvalid, 'isClustered', i.indisclustered, 'isIdentity', i.indisreplident,
    'hasExpressions', i.indexprs IS NOT NULL,
    'constraint', (
      SELECT json_build_object('name', k.conname, 'type', k.contype,
        'definition', pg_catalog.pg_get_constraintdef(k.oid),
        'isDeferrable', k.condeferrable, 'isDeferred', k.condeferred)
      FROM pg_catalog.pg_constraint k
      WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
      LIMIT 1),
    'parent', (
      SELECT json_build_object('schema', pn.nspname, 'name', p.relname)
      FROM pg_catalog.pg_inherits h
      JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
      JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
      WHERE h.inhrelid = i.indexrelid LIMIT 1))
    ORDER BY i.indisprimary DESC, i.indexrelid)
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  WHERE i.indrelid = c.oid`

/** conparentid came with 11: what a partition has from the table above it. */
const constraintsSql = (type: 'c' | 'f'): string => `SELECT json_agg(json_build_object(
    'name', k.conname, 'definition', pg_catalog.pg_get_constraintdef(k.oid),
    'isValidated', k.convalidated,
    'references', (
      SELECT json_build_object('schema', fn.nspname, 'name', f.relname)
      FROM pg_catalog.pg_class f JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
      WHERE f.oid = k.confrelid)) ORDER BY k.oid)
  FROM pg_catalog.pg_constraint k
  WHERE k.conrelid = c.oid AND k.contype = '${type}' AND k.conislocal
    AND COALESCE(to_jsonb(k)->>'conparentid', '0') = '0'`

function definitionsSql(exclude: readonly string[]): string {
  return `SELECT json_build_object(
    'schema', n.nspname, 'name', c.relname, 'isPartitioned', c.relkind = 'p',
    'replicaIdentity', c.relreplident,
    'indexes', COALESCE((${indexesSql}), '[]'),
    'checks', COALESCE((${constraintsSql('c')}), '[]'),
    'foreignKeys', COALESCE((${constraintsSql('f')}), '[]'))
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND ${isUserRelationSql(exclude)}
  ORDER BY 1::text`
}
