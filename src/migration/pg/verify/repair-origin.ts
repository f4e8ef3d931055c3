/** The right to write on the side that is not primary without anything acting on it or taking it back. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { repairOriginName } from '../names.ts'
import { literal } from '../quote.ts'
import type { MigrationContext } from '../side-login.ts'

const originFunctions = [
  'pg_replication_origin_oid',
  'pg_replication_origin_create',
  'pg_replication_origin_session_setup',
]

/** For the rest of the session. Throws MIGRATION_REFUSED with what to grant. */
export async function takeOrigin(client: SqlClient, { service }: MigrationContext): Promise<void> {
  await takeReplicaRole(client)
  if (!(await mayUseOrigins(client))) {
    await refuseWhenDecoded(client)
    return
  }
  const name = literal(repairOriginName(service))
  await client.run(
    `SELECT CASE WHEN pg_replication_origin_oid(${name}) IS NULL
       THEN pg_replication_origin_create(${name}) END;
     SELECT pg_replication_origin_session_setup(${name})`,
  )
}

async function takeReplicaRole(client: SqlClient): Promise<void> {
  try {
    await client.query('SET session_replication_role = replica')
  } catch (error) {
    if (!hasSqlstate(error, '42501')) throw error
    const role = await client.value('SELECT current_user')
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `${client.where}: ${role} may not set session_replication_role, so triggers and foreign ` +
        'keys would act on repaired rows. As superuser, from PostgreSQL 15 on: ' +
        (await behindFence(
          client,
          `GRANT SET ON PARAMETER session_replication_role TO ${role}; on Amazon RDS: ` +
            `GRANT rds_superuser TO ${role}`,
        )),
      { cause: error },
    )
  }
}

async function mayUseOrigins(client: SqlClient): Promise<boolean> {
  const answer = await client.value(
    `SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_catalog.pg_proc
     WHERE pronamespace = 'pg_catalog'::regnamespace
       AND proname IN (${originFunctions.map(literal).join(', ')})`,
  )
  return answer === 't'
}

/** Without an origin, whoever decodes the changes of this database takes repairs for new writes. */
async function refuseWhenDecoded(client: SqlClient): Promise<void> {
  const slots = await client.value(
    `SELECT string_agg(slot_name, ', ') FROM pg_catalog.pg_replication_slots
     WHERE database = current_database()`,
  )
  if (slots === null) return
  const role = await client.value('SELECT current_user')
  const grants = originFunctions
    .map((name) => `GRANT EXECUTE ON FUNCTION pg_catalog.${name}(text) TO ${role}`)
    .join('; ')
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `${client.where}: the changes of this database are replicated (${slots}), and ${role} may ` +
      'not mark repaired rows so that they are not carried back. As superuser in this database: ' +
      (await behindFence(client, grants)),
  )
}

/** The fence makes every session of the database read-only, that of a superuser too. */
async function behindFence(client: SqlClient, sql: string): Promise<string> {
  // Not by pontoon.fence, which only the control role that made it may read.
  const isReadOnly = await client.value(
    `SELECT EXISTS (
       SELECT FROM pg_catalog.pg_db_role_setting s
       JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
       WHERE d.datname = pg_catalog.current_database() AND s.setrole = 0
         AND 'default_transaction_read_only=on' = ANY (s.setconfig))`,
  )
  return isReadOnly === 't' ? `SET default_transaction_read_only = off; ${sql}` : sql
}
