/** What the target is and has, as far as it decides what can be restored there. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'

export interface TargetFacts {
  readonly major: number
  /** The role that restores. */
  readonly user: string
  readonly isSuperuser: boolean
  readonly isRds: boolean
  /** Every role, and whether the restoring one may act as it. */
  readonly roles: ReadonlyMap<string, boolean>
  /** Version that CREATE EXTENSION would make, by name. */
  readonly extensions: ReadonlyMap<string, string>
  /** What RDS lets be created; null where there is no such list. */
  readonly extensionsAllowed: ReadonlySet<string> | null
  readonly tablespaces: ReadonlySet<string>
  readonly accessMethods: ReadonlySet<string>
}

export async function readTargetFacts(client: SqlClient): Promise<TargetFacts> {
  const [who, roles, extensions, allowed, tablespaces, methods] = await client.run(`
    SELECT current_user, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
      EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_superuser');
    SELECT rolname, pg_catalog.pg_has_role(oid, 'USAGE') FROM pg_catalog.pg_roles;
    SELECT name, default_version FROM pg_catalog.pg_available_extensions;
    SELECT pg_catalog.current_setting('rds.extensions', true);
    SELECT spcname FROM pg_catalog.pg_tablespace;
    SELECT amname FROM pg_catalog.pg_am WHERE amtype = 't';`)
  const [user, isSuperuser, isRds] = who?.rows[0] ?? []
  const list = allowed?.rows[0]?.[0] ?? ''
  return {
    major: client.major,
    user: user ?? '',
    isSuperuser: isSuperuser === 't',
    isRds: isRds === 't',
    roles: new Map(roles?.rows.map(([name, member]) => [name ?? '', member === 't'])),
    extensions: new Map(extensions?.rows.map(([name, version]) => [name ?? '', version ?? ''])),
    extensionsAllowed: list === '' ? null : new Set(list.split(',').map((name) => name.trim())),
    tablespaces: new Set(tablespaces?.rows.map(([name]) => name ?? '')),
    accessMethods: new Set(methods?.rows.map(([name]) => name ?? '')),
  }
}
