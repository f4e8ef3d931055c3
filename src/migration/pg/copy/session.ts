/** The connections of a copy and what is set on them. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { readable } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { isUserRelationSql } from '../tables.ts'
import { copyLimits } from './limits.ts'

const insufficientPrivilege = '42501'

/**
 * Bytes of a database without an encoding travel as they are: as UTF8 they would be refused where
 * they are none, though the other side may have no encoding either.
 */
const encodingSql = `SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
  WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'`

/** Reads rows: row security that would hide some is an error, not a smaller table. */
export async function connectReader(context: MigrationContext): Promise<SqlClient> {
  const client = await connectAs(context, { side: 'source', purpose: 'control', task: 'copy' })
  await client.run(`SET row_security = off; ${encodingSql}`)
  return client
}

/**
 * Writes rows. Every commit waits for the disk, as all of Pontoon's do: a copy that goes on after
 * the target has crashed does not ask again for the chunks it has seen arrive.
 */
export async function connectWriter(
  context: MigrationContext,
  asReplica: boolean,
): Promise<SqlClient> {
  const client = await connectAs(context, { side: 'target', purpose: 'control', task: 'copy' })
  await client.run(
    `SET row_security = off; ${encodingSql}` +
      (asReplica ? '; SET session_replication_role = replica' : ''),
  )
  return client
}

/** Builds indexes. `memoryBytes` of maintenance_work_mem, unless the server gives more anyway. */
export async function connectBuilder(
  context: MigrationContext,
  memoryBytes: number,
): Promise<SqlClient> {
  const client = await connectAs(context, {
    side: 'target',
    purpose: 'control',
    task: 'copy: index',
  })
  await client.run(
    `SELECT pg_catalog.set_config('maintenance_work_mem', '${Math.floor(memoryBytes / 1024)}kB', false)
     FROM pg_catalog.pg_settings
     WHERE name = 'maintenance_work_mem' AND setting::bigint < ${Math.floor(memoryBytes / 1024)}`,
  )
  return client
}

/** All jobs together get what shared_buffers is: a quarter of the memory on most servers. */
export async function buildMemoryOf(target: SqlClient, jobs: number): Promise<number> {
  const shared = await target.value(
    "SELECT setting::bigint * 8192 FROM pg_catalog.pg_settings WHERE name = 'shared_buffers'",
  )
  const each = Number(shared) / jobs
  return Math.min(copyLimits.buildMemoryMax, Math.max(copyLimits.buildMemoryMin, each))
}

/**
 * Whether writers may set session_replication_role, which keeps triggers and foreign keys quiet.
 * Throws MIGRATION_REFUSED when some on the target would still fire, and change what is copied.
 */
export async function mayReplicate(
  target: SqlClient,
  exclude: readonly string[],
): Promise<boolean> {
  const may = await maySetReplicationRole(target)
  // What is replicated afterwards comes as replica, whoever copies.
  const firing = may ? "'R', 'A'" : "'O', 'R', 'A'"
  const { rows } = await target.query(
    `SELECT DISTINCT n.nspname, c.relname FROM pg_catalog.pg_trigger t
     JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgenabled IN (${firing}) AND ${isUserRelationSql(exclude)} ORDER BY 1, 2`,
  )
  if (rows.length === 0) return may
  const names = rows.map(([schema, name]) => readable({ schema: schema ?? '', name: name ?? '' }))
  throw new PontoonError(
    'MIGRATION_REFUSED',
    may
      ? `Tables of the target have triggers that fire for copied and for replicated rows: ` +
          `${names.join(', ')}. ALTER TABLE … ENABLE TRIGGER in place of ENABLE ALWAYS or REPLICA.`
      : `Tables of the target have triggers or foreign keys already, and its control role may not set ` +
          `session_replication_role: ${names.join(', ')}. Drop those (pontoon schema --post-data makes ` +
          'them later), or GRANT SET ON PARAMETER session_replication_role (15 or newer, by a superuser).',
  )
}

async function maySetReplicationRole(target: SqlClient): Promise<boolean> {
  try {
    await target.run('SET session_replication_role = replica; RESET session_replication_role')
    return true
  } catch (error) {
    if (!hasSqlstate(error, insufficientPrivilege)) throw error
    return false
  }
}
