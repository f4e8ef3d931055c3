/**
 * The application's roles on the target: made where they are missing, without a password, with what
 * attributes, memberships and settings the target allows. It is the fence that keeps them out.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { identifier, literal } from '../quote.ts'
import { createBesideOthers, runBesideOthers } from './beside-others.ts'
import type { ObjectReport } from './report.ts'
import {
  readSettings,
  type SourceRole,
  type SourceRoles,
  type StoredSetting,
} from './source-roles.ts'
import { readTargetFacts, type TargetFacts } from './target-facts.ts'

export interface RoleMapOptions {
  readonly target: SqlClient
  readonly facts: TargetFacts
  readonly source: SourceRoles
  /** Roles that own what is moved. */
  readonly owners: ReadonlySet<string>
  /** Pontoon's own roles on either side: no business of the application's. */
  readonly own: ReadonlySet<string>
  readonly database: string
  readonly isDryRun: boolean
}

export interface RoleMap {
  readonly reports: readonly ObjectReport[]
  /** With the roles that there are now; in a dry run, that there would be. */
  readonly facts: TargetFacts
  /** `pontoon_owner` where the target has no such role, or does not let it be given. */
  readonly ownerOnTarget: (role: string) => string
}

export async function mapRoles(options: RoleMapOptions): Promise<RoleMap> {
  const { target, facts, source, own, isDryRun } = options
  const reports: ObjectReport[] = []
  const wanted = source.roles.filter(({ name }) => !own.has(name))
  const made = new Set<string>()
  for (const role of wanted) {
    if (facts.roles.has(role.name)) continue
    const sql = createRole(role, facts).join('\n')
    const report = await attempt(options, 'ROLE', role.name, leftOutAttributes(role, facts), sql)
    reports.push(report)
    if (report.state !== 'equal') made.add(role.name)
  }
  for (const role of wanted) {
    if (facts.isSuperuser || facts.roles.get(role.name) === true || made.has(role.name)) continue
    if (isDryRun) continue
    // Without it, nothing could be given to that role.
    await quietly(target, `GRANT ${identifier(role.name)} TO CURRENT_USER`)
  }
  const ownerOnTarget = await ownersBy(options, made)
  const now = isDryRun
    ? {
        ...facts,
        roles: new Map([...facts.roles, ...[...made].map((name) => [name, true] as const)]),
      }
    : await readTargetFacts(target)
  for (const sql of await missingMemberships(options, wanted, now))
    reports.push(await attempt(options, 'PRIVILEGE', sql, '', sql))
  reports.push(...(await mapSettings(options, now)), ...(await mapGrants(options, now)))
  return {
    reports,
    facts: now,
    ownerOnTarget,
  }
}

/** Owner of what nobody else can own, so that apply workers and the control role can share it. */
const ownerOfRest = 'pontoon_owner'

async function ownersBy(
  { target, facts, owners, isDryRun }: RoleMapOptions,
  made: ReadonlySet<string>,
): Promise<RoleMap['ownerOnTarget']> {
  const { roles, user } = isDryRun ? facts : await readTargetFacts(target)
  // From 16 on nobody but a superuser can let others share himself.
  const canShare = (name: string): boolean =>
    roles.get(name) === true && (facts.major < 16 || name !== user)
  const canOwn = (name: string): boolean =>
    made.has(name) || (facts.isSuperuser ? roles.has(name) : canShare(name))
  if ([...owners].every(canOwn)) return (name) => name
  if (!isDryRun && !roles.has(ownerOfRest)) {
    const name = identifier(ownerOfRest)
    await createBesideOthers(target, `CREATE ROLE ${name} NOLOGIN; GRANT ${name} TO CURRENT_USER`)
    // What a superuser's views and functions reached, these must reach still.
    for (const other of [...owners].filter(canOwn))
      await quietly(target, `GRANT ${identifier(other)} TO ${name}`)
  }
  return (name) => (name === '' || canOwn(name) ? name : ownerOfRest)
}

function createRole(role: SourceRole, facts: TargetFacts): readonly string[] {
  const name = identifier(role.name)
  const words = [
    role.login && !role.isBootstrap ? 'LOGIN' : 'NOLOGIN',
    ...(role.inherit ? [] : ['NOINHERIT']),
    ...(role.createdb && !role.isBootstrap ? ['CREATEDB'] : []),
    ...(role.createrole && !role.isBootstrap ? ['CREATEROLE'] : []),
    ...(role.replication && facts.isSuperuser ? ['REPLICATION'] : []),
    ...(role.bypassrls && facts.isSuperuser ? ['BYPASSRLS'] : []),
    ...(role.connectionLimit < 0 ? [] : [`CONNECTION LIMIT ${role.connectionLimit}`]),
    ...(role.validUntil === null ? [] : [`VALID UNTIL ${literal(role.validUntil)}`]),
  ]
  return [
    `CREATE ROLE ${name} ${words.join(' ')};`,
    // From 16 on the maker of a role may give it to others, but not act as it.
    ...(facts.isSuperuser ? [] : [`GRANT ${name} TO CURRENT_USER;`]),
  ]
}

function leftOutAttributes(role: SourceRole, facts: TargetFacts): string {
  const lost = [
    ...(role.super ? ['SUPERUSER'] : []),
    ...(role.replication && !facts.isSuperuser ? ['REPLICATION'] : []),
    ...(role.bypassrls && !facts.isSuperuser ? ['BYPASSRLS'] : []),
  ]
  return [
    ...(role.login && !role.isBootstrap
      ? ['no password: set one before the cutover, from another database (this one is read-only)']
      : []),
    ...lost.map((attribute) => `no ${attribute}`),
  ].join(', ')
}

async function missingMemberships(
  { target, own }: RoleMapOptions,
  wanted: readonly SourceRole[],
  now: TargetFacts,
): Promise<readonly string[]> {
  const { rows } = await target.query(
    `SELECT pg_catalog.pg_get_userbyid(member), pg_catalog.pg_get_userbyid(roleid)
     FROM pg_catalog.pg_auth_members`,
  )
  const there = new Set(rows.map((row) => JSON.stringify(row)))
  return wanted.flatMap(({ name, memberOf }) =>
    memberOf
      .filter(({ role }) => now.roles.has(role) && now.roles.has(name) && !own.has(role))
      .filter(({ role }) => !there.has(JSON.stringify([name, role])))
      .map(
        ({ role, admin }) =>
          `GRANT ${identifier(role)} TO ${identifier(name)}${admin ? ' WITH ADMIN OPTION' : ''}`,
      ),
  )
}

/** Moves with the fence, never with the schema. */
const fenceSetting = 'default_transaction_read_only='
/** Lists of names, which the catalogue keeps quoted already. */
const listSettings = /^(?:search_path|temp_tablespaces)$/

async function mapSettings(
  options: RoleMapOptions,
  now: TargetFacts,
): Promise<readonly ObjectReport[]> {
  const { target, source, database, own } = options
  const there = new Map((await readSettings(target)).map((one) => [settingKey(one), one.setting]))
  const roles = new Set(source.roles.map(({ name }) => name))
  const reports: ObjectReport[] = []
  for (const one of source.settings) {
    const { role, inDatabase, setting } = one
    if (setting.startsWith(fenceSetting)) continue
    if (role !== null && (own.has(role) || !roles.has(role) || !now.roles.has(role))) continue
    const where = role === null ? 'database' : `role ${role}${inDatabase ? ' in database' : ''}`
    const name = `${where}: ${setting}`
    const present = there.get(settingKey(one))
    if (present === undefined) {
      const sql = alterSetting(one, database)
      reports.push(await attempt(options, 'SETTING', name, '', sql))
    } else if (present === setting)
      reports.push({ kind: 'SETTING', name, state: 'equal', reason: '' })
    else reports.push({ kind: 'SETTING', name, state: 'differs', reason: `target has ${present}` })
  }
  return reports
}

function settingKey({ role, inDatabase, setting }: StoredSetting): string {
  return JSON.stringify([role, inDatabase, setting.split('=')[0]])
}

function alterSetting({ role, inDatabase, setting }: StoredSetting, database: string): string {
  const at = setting.indexOf('=')
  const name = setting.slice(0, at)
  const value = setting.slice(at + 1)
  const place = `DATABASE ${identifier(database)}`
  const subject =
    role === null ? place : `ROLE ${identifier(role)}${inDatabase ? ` IN ${place}` : ''}`
  const shown = listSettings.test(name) && value !== '' ? value : literal(value)
  return `ALTER ${subject} SET ${name.split('.').map(identifier).join('.')} TO ${shown}`
}

async function mapGrants(
  options: RoleMapOptions,
  now: TargetFacts,
): Promise<readonly ObjectReport[]> {
  const { target, source, database, own, isDryRun } = options
  const reports: ObjectReport[] = []
  for (const { role, privilege } of source.databaseGrants) {
    if (own.has(role) || !now.roles.has(role)) continue
    const sql = `GRANT ${privilege} ON DATABASE ${identifier(database)} TO ${identifier(role)}`
    const check = `SELECT pg_catalog.has_database_privilege(${literal(role)}, ${literal(database)}, '${privilege}')`
    const has = isDryRun && !options.facts.roles.has(role) ? 'f' : await target.value(check)
    if (has === 't') reports.push({ kind: 'PRIVILEGE', name: sql, state: 'equal', reason: '' })
    else reports.push(await attempt(options, 'PRIVILEGE', sql, '', sql))
  }
  return reports
}

/**
 * After the grants of the dump: a pg_dump from 15 on has this one among those of the schema, and a
 * schema that has got it already would count as different there.
 */
export async function openPublicSchema(
  options: Pick<RoleMapOptions, 'target' | 'source' | 'isDryRun'>,
): Promise<readonly ObjectReport[]> {
  const { target, source } = options
  if (!source.mayAllCreateInPublic) return []
  const open = `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n
    CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')`
  const sql = 'GRANT CREATE ON SCHEMA public TO PUBLIC'
  const why = 'as on the source, where it is the default until PostgreSQL 14'
  if ((await target.value(open)) === 't')
    return [{ kind: 'PRIVILEGE', name: sql, state: 'equal', reason: '' }]
  return [await attempt(options, 'PRIVILEGE', sql, why, sql)]
}

async function attempt(
  { target, isDryRun }: Pick<RoleMapOptions, 'target' | 'isDryRun'>,
  kind: string,
  name: string,
  reason: string,
  sql: string,
): Promise<ObjectReport> {
  if (isDryRun) return { kind, name, state: 'created', reason }
  try {
    const isMade = await createBesideOthers(target, sql)
    return isMade
      ? { kind, name, state: 'created', reason }
      : { kind, name, state: 'equal', reason: '' }
  } catch (thrown) {
    if (!hasSqlstate(thrown, '')) throw thrown
    return { kind, name, state: 'failed', reason: toPontoonError(thrown).message }
  }
}

async function quietly(client: SqlClient, sql: string): Promise<void> {
  try {
    await runBesideOthers(client, sql)
  } catch (thrown) {
    if (!hasSqlstate(thrown, '')) throw thrown
  }
}
