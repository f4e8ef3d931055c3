/**
 * Which table of the source belongs to which one of the target. Logical replication goes by names:
 * where two tables of one side change theirs, what is changed in each comes into the other one, and
 * no server minds. Hence `pontoon.table_pair` on the target: the two of a name, by their oids, from
 * when they were known to be equal or began to be kept so. A name that has meant others since puts
 * their rows in doubt, also where the other side has followed, until a whole verification has found
 * all of them equal.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import type { Direction } from './names.ts'
import { isPublishable } from './publication.ts'
import { literal, qualified, type QualifiedName } from './quote.ts'
import type { Table } from './tables.ts'

export interface TablePair extends QualifiedName {
  /** Their oids. */
  readonly source: number
  readonly target: number
}

type NamedTable = QualifiedName & Pick<Table, 'oid'>

export interface TablesOfSides {
  readonly sender: readonly Table[]
  readonly receiver: readonly NamedTable[]
}

const tablePairSql = `CREATE TABLE IF NOT EXISTS pontoon.table_pair (
  source_table oid NOT NULL, target_table oid NOT NULL,
  schema_name text NOT NULL, table_name text NOT NULL
);
GRANT SELECT ON pontoon.table_pair TO PUBLIC;`

/** Those that are on both sides under one name now, of tables that are synced. */
export function pairsOf(
  direction: Direction,
  { sender, receiver }: TablesOfSides,
): readonly TablePair[] {
  const there = new Map(receiver.map((table) => [qualified(table), table.oid]))
  return sender.flatMap((table) => {
    const { schema, name, oid } = table
    const other = there.get(qualified(table))
    if (other === undefined || table.kind !== 'table' || !isPublishable(table)) return []
    return [
      direction === 'forward'
        ? { schema, name, source: oid, target: other }
        : { schema, name, source: other, target: oid },
    ]
  })
}

/** Of `now`, those whose rows may be in the wrong table, or be those of another one. */
export function mixedPairs(
  direction: Direction,
  known: readonly TablePair[],
  now: readonly TablePair[],
): readonly TablePair[] {
  const [sends, receives] =
    direction === 'forward' ? (['source', 'target'] as const) : (['target', 'source'] as const)
  const byReceiver = new Map(known.map((pair) => [pair[receives], pair]))
  const knownNames = new Set(known.map(qualified))
  const names = new Set(now.map(qualified))
  return now.filter((pair) => {
    // One that was made anew there has yet to get its rows.
    const before = byReceiver.get(pair[receives])
    if (before === undefined) return false
    if (before[sends] !== pair[sends]) return true
    const [was, is] = [qualified(before), qualified(pair)]
    return was !== is && (knownNames.has(is) || names.has(was))
  })
}

/** As mixedPairs(), of what the target remembers. */
export async function findMixed(
  target: SqlClient,
  direction: Direction,
  tables: TablesOfSides,
  options?: SqlOptions,
): Promise<readonly QualifiedName[]> {
  const known = await readPairs(target, options)
  return mixedPairs(direction, known, pairsOf(direction, tables))
}

/** Remembers those that have come since, and plain changes of a name; null when there are none. */
export async function notePairsSql(
  target: SqlClient,
  direction: Direction,
  tables: TablesOfSides,
): Promise<string | null> {
  const known = await readPairs(target)
  const now = pairsOf(direction, tables)
  const left = new Set([...known, ...mixedPairs(direction, known, now)].map(keyOf))
  const fresh = now.filter((pair) => !left.has(keyOf(pair)))
  if (fresh.length === 0) return null
  const oids = (side: 'source' | 'target'): string => fresh.map((pair) => pair[side]).join(', ')
  return (
    `${tablePairSql} DELETE FROM pontoon.table_pair WHERE source_table IN (${oids('source')}) ` +
    `OR target_table IN (${oids('target')}); ${insertSql(fresh)}`
  )
}

/** They are equal, or are copied anew, and all that is remembered. */
export function renewPairsSql(pairs: readonly TablePair[]): string {
  const insert = pairs.length === 0 ? '' : `; ${insertSql(pairs)}`
  return `${tablePairSql} DELETE FROM pontoon.table_pair${insert}`
}

function insertSql(pairs: readonly TablePair[]): string {
  const values = pairs.map(
    ({ source, target, schema, name }) =>
      `(${source}, ${target}, ${literal(schema)}, ${literal(name)})`,
  )
  return (
    'INSERT INTO pontoon.table_pair (source_table, target_table, schema_name, table_name) ' +
    `VALUES ${values.join(', ')}`
  )
}

function keyOf(pair: TablePair): string {
  return `${pair.source} ${pair.target} ${qualified(pair)}`
}

/** None before Pontoon has noted any. */
async function readPairs(target: SqlClient, options?: SqlOptions): Promise<readonly TablePair[]> {
  const table = "SELECT pg_catalog.to_regclass('pontoon.table_pair')"
  if ((await target.value(table, undefined, options)) === null) return []
  const { rows } = await target.query(
    'SELECT schema_name, table_name, source_table, target_table FROM pontoon.table_pair',
    undefined,
    options,
  )
  return rows.map(([schema, name, source, there]) => ({
    schema: schema ?? '',
    name: name ?? '',
    source: Number(source),
    target: Number(there),
  }))
}
