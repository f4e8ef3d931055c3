/**
 * Which table of the source belongs to which one of the target. Logical replication goes by names:
 * where two tables of one side change theirs, what is changed in each comes into the other one, and
 * no server minds. Hence `pontoon.table_pair` on the target: the two of a name, by their oids, from
 * when they were known to be equal or began to be kept so. A name that has meant others since puts
 * their rows in doubt, also where the other side has followed or it was taken back, until a whole
 * verification has found all of them equal. The same goes for the columns of each: column-pairs.ts.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { columnPairsOf, columnsToKnow, mixedColumns, type TableOnBoth } from './column-pairs.ts'
import type { Direction } from './names.ts'
import { nobody, readPairs, replacePairsSql, type TablePair } from './pair-store.ts'
import { isPublishable } from './publication.ts'
import { qualified, type QualifiedName } from './quote.ts'
import type { Table } from './tables.ts'

/** One that there is now. */
interface PresentPair extends TablePair {
  readonly there: TableOnBoth
}

/** A table whose name has meant another one; or of whose columns these have, where there are any. */
export interface MixedTable extends QualifiedName {
  readonly columns: readonly string[]
}

export interface TablesOfSides {
  readonly sender: readonly Table[]
  readonly receiver: readonly Table[]
}

/** Those that are on both sides under one name now, of tables that are synced. */
export function pairsOf(
  direction: Direction,
  { sender, receiver }: TablesOfSides,
): readonly PresentPair[] {
  const others = new Map(receiver.map((table) => [qualified(table), table]))
  return sender.flatMap((table) => {
    const { schema, name } = table
    const other = others.get(qualified(table))
    if (other === undefined || !isPublishable(table)) return []
    const there =
      direction === 'forward' ? { source: table, target: other } : { source: other, target: table }
    const oids = { source: there.source.oid, target: there.target.oid }
    return [{ schema, name, ...oids, columns: columnPairsOf(there), mixed: null, there }]
  })
}

export interface Pairing {
  /** Whose rows may be in the wrong table or column, be those of another one, or be lost. */
  readonly mixed: readonly MixedTable[]
  /** Has the target remember what was found; null when that is nothing new. */
  readonly noteSql: string | null
}

export async function readPairing(
  target: SqlClient,
  direction: Direction,
  tables: TablesOfSides,
  options?: SqlOptions,
): Promise<Pairing> {
  const { pairs: known, stamp } = await readPairs(target, options)
  const now = pairsOf(direction, tables)
  const [sends, receives] = rolesIn(direction)
  const byReceiver = new Map(known.map((pair) => [pair[receives], pair]))
  const knownNames = new Set(known.filter((pair) => pair[sends] !== nobody).map(qualified))
  const names = new Set(now.map(qualified))
  const mixed: MixedTable[] = []
  const found: TablePair[] = []
  for (const pair of now) {
    const before = byReceiver.get(pair[receives])
    const hasOthers = before !== undefined && isTaken(before, pair, { knownNames, names })
    const next =
      before === undefined ? pair : hasOthers ? { ...before, mixed: [] } : both(before, pair)
    if (next.mixed !== null)
      mixed.push({ schema: pair.schema, name: pair.name, columns: next.mixed })
    found.push(next)
  }
  const noted = new Set(known.map(textOf))
  const fresh = found.filter((pair) => !noted.has(textOf(pair)))
  const left = leftBehind(direction, known, fresh)
  return { mixed, noteSql: fresh.length === 0 ? null : replacePairsSql([...fresh, ...left], stamp) }
}

/** Which side sends, and which one receives. */
function rolesIn(direction: Direction): readonly ['source' | 'target', 'source' | 'target'] {
  return direction === 'forward' ? ['source', 'target'] : ['target', 'source']
}

/**
 * Of the receiving side, those whose partner has another one now. Forgotten, they would be taken for
 * new under the next name that they share with somebody, and their rows for his.
 */
function leftBehind(
  direction: Direction,
  known: readonly TablePair[],
  fresh: readonly TablePair[],
): readonly TablePair[] {
  const [sends, receives] = rolesIn(direction)
  const noted = new Set(fresh.map((pair) => pair[receives]))
  const partners = new Map(fresh.map((pair) => [pair[sends], pair[receives]]))
  return known.flatMap((pair) => {
    const partner = partners.get(pair[sends])
    return partner === undefined || noted.has(pair[receives])
      ? []
      : [{ ...pair, [sends]: nobody, columns: [] }]
  })
}

interface Names {
  readonly knownNames: ReadonlySet<string>
  readonly names: ReadonlySet<string>
}

/** `before`: the same table where changes arrive. One that was made anew there has yet to get its rows. */
function isTaken(before: TablePair, pair: TablePair, { knownNames, names }: Names): boolean {
  if (before.mixed?.length === 0) return true
  if (before.source !== pair.source || before.target !== pair.target) return true
  const [was, is] = [qualified(before), qualified(pair)]
  return was !== is && (knownNames.has(is) || names.has(was))
}

/** The same two tables as before, maybe under another name. */
function both(before: TablePair, pair: PresentPair): TablePair {
  const known = before.columns ?? []
  const mixed = [
    ...(before.mixed ?? []),
    ...mixedColumns(known, columnPairsOf(pair.there)).map(({ name }) => name),
  ]
  return {
    ...pair,
    columns: columnsToKnow(known, pair.there),
    mixed: mixed.length === 0 ? null : [...new Set(mixed)].toSorted(),
  }
}

function textOf({ schema, name, source, target, columns, mixed }: TablePair): string {
  return JSON.stringify([schema, name, source, target, columns, mixed])
}
