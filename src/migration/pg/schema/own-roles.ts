/**
 * The SQL that gives Pontoon's own roles on one side what they need and no more, and makes
 * Pontoon's schema there. Written without having seen the server: what depends on its version, on
 * RDS or on what is there already is decided by the SQL itself. So the text that `--print-sql`
 * shows is the text that is run. Every statement may run again.
 *
 * - control: owns or shares the database (fences are settings of it), may change the application's
 *   roles and end their sessions, and shares the tables (publications take an owner).
 * - replication: its subscriptions write as the owners of the tables, from 16 on. A subscription
 *   of a server before 16 can be made by a superuser only, on RDS by rds_superuser.
 * - read: reads everything; for the application's clients it reads as their roles.
 */
import type { Side } from '../../../shared/side.ts'
import { controlSchemaSql, type Mark } from '../control-schema.ts'
import { directions, heartbeatTable, pontoonSchema } from '../names.ts'
import { identifier, literal } from '../quote.ts'
import {
  begins,
  block,
  bypassRowSecurity,
  connect,
  exists,
  grantRole,
  hasAdmin,
  ownersSql,
  unlessSuperuser,
  type RoleStatement,
} from './role-sql.ts'

export interface SideRoles {
  readonly side: Side
  readonly database: string
  readonly control: string
  readonly replication: string
  readonly read: string
  /** Of the application on this side, whether they exist yet or not. */
  readonly application: readonly string[]
}

/** Roles of its own that a side names, each once: those that are missing have to be created. */
export function ownRoles({ control, replication, read }: SideRoles): readonly string[] {
  return [...new Set([control, replication, read])]
}

/** `password` is a literal or a psql variable; null where the role logs in without one. */
export function createRoleSql(role: string, password: string | null): string {
  const secret = password === null ? '' : ` PASSWORD ${password}`
  return `CREATE ROLE ${identifier(role)} LOGIN${secret};`
}

/** What the roles may do, for an administrator to run. */
export function privilegeStatements(roles: SideRoles): readonly RoleStatement[] {
  return [
    actAs(roles),
    ...controlStatements(roles),
    ...replicationStatements(roles),
    ...readStatements(roles),
    ...writers(roles).map((role) => bypassRowSecurity(role, 'relforcerowsecurity')),
  ]
}

/** Who copies, repairs and applies. */
function writers({ control, replication }: SideRoles): readonly string[] {
  return [...new Set([control, replication])]
}

export function membershipStatements(roles: SideRoles): readonly RoleStatement[] {
  const { control, replication, application } = roles
  const names = [...application.map((role) => literal(role)), 'NULL'].join(', ')
  const own = ownRoles(roles)
    .map((role) => literal(role))
    .join(', ')
  const each = (member: string, withAdmin: boolean, also: string): string => `
  FOR granted IN
    SELECT r.rolname, r.rolsuper FROM pg_catalog.pg_roles r
    WHERE (${ownersSql('r.oid')}${also}) AND r.rolname NOT IN (${own}) AND r.rolname !~ '^(pg_|rds)'
      AND (r.rolsuper OR NOT pg_catalog.pg_has_role(r.oid, ${literal(member)}, 'MEMBER'))
    ORDER BY 1
  LOOP
    ${withAdmin ? `IF NOT (granted.rolsuper OR ${hasAdmin(member)})` : `IF NOT pg_catalog.pg_has_role(${literal(member)}, granted.rolname, 'MEMBER')`} THEN
      EXECUTE pg_catalog.format('GRANT %I TO %I${withAdmin ? ' WITH ADMIN OPTION' : ''}', granted.rolname, ${literal(member)});
    ${
      withAdmin
        ? `ELSIF NOT pg_catalog.pg_has_role(${literal(member)}, granted.rolname, 'MEMBER') THEN
      EXECUTE pg_catalog.format('GRANT %I TO %I', granted.rolname, ${literal(member)});
    `
        : ''
    }END IF;
  END LOOP;`
  return [
    {
      why: `${control} shares what the application's roles own, and may fence these roles`,
      sql: block(unlessSuperuser(control, each(control, true, ` OR r.rolname IN (${names})`))),
    },
    ...(replication === control
      ? []
      : [
          {
            why: `${replication} applies changes as the owners of the tables`,
            sql: block(unlessSuperuser(replication, each(replication, false, ''))),
          },
        ]),
    ...readAsStatements(roles, names),
  ]
}

/** Once the application's tables have come, also those who own them are known. */
export function laterStatements(roles: SideRoles): readonly RoleStatement[] {
  return [
    ...membershipStatements(roles),
    ...readStatements(roles),
    ...writers(roles).map((role) => bypassRowSecurity(role, 'relforcerowsecurity')),
  ]
}

/** The right to become them is all it needs, so from 16 on it does not inherit what they may. */
function readAsStatements(roles: SideRoles, applicationNames: string): readonly RoleStatement[] {
  const { control, replication, read } = roles
  if (read === control || read === replication) return []
  return [
    {
      why: `${read} reads as the application's roles, which the fence keeps out`,
      sql: block(`
  FOR granted IN
    SELECT r.rolname FROM pg_catalog.pg_roles r
    WHERE r.rolname IN (${applicationNames}) AND NOT r.rolsuper AND r.rolname <> ${literal(read)}
      AND NOT pg_catalog.pg_has_role(${literal(read)}, r.oid, 'MEMBER')
    ORDER BY 1
  LOOP
    EXECUTE pg_catalog.format('GRANT %I TO %I', granted.rolname, ${literal(read)}) ||
      CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000
        THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
  END LOOP;`),
    },
  ]
}

/** Pontoon's schema, owned by the control role, and the mark if there is none. */
export function schemaStatements(roles: SideRoles, mark: Mark): readonly RoleStatement[] {
  const { control, replication } = roles
  const owner = identifier(replication)
  const handOver = directions.map((direction) => {
    const table = `${pontoonSchema}.${heartbeatTable(direction)}`
    return `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = '${table}'::pg_catalog.regclass
      AND pg_catalog.pg_get_userbyid(c.relowner) = ${literal(replication)}) THEN
    GRANT USAGE, CREATE ON SCHEMA ${pontoonSchema} TO ${owner};
    ALTER TABLE ${table} OWNER TO ${owner};
    REVOKE CREATE ON SCHEMA ${pontoonSchema} FROM ${owner};
  END IF;`
  })
  const made = [
    `SET ROLE ${identifier(control)};`,
    controlSchemaSql(),
    ...(replication === control ? [] : [block(handOver.join('\n'))]),
    'INSERT INTO pontoon.mark (epoch, primary_side) ' +
      `VALUES (${mark.epoch}, '${mark.primary}') ON CONFLICT DO NOTHING;`,
    'RESET ROLE;',
  ]
  return [
    {
      why: "Pontoon's own tables; heartbeats belong to the role that applies them",
      sql: made.join('\n'),
    },
  ]
}

function actAs({ control }: SideRoles): RoleStatement {
  return {
    why: `who runs this acts as ${control} in what follows`,
    sql: block(
      `  IF NOT pg_catalog.pg_has_role(${literal(control)}, 'USAGE') THEN\n` +
        `    GRANT ${identifier(control)} TO CURRENT_USER;\n  END IF;`,
    ),
  }
}

function controlStatements(roles: SideRoles): readonly RoleStatement[] {
  const { control, replication, database } = roles
  const name = literal(control)
  return [
    {
      why: `${control} may take LOGIN from the application's roles (fence)`,
      sql: block(
        `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${name} AND (rolsuper OR rolcreaterole)) THEN\n` +
          `    ALTER ROLE ${identifier(control)} CREATEROLE;\n  END IF;`,
      ),
    },
    {
      why: `${control} watches and ends sessions, and reads sequences and catalogues`,
      sql: block(
        ['pg_signal_backend', 'pg_monitor', 'pg_read_all_data']
          .map((granted) => grantRole(granted, control))
          .join('\n'),
      ),
    },
    {
      why: `${control} changes settings and privileges of the database (fence)`,
      sql: block(databaseOwner(control, database)),
    },
    connect(control, database),
    ...(replication === control
      ? []
      : [
          {
            why: `${control} publishes the heartbeats, which belong to ${replication}`,
            sql: block(grantRole(replication, control)),
          },
        ]),
  ]
}

/**
 * A superuser's database is handed to the control role: sharing it would make that a superuser. So
 * is one of whoever runs this, who cannot share himself but shares the control role.
 */
function databaseOwner(control: string, database: string): string {
  return `
  SELECT d.datdba, r.rolsuper INTO granted FROM pg_catalog.pg_database d
    JOIN pg_catalog.pg_roles r ON r.oid = d.datdba WHERE d.datname = ${literal(database)};
  IF NOT pg_catalog.pg_has_role(${literal(control)}, granted.datdba, 'USAGE') THEN
    IF granted.rolsuper OR pg_catalog.pg_get_userbyid(granted.datdba) = current_user THEN
      ALTER DATABASE ${identifier(database)} OWNER TO ${identifier(control)};
    ELSE
      EXECUTE pg_catalog.format('GRANT %I TO %I', pg_catalog.pg_get_userbyid(granted.datdba), ${literal(control)});
    END IF;
  END IF;`
}

/** Values travel as text, which these change; a copy of a table by the server may last for hours. */
const replicationSettings = {
  array_nulls: 'on',
  lc_monetary: 'C',
  xmloption: 'content',
  lock_timeout: '0',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  transaction_timeout: '0',
}

function replicationStatements(roles: SideRoles): readonly RoleStatement[] {
  const { replication, database } = roles
  const role = identifier(replication)
  const walSender = `
    IF ${exists('rds_replication')} THEN
  ${grantRole('rds_replication', replication)}
    ELSIF NOT (SELECT rolreplication FROM pg_catalog.pg_roles WHERE rolname = ${literal(replication)}) THEN
      ALTER ROLE ${role} REPLICATION;
    END IF;`
  const subscriber = `
    IF ${exists('pg_create_subscription')} THEN
  ${grantRole('pg_create_subscription', replication)}
    ELSIF ${exists('rds_superuser')} THEN
  ${grantRole('rds_superuser', replication)}
    ELSE
      ALTER ROLE ${role} SUPERUSER;
    END IF;`
  return [
    {
      why: `${replication} opens slots`,
      sql: block(unlessSuperuser(replication, walSender)),
    },
    {
      why: `${replication} owns subscriptions; before 16 only a superuser (RDS: rds_superuser) can`,
      sql: block(unlessSuperuser(replication, subscriber)),
    },
    {
      why: `what ${replication} sends and receives depends on no setting of the database`,
      sql: block(begins(replication, replicationSettings)),
    },
    connect(replication, database),
    {
      why: `a subscription is made in the database`,
      sql: `GRANT CREATE ON DATABASE ${identifier(database)} TO ${role};`,
    },
  ]
}

function readStatements(roles: SideRoles): readonly RoleStatement[] {
  const { read, database } = roles
  if (read === roles.control || read === roles.replication) return []
  return [
    connect(read, database),
    { why: `${read} reads everything`, sql: block(readEverything(read)) },
    {
      why: `${read} writes nothing`,
      sql: block(begins(read, { default_transaction_read_only: 'on' })),
    },
    bypassRowSecurity(read, 'relrowsecurity'),
  ]
}

/** Before 14 there is no pg_read_all_data: every schema, table, and what its owners will make. */
function readEverything(read: string): string {
  return `
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_read_all_data') THEN
${grantRole('pg_read_all_data', read)}
  ELSE
    FOR granted IN SELECT nspname, pg_catalog.pg_get_userbyid(nspowner) AS owner
      FROM pg_catalog.pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'
    LOOP
      EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', granted.nspname, ${literal(read)});
      EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', granted.nspname, ${literal(read)});
      EXECUTE pg_catalog.format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', granted.nspname, ${literal(read)});
    END LOOP;
    FOR granted IN SELECT r.rolname FROM pg_catalog.pg_roles r WHERE ${ownersSql('r.oid')}
    LOOP
      EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON TABLES TO %I', granted.rolname, ${literal(read)});
      EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON SEQUENCES TO %I', granted.rolname, ${literal(read)});
    END LOOP;
  END IF;`
}
