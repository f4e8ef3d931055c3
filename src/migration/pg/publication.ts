/**
 * Publications, on the side that sends. They list their tables one by one: FOR ALL TABLES needs a
 * superuser, which managed services have not. Partitions are listed themselves, so that both
 * sides may be of any version; the partitioned table above them holds no rows.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { PontoonError } from '../../shared/errors.ts'
import {
  heartbeatTable,
  pontoonSchema,
  probePublicationName,
  publicationName,
  type Direction,
} from './names.ts'
import { identifier, literal, qualified, readable, type QualifiedName } from './quote.ts'
import { identityFault } from './identity.ts'
import type { Table } from './tables.ts'
import { carriesTruncate, noteFilesSql, noteNewFilesSql } from './truncations.ts'

export interface PublicationSpec {
  readonly service: string
  readonly direction: Direction
  /** Of the sending side, all that are synced; those without rows of their own are left out here. */
  readonly tables: readonly Table[]
  /** Of the side that subscribes. */
  readonly receiverMajor: number
}

type ProbeSpec = Pick<PublicationSpec, 'service' | 'direction' | 'receiverMajor'>

export interface PublicationChange {
  readonly name: string
  readonly isNew: boolean
  readonly added: readonly QualifiedName[]
  readonly dropped: readonly QualifiedName[]
  /** Whether it leaves out some kinds of changes of its members. */
  readonly isPartial: boolean
  /** What makes the publication fit, in this order; empty when it does. */
  readonly statements: readonly string[]
}

/** ALTER PUBLICATION waits for VACUUM and DDL on a table, not for writers. */
const changeTimeoutMs = 120_000

/** Makes or mends the publication of all tables; run by their owner (or a member of it). */
export async function ensurePublication(
  client: SqlClient,
  spec: PublicationSpec,
): Promise<PublicationChange> {
  return apply(client, await planPublication(client, spec))
}

/** The publication of the heartbeat alone: proves the way before it carries data. */
export async function ensureProbePublication(
  client: SqlClient,
  { service, direction, receiverMajor }: ProbeSpec,
): Promise<PublicationChange> {
  const name = probePublicationName(service, direction)
  const members = [heartbeatOf(direction)]
  return apply(client, await planMembers(client, { name, members, receiverMajor }))
}

/**
 * What `ensurePublication` would do. Rejects with MIGRATION_REFUSED for tables without an
 * identity: once published, the server refuses every UPDATE and DELETE on them.
 */
export async function planPublication(
  client: SqlClient,
  { service, direction, tables, receiverMajor }: PublicationSpec,
): Promise<PublicationChange> {
  const published = tables.filter(isPublishable)
  const faults = published.flatMap((table) => {
    const fault = identityFault(table)
    return fault === null ? [] : [`${readable(table)} ${fault.text} (${fault.fix})`]
  })
  if (faults.length > 0) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `${client.where}: ${faults.join('; ')}. Published so, their rows could not be updated any ` +
        'more. What need not come over can be listed in migration.exclude.',
    )
  }
  const name = publicationName(service, direction)
  const members = [...published, heartbeatOf(direction)]
  const change = await planMembers(client, { name, members, receiverMajor })
  if (change.statements.length === 0 || carriesTruncate(client.major, receiverMajor)) return change
  const note = change.isNew ? noteFilesSql : noteNewFilesSql
  return { ...change, statements: [note, ...change.statements] }
}

/** Whether rows of the table can be sent: partitioned ones have none, unlogged ones leave no WAL. */
export function isPublishable(table: Table): boolean {
  return table.kind === 'table' && !table.isUnlogged
}

/** Members by schema and name, undefined when there is no such publication. */
export async function readPublishedTables(
  client: SqlClient,
  name: string,
  options?: SqlOptions,
): Promise<readonly QualifiedName[] | undefined> {
  const { rows } = await client.query(membersSql, [name], options)
  if (rows.length === 0) return undefined
  return rows.flatMap(([schema, table]) =>
    schema === null || schema === undefined ? [] : [{ schema, name: table ?? '' }],
  )
}

export function dropPublicationSql(name: string): string {
  return `DROP PUBLICATION IF EXISTS ${identifier(name)}`
}

export function heartbeatOf(direction: Direction): QualifiedName {
  return { schema: pontoonSchema, name: heartbeatTable(direction) }
}

/** One row with nulls for a publication without members. Filters and column lists came with 15. */
const membersSql = `SELECT n.nspname, c.relname,
    (to_jsonb(r)->>'prqual') IS NOT NULL OR (to_jsonb(r)->>'prattrs') IS NOT NULL
  FROM pg_catalog.pg_publication p
  LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
  LEFT JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE p.pubname = $1 ORDER BY 1, 2`

/**
 * pubtruncate came with 11, pubviaroot with 13. A subscriber that is 10 fails at a TRUNCATE, for
 * ever.
 */
const settingsSql = (name: string, withTruncate: boolean): string => `SELECT
    p.pubinsert AND p.pubupdate AND p.pubdelete
      AND COALESCE((to_jsonb(p)->>'pubtruncate')::boolean, ${withTruncate}) = ${withTruncate}
      AND NOT COALESCE((to_jsonb(p)->>'pubviaroot')::boolean, false),
    p.puballtables
  FROM pg_catalog.pg_publication p WHERE p.pubname = ${literal(name)}`

interface Members {
  readonly name: string
  readonly members: readonly QualifiedName[]
  readonly receiverMajor: number
}

async function planMembers(
  client: SqlClient,
  { name, members, receiverMajor }: Members,
): Promise<PublicationChange> {
  const { rows } = await client.query(membersSql, [name])
  const withTruncate = carriesTruncate(client.major, receiverMajor)
  if (rows.length === 0) {
    const settings = withTruncate ? '' : ` WITH (publish = '${rowChanges}')`
    const made = `CREATE PUBLICATION ${identifier(name)} FOR TABLE ${listOf(members)}${settings}`
    return { name, isNew: true, added: members, dropped: [], isPartial: false, statements: [made] }
  }
  const present = rows.flatMap(([schema, table, isPartial]) =>
    schema === null || schema === undefined
      ? []
      : [{ schema, name: table ?? '', isPartial: isPartial === 't' }],
  )
  const wanted = new Set(members.map(qualified))
  const dropped = present.filter((table) => table.isPartial || !wanted.has(qualified(table)))
  const kept = new Set(present.filter(({ isPartial }) => !isPartial).map(qualified))
  const added = members.filter((table) => !kept.has(qualified(table)))
  const alter = `ALTER PUBLICATION ${identifier(name)}`
  const statements = await mendSettings(client, name, withTruncate)
  const isPartial = statements.length > 0
  if (dropped.length > 0) statements.push(`${alter} DROP TABLE ${listOf(dropped)}`)
  if (added.length > 0) statements.push(`${alter} ADD TABLE ${listOf(added)}`)
  return { name, isNew: false, added, dropped, isPartial, statements }
}

const rowChanges = 'insert, update, delete'

async function mendSettings(
  client: SqlClient,
  name: string,
  withTruncate: boolean,
): Promise<string[]> {
  const { rows } = await client.query(settingsSql(name, withTruncate))
  const [isWhole, isForAll] = rows[0] ?? []
  if (isForAll === 't') {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `${client.where}: publication ${name} is FOR ALL TABLES, so Pontoon did not make it. ` +
        `Drop it: ${dropPublicationSql(name)}`,
    )
  }
  if (isWhole === 't') return []
  const truncate = withTruncate ? ', truncate' : ''
  const viaRoot = client.major >= 13 ? ', publish_via_partition_root = false' : ''
  const settings = `publish = '${rowChanges}${truncate}'${viaRoot}`
  return [`ALTER PUBLICATION ${identifier(name)} SET (${settings})`]
}

/** ONLY: tables that inherit are listed themselves. */
function listOf(tables: readonly QualifiedName[]): string {
  return tables.map((table) => `ONLY ${qualified(table)}`).join(', ')
}

/** All or nothing: several statements at once are one transaction. */
async function apply(client: SqlClient, change: PublicationChange): Promise<PublicationChange> {
  if (change.statements.length > 0)
    await client.run(change.statements.join(';\n'), { timeoutMs: changeTimeoutMs })
  return change
}
