/**
 * Sequences of a side whose other one is lost, so that theirs cannot be read any more: each goes on
 * from what was carried over last or from the highest value in the columns that draw from it,
 * whichever is further, and leaves out what the lost side may have given out since. Neighbours:
 * sequences.ts, drawers.ts.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { readDrawers, type Drawer } from './drawers.ts'
import { identifier, literal, qualified, readable } from './quote.ts'
import { advanced, readSequenceStates, setSequencesSql, type SequenceState } from './sequences.ts'
import { readSequences, type Sequence } from './tables.ts'

/** Values that may have gone out on the lost side without a row having come. */
export const lostDraws = 10_000n
const perStatement = 200
const statementMsDefault = 60_000
/** Without an index the whole table is read. To give up would be to begin again, without end. */
const searchMs = 24 * 3_600_000
/** Of each look into another server, which may be as lost as the side is. */
const foreignMs = 5_000
const gibibyte = 1_073_741_824

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
    .filter(
      ({ sequence, isReadable, isForeign }) => names.has(sequence) && !isReadable && !isForeign,
    )
    .map(({ place, column }) => `${place}.${column}`)
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
  const bytesOf = new Map<string, number>()
  for (const { sequence, isIndexed, isForeign, name, bytes } of await readDrawers(client))
    if (counted.has(sequence) && !isIndexed && !isForeign)
      bytesOf.set(name, (bytesOf.get(name) ?? 0) + bytes)
  return [...bytesOf]
    .filter(([, bytes]) => bytes >= bytesMin)
    .map(([name, bytes]) => `${name} (${(bytes / gibibyte).toFixed(1)} GB)`)
    .toSorted()
}

/** Tables whose rows are on another server, which raiseSequences() may not get to. */
export async function foreignPlaces(
  client: SqlClient,
  exclude: readonly string[],
): Promise<readonly string[]> {
  const counted = new Set((await readSequences(client, exclude)).map(qualified))
  const places = (await readDrawers(client))
    .filter(({ sequence, isForeign }) => counted.has(sequence) && isForeign)
    .map(({ place }) => place)
  return [...new Set(places)].toSorted()
}

/**
 * May be done again: what is further already only goes further. Gives the tables whose rows are on
 * another server that does not show them: their sequences go on from what else is known.
 */
export async function raiseSequences(
  client: SqlClient,
  /** Looks into other servers; is closed where one hangs. */
  beside: SqlClient,
  exclude: readonly string[],
  /** Of each statement but the search for the highest values. */
  timeoutMs = statementMsDefault,
): Promise<readonly string[]> {
  const options = { timeoutMs }
  const sequences = await readSequences(client, exclude)
  const counted = new Map(sequences.map((sequence) => [qualified(sequence), sequence]))
  const drawers = (await readDrawers(client)).filter(({ sequence }) => counted.has(sequence))
  const search = new Search(counted)
  await search.here(client, drawers)
  await search.elsewhere(beside, drawers)
  for (let at = 0; at < sequences.length; at += perStatement) {
    const some = sequences.slice(at, at + perStatement)
    const states = await readSequenceStates(client, some, options)
    const raised = states.map((state) =>
      ahead(state, search.furthest.get(qualified(state.sequence)) ?? null),
    )
    const sql = setSequencesSql(raised)
    if (sql !== null) await client.query(sql, undefined, options)
  }
  return search.unseen
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

/** The furthest value of each sequence in all the tables that have some of it. */
class Search {
  readonly furthest = new Map<string, bigint>()
  readonly unseen: string[] = []
  readonly #sequences: ReadonlyMap<string, Sequence>

  constructor(sequences: ReadonlyMap<string, Sequence>) {
    this.#sequences = sequences
  }

  async here(client: SqlClient, drawers: readonly Drawer[]): Promise<void> {
    const selects = drawers.filter(({ isForeign }) => !isForeign).map((one) => this.#select(one))
    for (let at = 0; at < selects.length; at += perStatement) {
      const all = selects.slice(at, at + perStatement).join(' UNION ALL ')
      await this.#find(client, all, searchMs)
    }
  }

  /** One by one, so that who does not answer is known. Rejects when `beside` is lost itself. */
  async elsewhere(beside: SqlClient, drawers: readonly Drawer[]): Promise<void> {
    let isHanging = false
    for (const drawer of drawers.filter(({ isForeign }) => isForeign))
      try {
        if (isHanging) this.unseen.push(drawer.place)
        else await this.#find(beside, this.#select(drawer), foreignMs)
      } catch (thrown) {
        isHanging = toPontoonError(thrown).code === 'SQL_TIMEOUT'
        if (!beside.isOpen && !isHanging) throw thrown
        this.unseen.push(drawer.place)
      }
  }

  #select({ sequence: name, table, column }: Drawer): string {
    const increment = this.#sequences.get(name)?.increment ?? 1n
    const furthest = increment > 0n ? 'max' : 'min'
    return `SELECT ${literal(name)}, ${furthest}(t.${identifier(column)}) FROM ONLY ${table} t`
  }

  async #find(client: SqlClient, sql: string, timeoutMs: number): Promise<void> {
    const { rows } = await client.query(sql, undefined, { timeoutMs })
    for (const [name, value] of rows) {
      if (name === null || name === undefined || value === null || value === undefined) continue
      const sequence = this.#sequences.get(name)
      const known = this.furthest.get(name)
      if (sequence !== undefined) this.furthest.set(name, further(sequence, BigInt(value), known))
    }
  }
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
