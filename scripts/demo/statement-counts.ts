/**
 * What each database says it answered for the application, by pg_stat_statements: not what the
 * sidecar believes it sent there.
 */
import type { PostgresServer } from '../../test/support/postgres.ts'
import type { Side } from '../../src/shared/side.ts'
import type { Databases } from './databases.ts'
import { applicationRole, databaseName } from './schema.ts'

/**
 * `report`: reads of the back office, free to go to either side.
 * `own`: an order looked up by the session that has just written it; must see its own write.
 */
export type StatementKind = 'report' | 'own' | 'write'
export type StatementCounts = Readonly<Record<StatementKind, Readonly<Record<Side, number>>>>

export async function countStatements(databases: Databases): Promise<StatementCounts> {
  const [source, target] = await Promise.all([
    countSide(databases.source),
    countSide(databases.target),
  ])
  const pair = (kind: StatementKind) => ({ source: source[kind], target: target[kind] })
  return { report: pair('report'), own: pair('own'), write: pair('write') }
}

export function subtract(later: StatementCounts, earlier: StatementCounts): StatementCounts {
  const pair = (kind: StatementKind) => ({
    source: later[kind].source - earlier[kind].source,
    target: later[kind].target - earlier[kind].target,
  })
  return { report: pair('report'), own: pair('own'), write: pair('write') }
}

/** Share of the target in percent; undefined when nothing was counted. */
export function targetPercent(counts: Readonly<Record<Side, number>>): number | undefined {
  const all = counts.source + counts.target
  return all === 0 ? undefined : (100 * counts.target) / all
}

/** Whoever logs in for a read on the target acts as the application's role. */
async function countSide(server: PostgresServer): Promise<Record<StatementKind, number>> {
  const rows = await server.query<{ query: string; calls: string }>(
    `SELECT s.query, s.calls::text FROM pg_stat_statements s
     JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = s.userid
     WHERE d.datname = $1 AND r.rolname = $2`,
    'postgres',
    [databaseName, applicationRole],
  )
  const counts = { report: 0, own: 0, write: 0 }
  for (const { query, calls } of rows) {
    const kind = kindOf(query)
    if (kind !== undefined) counts[kind] += Number(calls)
  }
  return counts
}

/** Undefined for what is not the shop's. */
export function kindOf(query: string): StatementKind | undefined {
  if (/^\s*(?:INSERT INTO|UPDATE) (?:orders|order_items|accounts|transfers)\b/.test(query))
    return 'write'
  if (/^\s*SELECT status, total FROM orders WHERE id/.test(query)) return 'own'
  if (/^\s*SELECT (?:o\.id, o\.status|status, count)/.test(query)) return 'report'
  return undefined
}
