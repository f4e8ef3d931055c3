/** The SQL of `--print-sql`: one script per side, for an administrator to run with psql. */
import type { Side } from '../../../shared/side.ts'
import type { Mark } from '../control-schema.ts'
import { literal } from '../quote.ts'
import {
  createRoleSql,
  membershipStatements,
  ownRoles,
  privilegeStatements,
  schemaStatements,
  type SideRoles,
} from './own-roles.ts'
import type { RoleStatement } from './role-sql.ts'

export interface PrintedSql {
  readonly side: Side
  readonly sql: string
}

/** Passwords are psql variables, never values. */
export function printSql(roles: SideRoles, mark: Mark): PrintedSql {
  const variables = ownRoles(roles).map((role) => [role, variableOf(role)] as const)
  const given = variables.map(([, name]) => `-v ${name}=…`).join(' ')
  const sql = [
    `-- Pontoon's roles on the ${roles.side} (database ${roles.database}). Run as an administrator there:`,
    `--   psql ${given} -d ${roles.database} -f THIS_FILE`,
    '-- It may run again; run it again once the tables of the application are on the target.',
    '\\set ON_ERROR_STOP on',
    '-- the fence makes the database read-only',
    'SET default_transaction_read_only = off;',
    'SET client_min_messages = warning;',
    ...variables.flatMap(([role, name]) => [
      '',
      `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal(role)}) AS missing \\gset`,
      '\\if :missing',
      `  ${createRoleSql(role, `:'${name}'`)}`,
      '\\endif',
    ]),
    ...[
      ...privilegeStatements(roles),
      ...membershipStatements(roles),
      ...schemaStatements(roles, mark),
    ].map(printed),
  ].join('\n')
  return { side: roles.side, sql }
}

function printed({ why, sql }: RoleStatement): string {
  return `\n-- ${why}\n${sql}`
}

function variableOf(role: string): string {
  return `${role.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}_password`
}
