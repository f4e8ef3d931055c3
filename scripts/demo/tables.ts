/** The closing tables of the demo as text. Pure. */
import { targetPercent } from './statement-counts.ts'
import type { Latency } from './probe.ts'
import type { OrderCounts, StepResult } from './verdict.ts'

export function closingTables(steps: readonly StepResult[], orders: OrderCounts): string {
  return [
    'Statements as the two databases counted them (pg_stat_statements):',
    '',
    align([
      ['reads', 'requests', 'errors', 'reports', 'of target', 'own reads', 'of target', 'writes'],
      ...steps.map((step) => stepRow(step)),
    ]),
    '',
    'reports: reads of the back office, shifted by percentage (from one second after each shift on).',
    'own reads: an order looked up by the session that has just written it, so by the source.',
    '',
    'Time of one lookup in milliseconds, all in the same run:',
    '',
    latencyTable(steps),
    '',
    `Orders acknowledged ${orders.acknowledged}, on the source ${orders.onSource}, ` +
      `replicated to the target ${orders.onTarget}.`,
  ].join('\n')
}

function stepRow(step: StepResult): string[] {
  const { report, own, write } = step.counts
  return [
    `${step.reads} %`,
    String(step.requests),
    String(step.errors),
    String(report.source + report.target),
    formatPercent(targetPercent(report)),
    String(own.source + own.target),
    formatPercent(targetPercent(own)),
    `${write.source} + ${write.target}`,
  ]
}

/** At 0 % the sidecar reads from the source and at 100 % from the target: each beside its own. */
function latencyTable(steps: readonly StepResult[]): string {
  const rows = [['', 'direct p50', 'p99', 'sidecar p50', 'p99', 'lookups']]
  const toSource = steps.find((step) => step.reads === 0)?.latency
  const toTarget = steps.find((step) => step.reads === 100)?.latency
  if (toSource !== undefined) rows.push(latencyRow('source', toSource.source, toSource.sidecar))
  if (toTarget !== undefined) {
    rows.push(latencyRow('target (TLS)', toTarget.target, toTarget.sidecar))
  }
  return align(rows)
}

function latencyRow(name: string, direct: Latency, sidecar: Latency): string[] {
  const times = [direct.p50Ms, direct.p99Ms, sidecar.p50Ms, sidecar.p99Ms]
  return [name, ...times.map((time) => time?.toFixed(2) ?? '-'), String(sidecar.samples)]
}

export function formatPercent(percent: number | undefined): string {
  return percent === undefined ? '-' : `${percent.toFixed(1)} %`
}

function align(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('   ')}`)
    .join('\n')
}
