/** The roles that a database of the source needs: who owns, who was granted, who logs in. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'

export interface SourceRole {
  readonly name: string
  readonly isBootstrap: boolean
  readonly super: boolean
  readonly inherit: boolean
  readonly createrole: boolean
  readonly createdb: boolean
  readonly login: boolean
  readonly replication: boolean
  readonly bypassrls: boolean
  readonly connectionLimit: number
  readonly validUntil: string | null
  /** Roles that it is a member of. */
  readonly memberOf: readonly { readonly role: string; readonly admin: boolean }[]
}

/** `ALTER ROLE … SET`, `ALTER DATABASE … SET`: null stands for the database itself. */
export interface StoredSetting {
  readonly role: string | null
  readonly inDatabase: boolean
  /** `name=value`, as the catalogue has it. */
  readonly setting: string
}

export interface DatabaseGrant {
  readonly role: string
  readonly privilege: 'CREATE' | 'TEMPORARY'
}

export interface SourceRoles {
  readonly roles: readonly SourceRole[]
  readonly settings: readonly StoredSetting[]
  readonly databaseGrants: readonly DatabaseGrant[]
  /** Until 14 everybody may create in `public`. */
  readonly mayAllCreateInPublic: boolean
}

const bootstrapOid = 10

export interface KnownRoles {
  /** That the application logs in with; they count even if they own nothing. */
  readonly configured: readonly string[]
  /** Of Pontoon, for whatever service: they share the application's roles, and are none of them. */
  readonly own: readonly string[]
}

export async function readSourceRoles(
  client: SqlClient,
  { configured, own }: KnownRoles,
): Promise<SourceRoles> {
  const { rows } = await client.query(rolesSql, [JSON.stringify(configured), JSON.stringify(own)])
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the statement makes it
  const roles = rows.map(([json]) => JSON.parse(json ?? '{}') as SourceRole)
  const settings = await readSettings(client)
  const grants = await client.query(
    `SELECT pg_catalog.pg_get_userbyid(a.grantee), a.privilege_type
     FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS a
     WHERE d.datname = pg_catalog.current_database() AND a.grantee NOT IN (0, d.datdba)
       AND a.privilege_type IN ('CREATE', 'TEMPORARY')`,
  )
  const open = await client.value(
    `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n
       CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
       WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')`,
  )
  return {
    roles,
    settings,
    databaseGrants: grants.rows.map(([role, privilege]) => ({
      role: role ?? '',
      privilege: privilege === 'CREATE' ? 'CREATE' : 'TEMPORARY',
    })),
    mayAllCreateInPublic: open === 't',
  }
}

/** Of the database, and of roles in it or everywhere. */
export async function readSettings(client: SqlClient): Promise<readonly StoredSetting[]> {
  const { rows } = await client.query(
    `SELECT r.rolname, s.setdatabase <> 0, setting
     FROM pg_catalog.pg_db_role_setting s
     LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
     CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS setting
     WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database
       WHERE datname = pg_catalog.current_database())) AND (s.setrole = 0 OR r.oid IS NOT NULL)
     ORDER BY 1, 2, 3`,
  )
  return rows.map(([role, inDatabase, setting]) => ({
    role: role ?? null,
    inDatabase: inDatabase === 't',
    setting: setting ?? '',
  }))
}

const ownSql = (role: string): string => `${role}.rolname ~ '^pontoon_'
          OR pg_catalog.to_jsonb(${role}.rolname::text) <@ $2::pg_catalog.jsonb`

/**
 * The bootstrap superuser owns without being in pg_shdepend, and grants on the database itself count
 * as those of the cluster. From each role on, its groups and its members are needed too, but neither
 * roles of Pontoon nor what only they lead to. Those of another configuration have to tell by their name.
 */
const rolesSql = `WITH RECURSIVE needed AS (
    SELECT s.refobjid AS oid FROM pg_catalog.pg_shdepend s
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.dbid =
      (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    UNION SELECT ${bootstrapOid}::pg_catalog.oid
    UNION SELECT r.oid FROM pg_catalog.pg_roles r
      JOIN pg_catalog.json_array_elements_text($1::pg_catalog.json) AS configured(name) ON r.rolname = configured.name
    UNION SELECT a.grantee FROM pg_catalog.pg_database d
      CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS a
      WHERE d.datname = pg_catalog.current_database()
    UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d
      ON d.oid = s.setdatabase WHERE d.datname = pg_catalog.current_database()
    UNION SELECT CASE WHEN m.member = n.oid THEN m.roleid ELSE m.member END
      FROM needed n JOIN pg_catalog.pg_auth_members m ON n.oid IN (m.member, m.roleid)
      JOIN pg_catalog.pg_roles r ON r.oid = n.oid
      JOIN pg_catalog.pg_roles s ON s.oid IN (m.member, m.roleid) AND s.oid <> n.oid
      WHERE n.oid <> ${bootstrapOid} AND r.rolname !~ '^(pg_|rds)'
        AND NOT (${ownSql('r')}) AND NOT (${ownSql('s')})
  )
  SELECT pg_catalog.json_build_object(
    'name', r.rolname, 'isBootstrap', r.oid = ${bootstrapOid}, 'super', r.rolsuper,
    'inherit', r.rolinherit, 'createrole', r.rolcreaterole, 'createdb', r.rolcreatedb,
    'login', r.rolcanlogin, 'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
    'connectionLimit', r.rolconnlimit, 'validUntil', r.rolvaliduntil,
    'memberOf', COALESCE((SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_object(
        'role', pg_catalog.pg_get_userbyid(m.roleid), 'admin', m.admin_option))
      FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid), '[]'))
  FROM pg_catalog.pg_roles r JOIN needed USING (oid)
  WHERE r.rolname !~ '^(pg_|rds)' ORDER BY r.rolname`
