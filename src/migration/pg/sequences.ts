/**
 * Brings the sequences of one side to where those of the other are, all of them in one statement
 * each way: not only those that a column owns, and not by looking at the tables' highest values.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { literal, qualified } from './quote.ts'
import type { Sequence } from './tables.ts'

export interface SequenceState {
  readonly sequence: Sequence
  readonly last: bigint
  /** False: `last` itself is what comes next. */
  readonly isCalled: boolean
}

/** As it was read from a server. */
export interface SequenceRead extends SequenceState {
  /** Another one whenever it was restarted (TRUNCATE … RESTART IDENTITY) or changed by DDL. */
  readonly file: string
}

/** Values drawn ahead of the other side, so that what it has in its caches is not drawn again. */
const marginDraws = 32n
/** Of the values that are left at most this part is left out: a sequence must not end of it. */
const roomShare = 10n

/** Set operations nest, and deep ones exceed the stack of the server. */
const perStatement = 200

function readSql(sequences: readonly Sequence[]): string {
  const selects = sequences.map(
    (sequence, index) => `SELECT ${index} AS i, last_value, is_called FROM ${qualified(sequence)}`,
  )
  const statements: string[] = []
  for (let at = 0; at < selects.length; at += perStatement)
    statements.push(selects.slice(at, at + perStatement).join(' UNION ALL '))
  return statements.join(';\n')
}

export async function readSequenceStates(
  client: SqlClient,
  sequences: readonly Sequence[],
  options?: SqlOptions,
): Promise<readonly SequenceRead[]> {
  if (sequences.length === 0) return []
  const { rows } = await client.query(
    calledSql,
    [JSON.stringify(sequences.map(qualified))],
    options,
  )
  const fileOf = new Map(sequences.map((sequence, index) => [sequence, rows[index]?.[1] ?? '']))
  const called = sequences.flatMap((sequence, index): readonly SequenceState[] => {
    const last = rows[index]?.[0] ?? null
    return last === null ? [] : [{ sequence, last: BigInt(last), isCalled: true }]
  })
  const seen = new Set(called.map(({ sequence }) => sequence))
  const others = sequences.filter((sequence) => !seen.has(sequence))
  const all = [...called, ...(await readOneByOne(client, others, options))]
  return all.map((state) => ({ ...state, file: fileOf.get(state.sequence) ?? '' }))
}

/**
 * Null for those that nobody has drawn from since they were made or set. It locks the sequence, so
 * that the file behind it is the one that was read.
 */
const calledSql = `SELECT pg_catalog.pg_sequence_last_value(s.name::pg_catalog.regclass),
    pg_catalog.pg_relation_filenode(s.name::pg_catalog.regclass)
  FROM ROWS FROM (pg_catalog.json_array_elements_text($1::json)) WITH ORDINALITY s (name, i)
  ORDER BY s.i`

/** A statement for each costs the server twenty times as much as a call. */
async function readOneByOne(
  client: SqlClient,
  sequences: readonly Sequence[],
  options?: SqlOptions,
): Promise<readonly SequenceState[]> {
  if (sequences.length === 0) return []
  const results = await client.run(readSql(sequences), options)
  return results
    .flatMap(({ rows }) => rows)
    .flatMap(([index, last, isCalled]) => {
      const sequence = sequences[Number(index)]
      return sequence === undefined
        ? []
        : [{ sequence, last: BigInt(last ?? 0), isCalled: isCalled === 't' }]
    })
}

/** Null when there is nothing to set. */
export function setSequencesSql(states: readonly SequenceState[]): string | null {
  if (states.length === 0) return null
  const values = states.map((state) => {
    const name = literal(qualified(state.sequence))
    return `(${name}, ${withMargin(state)}::bigint, ${state.isCalled})`
  })
  return (
    'SELECT count(pg_catalog.setval(s.name::pg_catalog.regclass, s.last, s.called)) ' +
    `FROM (VALUES ${values.join(', ')}) AS s (name, last, called)`
  )
}

export function withMargin({ sequence, last, isCalled }: SequenceState): bigint {
  const { cache } = sequence
  return isCalled ? advanced(sequence, last, cache > marginDraws ? cache : marginDraws) : last
}

/**
 * So many values further, or fewer where not many are left: setval beyond the bounds of a sequence
 * would fail for all of them. One that begins again at its other end has no further value.
 */
export function advanced(
  { increment, min, max, isCycle }: Sequence,
  from: bigint,
  draws: bigint,
): bigint {
  if (isCycle) return from
  const room = increment > 0n ? (max - from) / increment : (from - min) / -increment
  const most = room / roomShare
  return from + increment * (draws < most ? draws : most)
}
