/**
 * What in a database makes a migration unsound, or needs to be known: each finding with the object,
 * the reason and what to do. `schema`, `audit` and the preflight of a cutover show the same list.
 * What is looked for stands in findings/.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { sideDifferences } from './findings/side-differences.ts'
import { replicationChecks } from './findings/replication-checks.ts'
import { definitionChecks } from './findings/definition-checks.ts'

/** A blocker loses rows or stops the stream; a warning may; a note is for understanding. */
export type Severity = 'blocker' | 'warning' | 'note'

export interface Finding {
  /** Stable, e.g. `TABLE_WITHOUT_IDENTITY`. */
  readonly code: string
  readonly severity: Severity
  /** As people write it, e.g. `public.orders`; `database` for the whole. */
  readonly object: string
  readonly text: string
  /** Often SQL. Empty where nothing needs to be done. */
  readonly fix: string
}

/** One statement on the source; each row is a finding. */
export interface Check {
  readonly code: string
  readonly severity: Severity
  /** First column: the object. Further ones are for the words. */
  readonly sql: (exclude: readonly string[]) => string
  readonly text: (row: readonly string[]) => string
  readonly fix: (row: readonly string[]) => string
}

const timeoutMs = 120_000
const severities: readonly Severity[] = ['blocker', 'warning', 'note']

/**
 * Without a target, only what the source tells. `exclude` has tables as `schema.table`. Blockers
 * come first. Rejects with SqlError or what keeps it from a side.
 */
export async function readFindings(
  source: SqlClient,
  target: SqlClient | null,
  exclude: readonly string[] = [],
): Promise<readonly Finding[]> {
  const found: Finding[] = []
  for (const check of [...replicationChecks, ...definitionChecks])
    found.push(...(await runCheck(source, check, exclude)))
  if (target !== null) found.push(...(await sideDifferences(source, target)))
  return found.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity))
}

async function runCheck(
  source: SqlClient,
  { code, severity, sql, text, fix }: Check,
  exclude: readonly string[],
): Promise<readonly Finding[]> {
  const { rows } = await source.query(sql(exclude), undefined, { timeoutMs })
  return rows.map((row) => {
    const values = row.map((value) => value ?? '')
    return { code, severity, object: values[0] ?? '', text: text(values), fix: fix(values) }
  })
}
