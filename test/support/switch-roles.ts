/** Pontoon's roles on a side of switch-pair.ts; the role and the database of the application exist. */
import { Client } from 'pg'
import {
  createRoleSql,
  membershipStatements,
  privilegeStatements,
  schemaStatements,
  type SideRoles,
} from '../../src/migration/pg/schema/own-roles.ts'
import type { PostgresServer } from './postgres.ts'

/** By hand, and with a superuser that makes up for everything. */
export function plainRolesSql(major: number): string {
  const superuser = major < 16 ? 'SUPERUSER' : 'NOSUPERUSER'
  const subscribes = `
    GRANT pg_create_subscription, app TO repl;
    GRANT CREATE ON DATABASE shop TO repl`
  return `
    CREATE ROLE control LOGIN SUPERUSER PASSWORD 'control';
    CREATE ROLE repl LOGIN REPLICATION ${superuser} PASSWORD 'repl';
    CREATE ROLE reader LOGIN PASSWORD 'reader';
    ${major < 16 ? '' : subscribes}`
}

/** What a managed service can give: only before 16 the owner of subscriptions is a superuser. */
export function managedRolesSql(side: 'source' | 'target'): string {
  return `${ownRolesSql()}\n${grantsSql(side, 'shop')}`
}

export function ownRolesSql(): string {
  return ['control', 'repl', 'reader'].map((role) => createRoleSql(role, `'${role}'`)).join('\n')
}

/** In that database, what these roles get there and Pontoon's tables. */
export function grantsSql(side: 'source' | 'target', database: string): string {
  const roles: SideRoles = {
    side,
    database,
    control: 'control',
    replication: 'repl',
    read: 'reader',
    application: ['app'],
  }
  return [
    ...privilegeStatements(roles).map(({ sql }) => sql),
    ...membershipStatements(roles).map(({ sql }) => sql),
    ...schemaStatements(roles, { epoch: 1, primary: 'source' }).map(({ sql }) => sql),
  ].join('\n')
}

/** As managed services have one: it makes roles and databases and is no superuser. From 16 on. */
export async function makeAdministrator(server: PostgresServer): Promise<void> {
  await server.query(`CREATE ROLE administrator LOGIN PASSWORD 'administrator'
      CREATEROLE CREATEDB REPLICATION BYPASSRLS;
    GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_create_subscription
      TO administrator WITH ADMIN OPTION`)
}

export async function administer(
  server: PostgresServer,
  sql: string,
  database = 'postgres',
): Promise<void> {
  const client = new Client(server.url(database, 'administrator', 'administrator'))
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
