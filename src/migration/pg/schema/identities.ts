/** Objects by the name that PostgreSQL gives each of them (pg_identify_object), on any server. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { DumpEntry } from './archive.ts'

const timeoutMs = 120_000

/** By the id of the entry; without those that the catalogue has no row for. */
export async function identitiesOf(
  source: SqlClient,
  entries: readonly DumpEntry[],
): Promise<ReadonlyMap<number, string>> {
  const known = entries.filter(({ catalogOid, oid }) => catalogOid !== 0 && oid !== 0)
  const { rows } = await source.query(
    `SELECT e.id, i.type || ' ' || i.identity
     FROM unnest($1::int8[], $2::oid[], $3::oid[]) AS e(id, class, object)
     CROSS JOIN LATERAL pg_catalog.pg_identify_object(e.class, e.object, 0) AS i
     WHERE i.identity IS NOT NULL`,
    [
      list(known.map(({ id }) => id)),
      list(known.map(({ catalogOid }) => catalogOid)),
      list(known.map(({ oid }) => oid)),
    ],
    { timeoutMs },
  )
  return new Map(rows.map(([id, identity]) => [Number(id), identity ?? '']))
}

function list(values: readonly number[]): string {
  return `{${values.join(',')}}`
}

const catalogues = [
  'pg_am',
  'pg_attrdef',
  'pg_cast',
  'pg_class',
  'pg_collation',
  'pg_constraint',
  'pg_conversion',
  'pg_event_trigger',
  'pg_extension',
  'pg_foreign_data_wrapper',
  'pg_foreign_server',
  'pg_language',
  'pg_namespace',
  'pg_opclass',
  'pg_operator',
  'pg_opfamily',
  'pg_policy',
  'pg_proc',
  'pg_rewrite',
  'pg_statistic_ext',
  'pg_transform',
  'pg_trigger',
  'pg_ts_config',
  'pg_ts_dict',
  'pg_ts_parser',
  'pg_ts_template',
  'pg_type',
  'pg_user_mapping',
] as const

/** Oids below belong to the system itself (access/transam.h, FirstNormalObjectId). */
const firstUserOid = 16_384

export async function existingIdentities(client: SqlClient): Promise<ReadonlySet<string>> {
  const parts = catalogues.map(
    (name) =>
      `SELECT i.type || ' ' || i.identity FROM pg_catalog.${name} c CROSS JOIN LATERAL
         pg_catalog.pg_identify_object('pg_catalog.${name}'::pg_catalog.regclass, c.oid, 0) AS i
       WHERE ${name === 'pg_namespace' ? 'true' : `c.oid >= ${firstUserOid}`}`,
  )
  const { rows } = await client.query(parts.join(' UNION ALL '), undefined, { timeoutMs })
  return new Set(rows.flatMap(([identity]) => identity ?? []))
}

export async function populatedViews(client: SqlClient): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(
    `SELECT schemaname || '.' || matviewname FROM pg_catalog.pg_matviews WHERE ispopulated`,
  )
  return new Set(rows.flatMap(([name]) => name ?? []))
}

/** Tables and indexes that are part of a partitioned one. */
export async function attachedPartitions(client: SqlClient): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(
    `SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relispartition`,
  )
  return new Set(rows.flatMap(([name]) => name ?? []))
}
