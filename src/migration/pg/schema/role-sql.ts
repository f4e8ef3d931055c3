/** The pieces that the SQL of own-roles.ts is put together from. Each may run again. */
import { pontoonSchema } from '../names.ts'
import { identifier, literal } from '../quote.ts'

export interface RoleStatement {
  readonly why: string
  readonly sql: string
}

/**
 * What the role's sessions begin with, whatever the database has set. Only where it is not so yet:
 * who runs this later may have no right to change the role.
 */
export function begins(role: string, settings: Readonly<Record<string, string>>): string {
  const each = Object.entries(settings).map(([name, value]) => {
    const spelled = `${name}=${value}`
    return `  IF EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = ${literal(name)})
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
      WHERE s.setdatabase = 0 AND r.rolname = ${literal(role)} AND ${literal(spelled)} = ANY (s.setconfig)) THEN
    ALTER ROLE ${identifier(role)} SET ${name} = ${literal(value)};
  END IF;`
  })
  return each.join('\n')
}

/**
 * Those who share the owner of a table are bound by its row security only where it is forced; who
 * reads as himself is bound by all.
 */
export function bypassRowSecurity(
  role: string,
  where: 'relrowsecurity' | 'relforcerowsecurity',
): RoleStatement {
  return {
    why: `row security must hide nothing from ${role}`,
    sql: block(
      `  IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE relrowsecurity AND ${where}) AND NOT EXISTS (\n` +
        `    SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal(role)} AND (rolsuper OR rolbypassrls)) THEN\n` +
        `    ALTER ROLE ${identifier(role)} BYPASSRLS;\n  END IF;`,
    ),
  }
}

export function connect(role: string, database: string): RoleStatement {
  return {
    why: `${role} connects even where PUBLIC may not`,
    sql: `GRANT CONNECT ON DATABASE ${identifier(database)} TO ${identifier(role)};`,
  }
}

export function exists(role: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${role}')`
}

/** Does nothing where the server has no such role, or the member has it, as a superuser has all. */
export function grantRole(granted: string, member: string): string {
  return `  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal(granted)})
    AND NOT pg_catalog.pg_has_role(${literal(member)}, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ${literal(granted)}), 'MEMBER') THEN
    GRANT ${identifier(granted)} TO ${identifier(member)};
  END IF;`
}

export function unlessSuperuser(role: string, body: string): string {
  return `  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = ${literal(role)}) THEN${body}\n  END IF;`
}

/** Whether a role owns a table, a sequence, a view or a schema of the user's. */
export function ownersSql(oid: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relowner = ${oid} AND c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f')
        AND n.nspname !~ '^(pg_|information_schema$|${pontoonSchema}$)')`
}

export function hasAdmin(member: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.admin_option
        AND m.roleid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = granted.rolname)
        AND m.member = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ${literal(member)}))`
}

export function block(body: string): string {
  return `DO $pontoon$ DECLARE granted record; BEGIN\n${body.replace(/^\n/, '')}\nEND $pontoon$;`
}
