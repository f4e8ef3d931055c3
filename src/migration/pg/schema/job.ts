/**
 * `pontoon schema`: roles and Pontoon's own tables on both sides, then the application's roles and
 * the definitions of one section from the source to the target. May run again at any time.
 */
import type { ServiceConfig } from '../../../config/schema.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { makeScramVerifier } from '../../../net/pg/scram.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { sides, type Side } from '../../../shared/side.ts'
import { readMark, type Mark } from '../control-schema.ts'
import { fence, isFenced } from '../fence.ts'
import { readFindings } from '../findings.ts'
import { literal } from '../quote.ts'
import { connectAs, databaseOf, purposes, roleOf, type MigrationContext } from '../side-login.ts'
import { accessTo, connectTo, type Admins } from './access.ts'
import { hasOwner } from './entry-name.ts'
import { withoutGrantsTo } from './grants.ts'
import { applyEntries } from './apply.ts'
import { createBesideOthers, runBesideOthers } from './beside-others.ts'
import type { DumpEntry } from './archive.ts'
import { compareByDump, compareByName, type Compare } from './compare.ts'
import {
  createRoleSql,
  laterStatements,
  membershipStatements,
  ownRoles as namesOf,
  privilegeStatements,
  schemaStatements,
  type SideRoles,
} from './own-roles.ts'
import { canDump, dumpDefinitions, requireDumpOf, type PgDump } from './pg-dump.ts'
import type { ObjectReport, RefusedStatement, SchemaReport } from './report.ts'
import type { RoleStatement } from './role-sql.ts'
import { mapRoles, openPublicSchema, type RoleMap } from './role-map.ts'
import { selectEntries } from './select.ts'
import { readSourceRoles, type SourceRoles } from './source-roles.ts'
import { readTargetFacts } from './target-facts.ts'

export interface SchemaJob {
  readonly context: MigrationContext
  /** Other services that Pontoon knows of, which may have databases on the same servers. */
  readonly others: readonly ServiceConfig[]
  readonly admins: Admins
  readonly pgDump: PgDump
  readonly part: SchemaReport['part']
  readonly isDryRun: boolean
  /** Written where there is none. */
  readonly mark: Mark
  readonly signal: AbortSignal
  readonly progress: (done: number, total: number, name: string) => void
}

type Clients = Readonly<Record<Side, SqlClient>>

/** Rejects with MIGRATION_REFUSED, ABORTED, or what keeps it from a side. */
export async function runSchema(job: SchemaJob): Promise<SchemaReport> {
  const source = await connectTo(accessTo(job.context, job.admins, 'source'))
  try {
    const target = await connectTo(accessTo(job.context, job.admins, 'target'))
    try {
      return await withClients(job, { source, target })
    } finally {
      target.close()
    }
  } finally {
    source.close()
  }
}

async function withClients(job: SchemaJob, clients: Clients): Promise<SchemaReport> {
  requireDumpOf(job.pgDump, clients.source.major)
  const refusedFirst: RefusedStatement[] = []
  for (const side of job.isDryRun ? [] : sides) {
    job.signal.throwIfAborted()
    refusedFirst.push(...(await prepareSide(job, clients[side], side)))
  }
  const entries = await dumpOf(job, 'source')
  const owners = new Set(entries.filter(hasOwner).map(({ owner }) => owner))
  const sourceRoles = await readSourceRoles(clients.source, {
    configured: applicationRoles(job.context, 'source'),
    own: [...rolesOfPontoon(job.context), ...rolesOfOthers(job.others)],
  })
  const roles = await mapApplicationRoles(job, clients.target, sourceRoles, owners)
  const notes: string[] = []
  const { exclude } = job.context.config.migration
  const findings =
    job.part === 'pre-data' ? await readFindings(clients.source, clients.target, exclude) : []
  const objects = await moveDefinitions(job, clients, entries, roles, notes)
  const { isDryRun } = job
  const opened = await openPublicSchema({ target: clients.target, source: sourceRoles, isDryRun })
  const refused = await finishRoles(job, clients.target, refusedFirst)
  if (!job.isDryRun) notes.push(...(await fenceTarget(job, refused)))
  return {
    service: job.context.service,
    part: job.part,
    isDryRun: job.isDryRun,
    objects: [...roles.reports, ...objects, ...opened],
    refused,
    findings,
    notes,
  }
}

/** Now that the tables are there. What was tried before and is tried again counts only once. */
async function finishRoles(
  { context, isDryRun }: SchemaJob,
  target: SqlClient,
  before: readonly RefusedStatement[],
): Promise<readonly RefusedStatement[]> {
  if (isDryRun) return before
  const statements = laterStatements(sideRoles(context, 'target'))
  const again = new Set(statements.map(({ sql }) => sql))
  return [
    ...before.filter(({ side, sql }) => side === 'source' || !again.has(sql)),
    ...(await runStatements(target, 'target', statements)),
  ]
}

/** From now on a stray write there would be lost, or found its way back to the source. */
async function fenceTarget(
  { context, admins }: SchemaJob,
  refused: readonly RefusedStatement[],
): Promise<readonly string[]> {
  if (refused.length > 0) {
    return [
      'The target is not fenced yet: nothing keeps other writers out of it. Run what was refused, ' +
        'then pontoon schema once more.',
    ]
  }
  const control = await connectAs(context, { side: 'target', purpose: 'control', task: 'schema' })
  try {
    const mark = await readMark(control)
    if (mark?.primary !== 'source' || (await isFenced(control))) return []
    const roles = sideRoles(context, 'target')
    const admin = admins.target?.user
    const ownRoles = [...namesOf(roles), ...(admin === undefined ? [] : [admin])]
    const { database, application } = roles
    await fence(control, { database, ownRoles, applicationRoles: application })
    return [`The target is fenced: only ${ownRoles.join(', ')} may connect until the cutover.`]
  } catch (thrown) {
    const { code, message } = toPontoonError(thrown)
    if (code !== 'MIGRATION_REFUSED') throw thrown
    return [`The target is not fenced yet: ${message}. Then run pontoon schema once more.`]
  } finally {
    control.close()
  }
}

/** As the configuration has them. Throws CONFIG_INVALID. */
export function sideRoles(context: MigrationContext, side: Side): SideRoles {
  const [control, replication, read] = purposes.map(
    (purpose) => roleOf(context.config, side, purpose).user,
  )
  return {
    side,
    database: databaseOf(context, side),
    control: control ?? '',
    replication: replication ?? '',
    read: read ?? '',
    application: applicationRoles(context, side),
  }
}

/** Whom the application's clients are on that side. */
function applicationRoles({ config }: MigrationContext, side: Side): readonly string[] {
  const users = Object.entries(config.users ?? {}).map(([name, entry]) => entry[side]?.user ?? name)
  const own = config[side].user
  return [...new Set([...users, ...(own === undefined ? [] : [own])])]
}

async function prepareSide(
  { context, mark }: SchemaJob,
  client: SqlClient,
  side: Side,
): Promise<readonly RefusedStatement[]> {
  const roles = sideRoles(context, side)
  const { rows } = await client.query('SELECT rolname FROM pg_catalog.pg_roles')
  const there = new Set(rows.map(([name]) => name))
  const missing = namesOf(roles).filter((name) => !there.has(name))
  const created: RefusedStatement[] = []
  for (const role of missing) {
    const sql = createRoleSql(role, await passwordFor(context, side, role))
    const shown = createRoleSql(role, ":'password'")
    const why = `${role} does Pontoon's work`
    try {
      await createBesideOthers(client, sql)
    } catch (thrown) {
      created.push({ side, why, sql: shown, error: refusalOf(thrown) })
    }
  }
  if (created.length > 0) return created
  return await runStatements(client, side, [
    ...privilegeStatements(roles),
    ...membershipStatements(roles),
    ...schemaStatements(roles, mark),
  ])
}

/** A verifier, so that no log of the server ever has the password. */
async function passwordFor(
  context: MigrationContext,
  side: Side,
  role: string,
): Promise<string | null> {
  const purpose = purposes.find((one) => roleOf(context.config, side, one).user === role)
  const place = roleOf(context.config, side, purpose ?? 'control')
  const { host, port } = context.config[side]
  const secret = context.secrets.of(place, { host, port, user: role })
  // A token of IAM is no password.
  if (secret === undefined || place.auth !== undefined) return null
  const password = typeof secret === 'string' ? secret : await secret.get()
  const { iterations, salt, storedKey, serverKey } = await makeScramVerifier(password)
  const [saltText, stored, server] = [salt, storedKey, serverKey].map((key) =>
    key.toString('base64'),
  )
  return literal(`SCRAM-SHA-256$${iterations}:${saltText}$${stored}:${server}`)
}

async function runStatements(
  client: SqlClient,
  side: Side,
  statements: readonly RoleStatement[],
): Promise<readonly RefusedStatement[]> {
  const refused: RefusedStatement[] = []
  for (const { why, sql } of statements) {
    try {
      await runBesideOthers(client, sql)
    } catch (thrown) {
      refused.push({ side, why, sql, error: refusalOf(thrown) })
    }
  }
  return refused
}

/** In the server's words. Throws what is none. */
function refusalOf(thrown: unknown): string {
  if (!hasSqlstate(thrown, '')) throw thrown
  return toPontoonError(thrown).message
}

async function dumpOf(job: SchemaJob, side: Side): Promise<readonly DumpEntry[]> {
  const { context, admins, pgDump, signal } = job
  const { entries } = await dumpDefinitions(pgDump, accessTo(context, admins, side), signal)
  return withoutGrantsTo(rolesOfPontoon(context), entries)
}

/** On either side. One that is also the application's is not among them. */
function rolesOfPontoon(context: MigrationContext): ReadonlySet<string> {
  const own = new Set(sides.flatMap((side) => namesOf(sideRoles(context, side))))
  for (const name of sides.flatMap((side) => applicationRoles(context, side))) own.delete(name)
  return own
}

function rolesOfOthers(others: readonly ServiceConfig[]): readonly string[] {
  return others
    .flatMap(({ source, target }) => [source, target])
    .flatMap((side) => [side.controlUser, side.replicationUser, side.readUser])
    .flatMap((role) => role?.user ?? [])
}

async function mapApplicationRoles(
  { context, isDryRun }: SchemaJob,
  target: SqlClient,
  source: SourceRoles,
  owners: ReadonlySet<string>,
): Promise<RoleMap> {
  return await mapRoles({
    target,
    facts: await readTargetFacts(target),
    source,
    owners,
    own: rolesOfPontoon(context),
    database: databaseOf(context, 'target'),
    isDryRun,
  })
}

async function moveDefinitions(
  job: SchemaJob,
  clients: Clients,
  entries: readonly DumpEntry[],
  roles: RoleMap,
  notes: string[],
): Promise<readonly ObjectReport[]> {
  const { context, part, signal } = job
  const { kept, leftOut } = selectEntries(entries, {
    section: part,
    exclude: new Set(context.config.migration.exclude),
    target: roles.facts,
    nativeFunctions: await readNativeFunctions(clients.source),
  })
  const compare = await comparison(job, clients, roles, kept)
  notes.push(...placeNotes(kept, roles))
  const applied = await applyEntries(kept, {
    client: clients.target,
    facts: roles.facts,
    compare,
    ownerOnTarget: roles.ownerOnTarget,
    isDryRun: job.isDryRun,
    signal,
    progress: job.progress,
  })
  if (applied.some(({ state }) => state === 'not-compared')) notes.push(...dumpNotes(job, clients))
  return [...applied, ...leftOut]
}

function dumpNotes({ pgDump }: SchemaJob, { target }: Clients): readonly string[] {
  if (canDump(pgDump, target.major)) return []
  return [
    `pg_dump ${pgDump.major} cannot read the target, which is ${target.major}: of objects that ` +
      'are there already only the columns of tables are compared. A newer pg_dump (--pg-dump) ' +
      'compares all.',
  ]
}

async function comparison(
  job: SchemaJob,
  { source, target }: Clients,
  roles: RoleMap,
  kept: readonly DumpEntry[],
): Promise<Compare> {
  if (!canDump(job.pgDump, target.major)) return await compareByName(source, target, kept)
  return compareByDump({
    target: await dumpOf(job, 'target'),
    isSameMajor: source.major === target.major,
    ownerOnTarget: roles.ownerOnTarget,
  })
}

async function readNativeFunctions(source: SqlClient): Promise<ReadonlySet<number>> {
  const { rows } = await source.query(
    `SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE l.lanname IN ('c', 'internal') AND p.oid >= 16384`,
  )
  return new Set(rows.map(([oid]) => Number(oid)))
}

function each(names: readonly string[], text: (name: string) => string): readonly string[] {
  return [...new Set(names)].toSorted().map(text)
}

/** What goes elsewhere than on the source. */
function placeNotes(kept: readonly DumpEntry[], { facts, ownerOnTarget }: RoleMap): string[] {
  const tablespaces = kept
    .map(({ tablespace }) => tablespace)
    .filter((name) => name !== '' && !facts.tablespaces.has(name))
  const methods = kept
    .map(({ accessMethod }) => accessMethod)
    .filter((name) => name !== '' && !facts.accessMethods.has(name))
  const owners = kept
    .filter((entry) => hasOwner(entry) && ownerOnTarget(entry.owner) !== entry.owner)
    .map(({ owner }) => owner)
  return [
    ...each(
      tablespaces,
      (name) => `The target has no tablespace ${name}: its default one is used.`,
    ),
    ...each(methods, (name) => `The target has no table access method ${name}: heap is used.`),
    ...each(
      owners,
      (name) =>
        `What ${name} owns on the source belongs to ${ownerOnTarget(name)} on the target, where ` +
        'that role cannot be given.',
    ),
  ]
}
