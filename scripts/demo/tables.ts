/** The closing tables of the demo as text. Pure. */
import { expectedMoney } from './evidence.ts'
import { targetPercent } from './statement-counts.ts'
import type { Outcome, Stretch } from './verdict.ts'

export function closingTables(outcome: Outcome): string {
  return [
    'Who answered, as the two databases counted it (source + target):',
    '',
    align([
      ['', 'requests', 'errors', 'reads', 'of target', 'reads of own writes', 'writes'],
      ...outcome.stretches.map((stretch) => stretchRow(stretch)),
    ]),
    '',
    'Pauses in milliseconds (longest gap: between two answers that any client of the shop saw):',
    '',
    pausesTable(outcome),
    '',
    'Records of the shop at the end (orders and transfers):',
    '',
    recordsTable(outcome),
  ].join('\n')
}

export function summary({ switches, requests, errors, evidence }: Outcome): string {
  const { source, target } = evidence
  const pauses = switches.map(({ kind, longestGapMs }) => `${kind} ${Math.round(longestGapMs)} ms`)
  return [
    `pauses: ${pauses.join(', ')}`,
    `requests: ${requests}, errors seen by the application: ${errors}`,
    `records lost: ${source.lost + target.lost}, records duplicated: ${source.duplicated + target.duplicated}`,
  ].join('\n')
}

function stretchRow({ name, requests, errors, counts }: Stretch): string[] {
  const { report, own, write } = counts
  return [
    name,
    String(requests),
    String(errors),
    `${report.source} + ${report.target}`,
    formatPercent(targetPercent(report)),
    `${own.source} + ${own.target}`,
    `${write.source} + ${write.target}`,
  ]
}

function pausesTable({ switches, stretches }: Outcome): string {
  const usual = Math.max(0, ...stretches.map(({ longestGapMs }) => longestGapMs))
  return align([
    ['', 'longest gap', 'gate shut', 'errors', 'attempts'],
    ...switches.map(({ kind, longestGapMs, pauseMs, errors, attempts }) => [
      kind,
      String(Math.round(longestGapMs)),
      String(Math.round(pauseMs)),
      String(errors),
      String(attempts),
    ]),
    ['otherwise', String(Math.round(usual)), '', '', ''],
  ])
}

function recordsTable({ evidence }: Outcome): string {
  return align([
    ['', 'acknowledged', 'there', 'lost', 'duplicated', 'money', 'should be', 'unbalanced'],
    ...(['source', 'target'] as const).map((side) => {
      const { acknowledged, stored, lost, duplicated, money, unbalanced } = evidence[side]
      const numbers = [acknowledged, stored, lost, duplicated, money, expectedMoney, unbalanced]
      return [side, ...numbers.map(String)]
    }),
  ])
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
