/** What stands on the tables of the target already: whatever is there is not built again. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { literal, qualified, type QualifiedName } from '../quote.ts'

export interface Present {
  /** Quoted names, with schema. */
  readonly indexes: ReadonlySet<string>
  readonly constraints: ReadonlySet<string>
  /** Of those constraints, the ones still NOT VALID. */
  readonly unvalidated: ReadonlySet<string>
  readonly replicaIdentity: string
  readonly clustered: string | null
  readonly identityIndex: string | null
}

const presentSql = (table: QualifiedName): string => `SELECT json_build_object(
    'indexes', COALESCE((SELECT json_agg(json_build_object(
        'schema', n.nspname, 'name', i.relname,
        'clustered', x.indisclustered, 'identity', x.indisreplident))
      FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
      WHERE x.indrelid = c.oid AND x.indisvalid), '[]'),
    'constraints', COALESCE((SELECT json_agg(json_build_object(
        'name', k.conname, 'valid', k.convalidated))
      FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid), '[]'),
    'replicaIdentity', c.relreplident)
  FROM pg_catalog.pg_class c WHERE c.oid = ${literal(qualified(table))}::regclass`

interface PresentJson {
  readonly indexes: readonly {
    readonly schema: string
    readonly name: string
    readonly clustered: boolean
    readonly identity: boolean
  }[]
  readonly constraints: readonly { readonly name: string; readonly valid: boolean }[]
  readonly replicaIdentity: string
}

export async function readPresent(target: SqlClient, table: QualifiedName): Promise<Present> {
  const json = await target.value(presentSql(table))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the statement above makes it
  const found = JSON.parse(json ?? '{}') as PresentJson
  return {
    indexes: new Set(found.indexes.map(qualified)),
    constraints: new Set(found.constraints.map(({ name }) => name)),
    unvalidated: new Set(found.constraints.flatMap(({ name, valid }) => (valid ? [] : [name]))),
    replicaIdentity: found.replicaIdentity,
    clustered: found.indexes.find(({ clustered }) => clustered)?.name ?? null,
    identityIndex: found.indexes.find(({ identity }) => identity)?.name ?? null,
  }
}
