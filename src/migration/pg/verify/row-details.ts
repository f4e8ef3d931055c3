/** What differs in rows that are known to differ, for people to read: which columns, which values. */
import { z } from 'zod'
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { onBothAligned, type BothSides } from './both-sides.ts'
import { keyId } from './row-digest.ts'
import { lookupKeysMax, type RowReader } from './row-reader.ts'
import type { Differing } from './settle-rows.ts'

export const differenceSchema = z.object({
  /**
   * As seen from the side that is not primary: it lacks the row, has one too many, or has it with
   * other values. `copies`: the same row another number of times.
   */
  kind: z.enum(['missing', 'extra', 'different', 'copies']),
  /** Null for a table without a key: the hash of the row stands for it. */
  key: z.record(z.string(), z.string()).nullable(),
  hash: z.string().nullable(),
  /** Rows of that key on each side. */
  rows: z.number(),
  otherRows: z.number(),
  columns: z.array(
    z.object({
      name: z.string(),
      /** Only when asked for; shortened. Null for NULL. */
      primary: z.string().nullable().optional(),
      other: z.string().nullable().optional(),
    }),
  ),
})
export type RowDifference = Readonly<z.infer<typeof differenceSchema>>

const valueCharsMax = 60

/** Of as many rows as are to be listed. */
export async function describeRows(
  sides: BothSides,
  reader: RowReader,
  differing: readonly Differing[],
  showValues: boolean,
): Promise<readonly RowDifference[]> {
  const found: RowDifference[] = []
  for (let at = 0; at < differing.length; at += lookupKeysMax) {
    const part = differing.slice(at, at + lookupKeysMax)
    const keys = part.map(({ key }) => key)
    const [here, there] = await onBothAligned(sides, (client, options) =>
      readValues(client, reader, keys, options),
    )
    for (const one of part) {
      const id = keyId(one.key)
      found.push(describe(reader, one, here.get(id), there.get(id), showValues))
    }
  }
  return found
}

type Values = readonly (string | null)[]

function describe(
  reader: RowReader,
  { key, primary, other }: Differing,
  here: Values | undefined,
  there: Values | undefined,
  showValues: boolean,
): RowDifference {
  const { table } = reader
  const rows = primary?.rows ?? 0
  const otherRows = other?.rows ?? 0
  const kind =
    otherRows === 0
      ? 'missing'
      : rows === 0
        ? 'extra'
        : rows === otherRows && table.method !== 'multiset'
          ? 'different'
          : 'copies'
  const isListed = (at: number): boolean =>
    here === undefined || there === undefined ? showValues : here[at] !== there[at]
  const columns = table.columns.flatMap(({ name }, at) => {
    if (!isListed(at)) return []
    if (!showValues) return [{ name }]
    return [
      {
        name,
        ...(here === undefined ? {} : { primary: shortened(here[at]) }),
        ...(there === undefined ? {} : { other: shortened(there[at]) }),
      },
    ]
  })
  const names = table.key.map(({ name }, at): [string, string] => [name, key[at] ?? ''])
  const isKeyed = table.method !== 'multiset'
  return {
    kind,
    key: isKeyed ? Object.fromEntries(names) : null,
    hash: isKeyed ? null : (key[0] ?? ''),
    rows,
    otherRows,
    columns,
  }
}

/** The text of every compared column, by key. */
async function readValues(
  client: SqlClient,
  reader: RowReader,
  keys: readonly (readonly string[])[],
  options: SqlOptions,
): Promise<ReadonlyMap<string, Values>> {
  const { table } = reader
  const names = table.method === 'multiset' ? [`(${reader.rowHashSql})::text`] : reader.keyTextsSql
  const { rows } = await client.query(
    `SELECT ${[...names, ...table.columns.map(({ name }) => reader.valueTextSql(name))].join(', ')}
     FROM ${table.from} WHERE ${reader.isAmongSql(keys)}`,
    undefined,
    options,
  )
  return new Map(
    rows.map((row) => [
      keyId(row.slice(0, names.length).map((value) => value ?? '')),
      row.slice(names.length),
    ]),
  )
}

function shortened(value: string | null | undefined): string | null {
  if (value === null || value === undefined) return null
  return value.length <= valueCharsMax ? value : `${value.slice(0, valueCharsMax - 1)}…`
}
