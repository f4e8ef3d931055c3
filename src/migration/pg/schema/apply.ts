/**
 * Makes objects on the target, each with its owner in one transaction: so an object is there whole
 * or not at all, whenever the work is cut short, and one that fails does not undo the others.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { identifier, literal } from '../quote.ts'
import type { DumpEntry } from './archive.ts'
import type { Compare } from './compare.ts'
import { hasOwner, qualifiedName } from './entry-name.ts'
import { grantsFor, isGrants } from './grants.ts'
import type { ObjectReport } from './report.ts'
import type { TargetFacts } from './target-facts.ts'

export interface ApplyOptions {
  readonly client: SqlClient
  readonly facts: TargetFacts
  readonly compare: Compare
  readonly ownerOnTarget: (role: string) => string
  readonly isDryRun: boolean
  readonly signal: AbortSignal
  readonly progress: (done: number, total: number, name: string) => void
}

const sessionSql = `
SET search_path = '';
SET check_function_bodies = false;
SET xmloption = content;
SET standard_conforming_strings = on;
SET client_min_messages = warning;
SET row_security = off;
SET lock_timeout = '60s';
SET default_tablespace = '';`

/** An index or a refresh may take long; the signal ends it. */
const statementTimeoutMs = 86_400_000

/** Grants come last, so that none of them hinders what is still to be made (as pg_restore). */
export async function applyEntries(
  entries: readonly DumpEntry[],
  options: ApplyOptions,
): Promise<readonly ObjectReport[]> {
  const { client, isDryRun, signal, progress } = options
  if (!isDryRun) await client.run(sessionSql)
  const order = [...entries.filter((entry) => !isGrants(entry)), ...entries.filter(isGrants)]
  const reports: ObjectReport[] = []
  const failed = new Map<number, string>()
  const created = new Set<number>()
  for (const [index, entry] of order.entries()) {
    signal.throwIfAborted()
    const report = await one(entry, options, failed, created)
    if (report.state === 'failed' || report.state === 'left-out') failed.set(entry.id, report.name)
    if (report.state === 'created') created.add(entry.id)
    reports.push(report)
    progress(index + 1, order.length, report.name)
  }
  return reports
}

async function one(
  entry: DumpEntry,
  options: ApplyOptions,
  failed: ReadonlyMap<number, string>,
  created: ReadonlySet<number>,
): Promise<ObjectReport> {
  const { compare, isDryRun } = options
  const report = (state: ObjectReport['state'], reason = ''): ObjectReport => {
    return { kind: entry.kind, name: qualifiedName(entry), state, reason }
  }
  const presence = compare(entry)
  if (presence.kind === 'differs') return report('differs', presence.detail)
  if (presence.kind === 'equal' || presence.kind === 'not-compared') return report(presence.kind)
  const isNew = presence.kind === 'missing' || entry.dependencies.some((id) => created.has(id))
  const done = isNew ? 'created' : 'equal'
  if (isDryRun) return report(done)
  try {
    await create(entry, options)
    return report(done)
  } catch (thrown) {
    if (!hasSqlstate(thrown, '')) throw thrown
    if (entry.kind === 'EXTENSION' && hasSqlstate(thrown, '42501'))
      return report('left-out', 'the target does not let the restoring role create it')
    const needs = entry.dependencies.flatMap((id) => failed.get(id) ?? [])[0]
    const { message } = toPontoonError(thrown)
    return report(
      'failed',
      needs === undefined ? message : `${message} (needs ${needs}, which is not there)`,
    )
  }
}

async function create(entry: DumpEntry, options: ApplyOptions): Promise<void> {
  const { client, signal } = options
  const limits = { timeoutMs: statementTimeoutMs, signal }
  const statements = statementsOf(entry, options)
  try {
    await client.run(statements.join('\n'), limits)
  } catch (thrown) {
    const owner = options.ownerOnTarget(entry.owner)
    if (!hasSqlstate(thrown, '42501') || entry.schema === '' || owner === '') throw thrown
    // An owner must be allowed to create in the schema at the moment it is made the owner.
    const may = await client.value(
      `SELECT pg_catalog.has_schema_privilege(${literal(owner)}, ${literal(entry.schema)}, 'CREATE')`,
    )
    if (may === 't') throw thrown
    const where = `CREATE ON SCHEMA ${identifier(entry.schema)}`
    const around = [
      `GRANT ${where} TO ${identifier(owner)};`,
      `REVOKE ${where} FROM ${identifier(owner)};`,
    ]
    await client.run([around[0], ...statements, around[1]].join('\n'), limits)
  }
}

/** Several statements sent at once are one transaction. */
export function statementsOf(
  entry: DumpEntry,
  { facts, ownerOnTarget }: Pick<ApplyOptions, 'facts' | 'ownerOnTarget'>,
): readonly string[] {
  const { kind, definition, drop, owner, tablespace, accessMethod } = entry
  if (kind === 'ACL') return grantsFor(definition, facts)
  const before: string[] = []
  if (tablespace !== '' && facts.tablespaces.has(tablespace))
    before.push(`SET LOCAL default_tablespace = ${identifier(tablespace)};`)
  if (accessMethod !== '' && accessMethod !== 'heap' && facts.accessMethods.has(accessMethod))
    before.push(`SET LOCAL default_table_access_method = ${identifier(accessMethod)};`)
  const name = /^DROP ([\s\S]*);\s*$/.exec(drop)?.[1]
  if (!hasOwner(entry) || name === undefined) return [...before, definition]
  return [...before, definition, `ALTER ${name} OWNER TO ${identifier(ownerOnTarget(owner))};`]
}
