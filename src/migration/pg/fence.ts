/**
 * The fence keeps application writers out of a side that is not primary: sessions begin read-only,
 * nobody but Pontoon's own roles may connect, and whoever is connected is ended. Apply workers
 * pass: `default_transaction_read_only` does not bind them, and the role that owns subscriptions
 * keeps CONNECT.
 *
 * CONNECT is taken from everyone in the ACL of the database instead of LOGIN from the roles, since
 * roles belong to the whole cluster and may have work in other databases. Superusers pass an ACL,
 * so application roles that are superusers lose LOGIN too.
 *
 * Fence and prior state change in one transaction of the fenced database itself: `pontoon.fence`
 * has a row exactly while the fence stands, so no crash can leave one without the other.
 */
import { z } from 'zod'
import type { RestingBackend } from '../../net/pg/held-backends.ts'
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { PontoonError } from '../../shared/errors.ts'
import { identifier, literal } from './quote.ts'

export interface FenceSpec {
  readonly database: string
  /** Keep CONNECT and are not ended: control, replication, read. */
  readonly ownRoles: readonly string[]
  /** Of the application on this side; the superusers among them lose LOGIN. */
  readonly applicationRoles: readonly string[]
}

const priorSchema = z.object({
  /** Grantees of CONNECT, null for PUBLIC. */
  connect: z.array(z.object({ role: z.string().nullable(), grantable: z.boolean() })),
  /** `default_transaction_read_only` of the database, null when not set. */
  readOnly: z.string().nullable(),
  /** Superusers whose LOGIN was taken. */
  login: z.array(z.string()),
  /** Our own roles that this side has; those named for both may be on the other one only. */
  own: z.array(z.string()).default([]),
})

/** What the fence has to restore. */
export type FencePrior = z.infer<typeof priorSchema>

const connectSql = `SELECT COALESCE(json_agg(json_build_object(
    'role', CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
    'grantable', a.is_grantable)), '[]')
  FROM pg_catalog.pg_database d
  CROSS JOIN LATERAL pg_catalog.aclexplode(
    COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
  WHERE d.datname = $1 AND a.privilege_type = 'CONNECT'`

const readOnlySql = `SELECT split_part(s, '=', 2) FROM pg_catalog.pg_database d
  JOIN pg_catalog.pg_db_role_setting r ON r.setdatabase = d.oid AND r.setrole = 0
  CROSS JOIN LATERAL unnest(r.setconfig) s
  WHERE d.datname = $1 AND s LIKE 'default_transaction_read_only=%'`

const existingSql =
  'SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY ($1::text[]) ORDER BY 1'

const superusersSql = `SELECT rolname FROM pg_catalog.pg_roles
  WHERE rolsuper AND rolcanlogin AND rolname = ANY ($1::text[])`

export async function isFenced(client: SqlClient, options: SqlOptions = {}): Promise<boolean> {
  const ask = (sql: string): Promise<string | null> => client.value(sql, undefined, options)
  if ((await ask("SELECT pg_catalog.to_regclass('pontoon.fence')")) === null) return false
  return (await ask('SELECT count(*) FROM pontoon.fence')) === '1'
}

const elsewhereSql = `SELECT DISTINCT usename || ' in ' || datname
  FROM pg_catalog.pg_stat_activity
  WHERE backend_type = 'client backend' AND usename = ANY ($1::text[])
    AND datname <> pg_catalog.current_database() ORDER BY 1`

/**
 * What is there now, for `fenceSql`. Reading it ahead keeps it out of the pause. Rejects with
 * MIGRATION_REFUSED where a superuser that would lose LOGIN is at work in other databases: those of
 * other services, whose clients would be kept out as well.
 */
export async function readPrior(client: SqlClient, spec: FenceSpec): Promise<FencePrior> {
  const { rows } = await client.query(superusersSql, [arrayLiteral(spec.applicationRoles)])
  const busy = await client.query(elsewhereSql, [arrayLiteral(rows.map(([role]) => role ?? ''))])
  if (busy.rows.length > 0)
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `${client.where}: a fence takes LOGIN from the application's roles that are superusers, and ` +
        `these are at work in other databases: ${busy.rows.map(([text]) => text).join(', ')}; let ` +
        'the application of each service use a role of its own that is no superuser',
    )
  const own = await client.query(existingSql, [arrayLiteral(spec.ownRoles)])
  return priorSchema.parse({
    connect: JSON.parse((await client.value(connectSql, [spec.database])) ?? '[]'),
    readOnly: await client.value(readOnlySql, [spec.database]),
    login: rows.map(([role]) => role ?? ''),
    own: own.rows.map(([role]) => role ?? ''),
  })
}

/** One transaction; a fence that stands already keeps its first prior state. */
export function fenceSql(spec: FenceSpec, prior: FencePrior): string {
  const database = identifier(spec.database)
  const own = new Set(spec.ownRoles)
  const others = prior.connect.filter(({ role }) => role === null || !own.has(role))
  return [
    `INSERT INTO pontoon.fence (prior) VALUES (${literal(JSON.stringify(prior))})
       ON CONFLICT (singleton) DO NOTHING`,
    ...prior.own.map((role) => `GRANT CONNECT ON DATABASE ${database} TO ${identifier(role)}`),
    ...others.map(({ role }) => `REVOKE CONNECT ON DATABASE ${database} FROM ${grantee(role)}`),
    ...prior.login.map((role) => `ALTER ROLE ${identifier(role)} NOLOGIN`),
    `ALTER DATABASE ${database} SET default_transaction_read_only = on`,
  ].join(';\n')
}

/** Fences the side and ends the sessions of everyone else. Idempotent. */
export async function fence(
  client: SqlClient,
  spec: FenceSpec,
  options: SqlOptions = {},
): Promise<void> {
  await client.run(fenceSql(spec, await readPrior(client, spec)), options)
  await endOthers(client, spec, options)
}

/** One transaction that restores what was there; nothing where there is no fence. */
export async function unfenceSql(
  client: SqlClient,
  spec: FenceSpec,
  options: SqlOptions = {},
): Promise<string | null> {
  if (!(await isFenced(client, options))) return null
  const json = await client.value('SELECT prior FROM pontoon.fence', undefined, options)
  const prior = await stillThere(client, priorSchema.parse(JSON.parse(json ?? 'null')), options)
  const database = identifier(spec.database)
  return [
    'DELETE FROM pontoon.fence',
    prior.readOnly === null
      ? `ALTER DATABASE ${database} RESET default_transaction_read_only`
      : `ALTER DATABASE ${database} SET default_transaction_read_only = ${literal(prior.readOnly)}`,
    ...prior.connect.map(
      ({ role, grantable }) =>
        `GRANT CONNECT ON DATABASE ${database} TO ${grantee(role)}` +
        (grantable && role !== null ? ' WITH GRANT OPTION' : ''),
    ),
    ...prior.login.map((role) => `ALTER ROLE ${identifier(role)} LOGIN`),
  ].join(';\n')
}

/** Roles may have been dropped since: the fence took the grant that would have refused that. */
async function stillThere(
  client: SqlClient,
  prior: FencePrior,
  options: SqlOptions,
): Promise<FencePrior> {
  const names = [...prior.connect.flatMap(({ role }) => role ?? []), ...prior.login]
  const { rows } = await client.query(existingSql, [arrayLiteral(names)], options)
  const present = new Set(rows.map(([role]) => role))
  return {
    ...prior,
    connect: prior.connect.filter(({ role }) => role === null || present.has(role)),
    login: prior.login.filter((role) => present.has(role)),
  }
}

export async function unfence(
  client: SqlClient,
  spec: FenceSpec,
  options: SqlOptions = {},
): Promise<void> {
  const sql = await unfenceSql(client, spec, options)
  if (sql !== null) await client.run(sql, options)
}

/**
 * Client backends of this database that are not our own roles'. One that is still connecting shows
 * in no statistics yet, but holds a lock on the database (InitPostgres in the server's source).
 */
const othersSql = `WITH ours AS (
    SELECT pid FROM pg_catalog.pg_stat_activity
    WHERE backend_type <> 'client backend' OR usename = ANY ($1::text[])
      OR usename IN ('rdsadmin', 'rdsrepladmin')
      OR (pid, client_port) IN (SELECT * FROM ROWS FROM (
        pg_catalog.unnest($2::int[]), pg_catalog.unnest($3::int[]))))
  SELECT pid FROM pg_catalog.pg_stat_activity
  WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
    AND pid NOT IN (SELECT pid FROM ours)
  UNION
  SELECT l.pid FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_database d ON d.oid = l.objid AND d.datname = pg_catalog.current_database()
  WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
    AND l.pid IS NOT NULL AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.pid NOT IN (SELECT pid FROM ours)`

const endTimeoutMs = 4_000

/**
 * Ends them, but for those of `spared`, and looks again until none is left. Rejects with SQL_TIMEOUT
 * when some stay.
 */
export async function endOthers(
  client: SqlClient,
  { ownRoles }: FenceSpec,
  options: SqlOptions = {},
  spared: readonly RestingBackend[] = [],
): Promise<void> {
  const pids = `{${spared.map(({ pid }) => pid).join(',')}}`
  const ports = `{${spared.map(({ port }) => port).join(',')}}`
  const own = [arrayLiteral(ownRoles), pids, ports]
  const deadlineMs = performance.now() + (options.timeoutMs ?? endTimeoutMs)
  const endSql = `SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM (${othersSql}) o`
  for (;;) {
    const { rows } = await client.query(endSql, own, options)
    if (rows.length === 0) return
    if (performance.now() < deadlineMs) continue
    const left = rows.map(([pid]) => pid).join(', ')
    throw new PontoonError('SQL_TIMEOUT', `${client.where}: backends ${left} do not end`)
  }
}

/**
 * Roles besides our own that may still connect. Not superusers, nor who shares a role of ours and so
 * may do what that may: administrators who have made it, whose sessions begin read-only.
 */
export async function fenceHoles(
  client: SqlClient,
  { database, ownRoles, applicationRoles }: FenceSpec,
  options: SqlOptions = {},
): Promise<readonly string[]> {
  const { rows } = await client.query(
    `SELECT r.rolname FROM pg_catalog.pg_roles r
     WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> ALL ($1::text[])
       AND r.rolname NOT IN ('rdsadmin', 'rdsrepladmin')
       AND pg_catalog.has_database_privilege(r.oid, $2, 'CONNECT')
       AND (r.rolname = ANY ($3::text[]) OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles o
         WHERE o.rolname = ANY ($1::text[]) AND pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE')))
     ORDER BY 1`,
    [arrayLiteral(ownRoles), database, arrayLiteral(applicationRoles)],
    options,
  )
  return rows.map(([role]) => role ?? '')
}

function grantee(role: string | null): string {
  return role === null ? 'PUBLIC' : identifier(role)
}

/** A text[] in its text form. */
export function arrayLiteral(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
}
