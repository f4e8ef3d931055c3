/**
 * The same for columns as table-pairs.ts has for tables: which column of the source belongs to which
 * one of the target, by their numbers in their tables. A partition has numbers of its own.
 */
import type { Table } from './tables.ts'

export interface ColumnPair {
  readonly name: string
  /** Their numbers, which no other column of the table ever gets. */
  readonly source: number
  readonly target: number
}

/** One table on both sides. */
export interface TableOnBoth {
  readonly source: Pick<Table, 'oid' | 'columns'>
  readonly target: Pick<Table, 'oid' | 'columns'>
}

/** Those that are on both sides under one name now. */
export function columnPairsOf({ source, target }: TableOnBoth): readonly ColumnPair[] {
  const there = new Map(target.columns.map(({ name, number }) => [name, number]))
  return source.columns.flatMap(({ name, number }) => {
    const other = there.get(name)
    return other === undefined ? [] : [{ name, source: number, target: other }]
  })
}

/** Of `now`, those whose values may be in the wrong column, be those of another one, or be lost. */
export function mixedColumns(
  known: readonly ColumnPair[],
  now: readonly ColumnPair[],
): readonly ColumnPair[] {
  const before = new Map(known.map((pair) => [numbersOf(pair), pair.name]))
  const sources = new Set(known.map(({ source }) => source))
  const targets = new Set(known.map(({ target }) => target))
  const knownNames = new Set(known.map(({ name }) => name))
  const names = new Set(now.map(({ name }) => name))
  return now.filter((pair) => {
    const { name, source, target } = pair
    const was = before.get(numbersOf(pair))
    if (was !== undefined) return was !== name && (knownNames.has(name) || names.has(was))
    // Made anew on both sides, too: what came between the two is in the one that was dropped.
    return sources.has(source) || targets.has(target) || knownNames.has(name)
  })
}

/** What is to be known from now on. What is mixed stays as it was known before. */
export function columnsToKnow(
  known: readonly ColumnPair[],
  there: TableOnBoth,
): readonly ColumnPair[] {
  const now = columnPairsOf(there)
  const mixed = new Set(mixedColumns(known, now))
  const sure = now.filter((pair) => !mixed.has(pair))
  const numbers = new Set(sure.map(numbersOf))
  const left = known.filter((pair) => !numbers.has(numbersOf(pair)) && !isGone(pair, there))
  return [...sure, ...left].toSorted((a, b) => a.source - b.source || a.target - b.target)
}

/** From both sides, with its name: another one that gets this name has nothing to do with it. */
function isGone(pair: ColumnPair, { source, target }: TableOnBoth): boolean {
  const isThere =
    source.columns.some(({ name, number }) => number === pair.source || name === pair.name) ||
    target.columns.some(({ name, number }) => number === pair.target || name === pair.name)
  return !isThere
}

function numbersOf({ source, target }: ColumnPair): string {
  return `${source} ${target}`
}

export function encodeColumns(pairs: readonly ColumnPair[]): string {
  return JSON.stringify(pairs.map(({ name, source, target }) => [name, source, target]))
}

export function decodeColumns(json: string): readonly ColumnPair[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- encodeColumns() has written it
  const pairs = JSON.parse(json) as readonly (readonly [string, number, number])[]
  return pairs.map(([name, source, target]) => ({ name, source, target }))
}
