/**
 * Sequences of a side whose other one is lost, so that theirs cannot be read any more: each goes on
 * from what was carried over last or from the highest value in the columns that draw from it,
 * whichever is further, and leaves out what the lost side may have given out since. Neighbour:
 * sequences.ts.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { identifier, literal, qualified, readable } from './quote.ts'
import { advanced, readSequenceStates, setSequencesSql, type SequenceState } from './sequences.ts'
import { readSequences, type Sequence } from './tables.ts'

/** Values that may have gone out on the lost side without a row having come. */
export const lostDraws = 10_000n
const perStatement = 200
const statementMsDefault = 60_000
/** Without an index the whole table is read. To give up would be to begin again, without end. */
const searchMs = 24 * 3_600_000
const gibibyte = 1_073_741_824
/** As the server writes a default that is the next value of a sequence and nothing else. */
const nextValuePattern = "^nextval\\('([^']|'')*'::regclass\\)$"

/** A column that owns a sequence, or whose default is its next value. */
interface Drawer {
  readonly sequence: string
  readonly table: string
  /** Table and column, for people. */
  readonly name: string
  readonly column: string
  readonly isIndexed: boolean
  /** Whether the role sees the column in every row. */
  readonly isReadable: boolean
  readonly bytes: number
}

/** Gives the names of those that no column of integers draws from: nothing tells how far they were. */
export async function freeSequences(
  client: SqlClient,
  exclude: readonly string[],
): Promise<readonly string[]> {
  const drawn = new Set((await readDrawers(client)).map(({ sequence }) => sequence))
  const sequences = await readSequences(client, exclude)
  return sequences.filter((one) => !drawn.has(qualified(one))).map(readable)
}

/** What raiseSequences() would fail at, or see a part of only, with the rights of this role. */
export async function sequencesOutOfReach(
  client: SqlClient,
  exclude: readonly string[],
): Promise<{ readonly sequences: readonly string[]; readonly columns: readonly string[] }> {
  const counted = await readSequences(client, exclude)
  const { rows } = await client.query(
    `SELECT n.nspname, c.relname FROM pg_catalog.pg_sequence s
     JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT')
       AND pg_catalog.has_sequence_privilege(s.seqrelid, 'UPDATE')`,
  )
  const inReach = new Set(
    rows.map(([schema, name]) => qualified({ schema: schema ?? '', name: name ?? '' })),
  )
  const names = new Set(counted.map(qualified))
  const columns = (await readDrawers(client))
    .filter(({ sequence, isReadable }) => names.has(sequence) && !isReadable)
    .map(({ name }) => name)
  return {
    sequences: counted.filter((one) => !inReach.has(qualified(one))).map(readable),
    columns: [...new Set(columns)].toSorted(),
  }
}

/**
 * Columns that raiseSequences() reads a large table for, with its size: clients wait for that long.
 */
export async function unindexedColumns(
  client: SqlClient,
  exclude: readonly string[],
  bytesMin = gibibyte,
): Promise<readonly string[]> {
  const counted = new Set((await readSequences(client, exclude)).map(qualified))
  return (await readDrawers(client))
    .filter(({ sequence, isIndexed }) => counted.has(sequence) && !isIndexed)
    .filter(({ bytes }) => bytes >= bytesMin)
    .map(({ name, bytes }) => `${name} (${(bytes / gibibyte).toFixed(1)} GB)`)
    .toSorted()
}

/** May be done again: what is further already only goes further. */
export async function raiseSequences(
  client: SqlClient,
  exclude: readonly string[],
  /** Of each statement but the search for the highest values. */
  timeoutMs = statementMsDefault,
): Promise<void> {
  const options = { timeoutMs }
  const sequences = await readSequences(client, exclude)
  const drawers = await readDrawers(client)
  for (let at = 0; at < sequences.length; at += perStatement) {
    const some = sequences.slice(at, at + perStatement)
    const furthest = await readFurthest(client, some, drawers)
    const states = await readSequenceStates(client, some, options)
    const raised = states.map((state) =>
      ahead(state, furthest.get(qualified(state.sequence)) ?? null),
    )
    const sql = setSequencesSql(raised)
    if (sql !== null) await client.query(sql, undefined, options)
  }
}

/** Pure. */
export function ahead(
  { sequence, last, isCalled }: SequenceState,
  furthest: bigint | null,
): SequenceState {
  const { increment, min, max, isCycle } = sequence
  const isUp = increment > 0n
  const isFurther = furthest !== null && (isUp ? furthest > last : furthest < last)
  const from = isFurther && furthest >= min && furthest <= max ? furthest : last
  // One that begins again at its other end has no further value.
  if (isCycle) return { sequence, last, isCalled }
  return { sequence, last: advanced(sequence, from, lostDraws), isCalled: true }
}

async function readFurthest(
  client: SqlClient,
  sequences: readonly Sequence[],
  drawers: readonly Drawer[],
): Promise<ReadonlyMap<string, bigint>> {
  const byName = new Map(sequences.map((sequence) => [qualified(sequence), sequence]))
  const selects = drawers.flatMap(({ sequence: name, table, column }) => {
    const sequence = byName.get(name)
    if (sequence === undefined) return []
    const furthest = sequence.increment > 0n ? 'max' : 'min'
    return [`SELECT ${literal(name)}, ${furthest}(t.${identifier(column)}) FROM ${table} t`]
  })
  const found = new Map<string, bigint>()
  for (let at = 0; at < selects.length; at += perStatement) {
    const all = selects.slice(at, at + perStatement).join(' UNION ALL ')
    const { rows } = await client.query(all, undefined, { timeoutMs: searchMs })
    for (const [name, value] of rows) {
      if (name === null || name === undefined || value === null || value === undefined) continue
      const sequence = byName.get(name)
      const known = found.get(name)
      if (sequence !== undefined) found.set(name, further(sequence, BigInt(value), known))
    }
  }
  return found
}

/** Of the values that a sequence can have given; one that it cannot says nothing. */
function further(
  { increment, min, max }: Sequence,
  value: bigint,
  known: bigint | undefined,
): bigint {
  if (known === undefined || known < min || known > max) return value
  if (value < min || value > max) return known
  return increment > 0n === value > known ? value : known
}

/**
 * Of columns of integers: one of another type may make anything of what it draws, and so may any
 * default but the next value itself. Defaults of partitions are those of their table.
 */
async function readDrawers(client: SqlClient): Promise<readonly Drawer[]> {
  const { rows } = await client.query(
    `WITH drawn AS (
       SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
       FROM pg_catalog.pg_depend d
       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
       UNION
       SELECT d.refobjid, e.adrelid, e.adnum
       FROM pg_catalog.pg_depend d
       JOIN pg_catalog.pg_attrdef e ON e.oid = d.objid
       JOIN pg_catalog.pg_class p ON p.oid = e.adrelid AND NOT p.relispartition
       WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND pg_catalog.pg_get_expr(e.adbin, e.adrelid) ~ ${literal(nextValuePattern)})
     SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname,
       t.relpages::int8 * pg_catalog.current_setting('block_size')::int8,
       EXISTS (SELECT FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree'
         WHERE i.indrelid = t.oid AND i.indisvalid AND i.indpred IS NULL
           AND i.indkey[0] = a.attnum),
       pg_catalog.has_schema_privilege(tn.oid, 'USAGE')
         AND pg_catalog.has_column_privilege(t.oid, a.attnum, 'SELECT')
         AND NOT pg_catalog.row_security_active(t.oid)
     FROM drawn d
     JOIN pg_catalog.pg_class s ON s.oid = d.sequence AND s.relkind = 'S'
     JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
     JOIN pg_catalog.pg_class t ON t.oid = d.relation
       AND t.relkind IN ('r', 'p')
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.number
     WHERE a.atttypid IN (20, 21, 23)`,
  )
  return rows.map((row) => {
    const [schema, sequence, tableSchema, tableName, column, bytes, isIndexed, isReadable] = row
    const table = { schema: tableSchema ?? '', name: tableName ?? '' }
    return {
      sequence: qualified({ schema: schema ?? '', name: sequence ?? '' }),
      table: qualified(table),
      column: column ?? '',
      name: `${readable(table)}.${column}`,
      bytes: Number(bytes),
      isIndexed: isIndexed === 't',
      isReadable: isReadable === 't',
    }
  })
}
