/**
 * Which table of the source belongs to which one of the target. Logical replication goes by names:
 * where two tables of one side change theirs, what is changed in each comes into the other one, and
 * no server minds. Hence `pontoon.table_pair` on the target: the two of a name, by their oids, from
 * when they were known to be equal or began to be kept so. A name that has meant others since puts
 * their rows in doubt, also where the other side has followed, until a whole verification has found
 * all of them equal. The same goes for the columns of each: column-pairs.ts.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import {
  columnPairsOf,
  columnsToKnow,
  decodeColumns,
  encodeColumns,
  mixedColumns,
  type ColumnPair,
  type TableOnBoth,
} from './column-pairs.ts'
import type { Direction } from './names.ts'
import { isPublishable } from './publication.ts'
import { literal, qualified, type QualifiedName } from './quote.ts'
import type { Table } from './tables.ts'

export interface TablePair extends QualifiedName {
  /** Their oids. */
  readonly source: number
  readonly target: number
  /** Null where a Pontoon has noted it that knew of none. */
  readonly columns: readonly ColumnPair[] | null
}

interface KnownPair extends TablePair {
  readonly columns: readonly ColumnPair[]
}

/** One that there is now. */
interface PresentPair extends KnownPair {
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

/**
 * One at a time: of two that grant at once, PostgreSQL refuses one. ALTER TABLE only where the column is
 * missing: it waits for whoever reads the table, as a dump. The keys: 'port' and 'pair'.
 */
const tablePairSql = `SELECT pg_catalog.pg_advisory_xact_lock(1886351988, 1885432178);
CREATE TABLE IF NOT EXISTS pontoon.table_pair (
  source_table oid NOT NULL, target_table oid NOT NULL,
  schema_name text NOT NULL, table_name text NOT NULL, columns jsonb
);
DO $pontoon$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = 'pontoon.table_pair'::pg_catalog.regclass AND a.attname = 'columns'
        AND NOT a.attisdropped) THEN
    ALTER TABLE pontoon.table_pair ADD COLUMN IF NOT EXISTS columns jsonb;
  END IF;
END $pontoon$;
GRANT SELECT ON pontoon.table_pair TO PUBLIC;`

/** In place of an oid: the other one has the rows of a table that has got another partner since. */
const nobody = 0

/** Which side sends, and which one receives. */
function rolesIn(direction: Direction): readonly ['source' | 'target', 'source' | 'target'] {
  return direction === 'forward' ? ['source', 'target'] : ['target', 'source']
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
    if (other === undefined || table.kind !== 'table' || !isPublishable(table)) return []
    const there =
      direction === 'forward' ? { source: table, target: other } : { source: other, target: table }
    const columns = columnPairsOf(there)
    return [{ schema, name, source: there.source.oid, target: there.target.oid, columns, there }]
  })
}

/** Of `now`, those whose rows may be in the wrong table, or be those of another one. */
function mixedPairs(
  direction: Direction,
  known: readonly TablePair[],
  now: readonly PresentPair[],
): readonly PresentPair[] {
  const [sends, receives] = rolesIn(direction)
  const byReceiver = new Map(known.map((pair) => [pair[receives], pair]))
  const knownNames = new Set(known.filter((pair) => pair[sends] !== nobody).map(qualified))
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

export interface Pairing {
  /** What the target remembers otherwise. */
  readonly mixed: readonly MixedTable[]
  /** Has it remember what has come since, and plain changes of a name; null when there is nothing. */
  readonly noteSql: string | null
}

export async function readPairing(
  target: SqlClient,
  direction: Direction,
  tables: TablesOfSides,
  options?: SqlOptions,
): Promise<Pairing> {
  const known = await readPairs(target, options)
  const now = pairsOf(direction, tables)
  const mixed = new Set(mixedPairs(direction, known, now))
  const noted = new Set(known.map(keyOf))
  const before = new Map(known.map((pair) => [oidsOf(pair), pair.columns ?? []]))
  const fresh: PresentPair[] = []
  const found = now.flatMap((pair) => {
    const { schema, name, there } = pair
    if (mixed.has(pair)) return [{ schema, name, columns: [] }]
    const knownColumns = before.get(oidsOf(pair)) ?? []
    const next = { ...pair, columns: columnsToKnow(knownColumns, there) }
    if (!noted.has(keyOf(next))) fresh.push(next)
    const columns = mixedColumns(knownColumns, pair.columns).map((one) => one.name)
    return columns.length === 0 ? [] : [{ schema, name, columns: columns.toSorted() }]
  })
  const left = leftBehind(direction, known, fresh)
  return { mixed: found, noteSql: fresh.length === 0 ? null : noteSql(fresh, left) }
}

/**
 * Of the receiving side, those whose partner has another one now. Forgotten, they would be taken for
 * new under the next name that they share with somebody, and their rows for his.
 */
function leftBehind(
  direction: Direction,
  known: readonly TablePair[],
  fresh: readonly PresentPair[],
): readonly KnownPair[] {
  const [sends, receives] = rolesIn(direction)
  const partners = new Map(fresh.map((pair) => [pair[sends], pair[receives]]))
  return known.flatMap((pair) => {
    const partner = partners.get(pair[sends])
    return partner === undefined || partner === pair[receives]
      ? []
      : [{ ...pair, [sends]: nobody, columns: [] }]
  })
}

function noteSql(fresh: readonly PresentPair[], left: readonly KnownPair[]): string {
  const oids = (side: 'source' | 'target'): string => fresh.map((pair) => pair[side]).join(', ')
  return (
    `${tablePairSql} DELETE FROM pontoon.table_pair WHERE source_table IN (${oids('source')}) ` +
    `OR target_table IN (${oids('target')}); ${insertSql([...fresh, ...left])}`
  )
}

/** They are equal, or are copied anew, and all that is remembered. */
export function renewPairsSql(pairs: readonly PresentPair[]): string {
  const insert = pairs.length === 0 ? '' : `; ${insertSql(pairs)}`
  return `${tablePairSql} DELETE FROM pontoon.table_pair${insert}`
}

function insertSql(pairs: readonly KnownPair[]): string {
  const values = pairs.map(
    ({ source, target, schema, name, columns }) =>
      `(${source}, ${target}, ${literal(schema)}, ${literal(name)}, ${literal(encodeColumns(columns))})`,
  )
  return (
    'INSERT INTO pontoon.table_pair (source_table, target_table, schema_name, table_name, columns) ' +
    `VALUES ${values.join(', ')}`
  )
}

function oidsOf({ source, target }: TablePair): string {
  return `${source} ${target}`
}

function keyOf(pair: TablePair): string {
  const columns = pair.columns === null ? '' : encodeColumns(pair.columns)
  return `${oidsOf(pair)} ${qualified(pair)} ${columns}`
}

/** None before Pontoon has noted any. */
async function readPairs(target: SqlClient, options?: SqlOptions): Promise<readonly TablePair[]> {
  const table = "SELECT pg_catalog.to_regclass('pontoon.table_pair')"
  if ((await target.value(table, undefined, options)) === null) return []
  // The last column came later than the table.
  const { rows } = await target.query(
    `SELECT p.schema_name, p.table_name, p.source_table, p.target_table, to_jsonb(p)->>'columns'
     FROM pontoon.table_pair p`,
    undefined,
    options,
  )
  return rows.map(([schema, name, source, there, columns]) => ({
    schema: schema ?? '',
    name: name ?? '',
    source: Number(source),
    target: Number(there),
    columns: typeof columns === 'string' ? decodeColumns(columns) : null,
  }))
}
