/** Plain text tables: columns as wide as their widest cell, two spaces between. */
import { displayWidth, padToWidth, printable } from './display-width.ts'

export interface Column {
  readonly heading: string
  readonly align?: 'left' | 'right'
}

const gap = '  '

export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const cleaned = rows.map((row) => row.map(printable))
  const widths = columns.map(({ heading }, at) =>
    Math.max(displayWidth(heading), ...cleaned.map((row) => displayWidth(row[at] ?? ''))),
  )
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, at) => padToWidth(cells[at] ?? '', widths[at] ?? 0, align))
      .join(gap)
      .trimEnd()
  return [line(columns.map(({ heading }) => heading)), ...cleaned.map(line)].join('\n')
}

/** Names on the left, values on the right. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => displayWidth(name)))
  return facts
    .map(([name, value]) => `${padToWidth(name, width)}${gap}${printable(value)}`)
    .join('\n')
}
