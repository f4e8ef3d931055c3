/**
 * Cuts a table into ranges of its key of about as many rows each. The bounds are the keys of rows
 * from a sample of the primary side's pages, so the table is not read for them; they need not be
 * exact.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { identifier } from '../quote.ts'
import { wholeTable, type KeyRange, type RowReader } from './row-reader.ts'

const pageBytes = 8_192
/** MaxHeapTuplesPerPage: no page has more rows. */
const rowsPerPageMax = 291
const samplePagesMin = 200
const samplePagesMax = 20_000
const sampleShare = 0.01

export interface ChunkPlan {
  readonly ranges: readonly KeyRange[]
  readonly rowsEstimated: number
}

/** `chunkRows` is about how many rows a range has. */
export async function planChunks(
  client: SqlClient,
  { table, keyTextsSql }: RowReader,
  chunkRows: number,
  options: SqlOptions,
): Promise<ChunkPlan> {
  const pages = Math.ceil(table.bytes / pageBytes)
  const estimated = Math.max(0, table.rowsEstimated)
  if (table.method !== 'ranges') return { ranges: [wholeTable], rowsEstimated: estimated }
  // Partitioned tables have no pages of their own, and statistics only when someone made them.
  const isSmall = table.bytes > 0 && pages * rowsPerPageMax <= chunkRows
  if (isSmall) return { ranges: [wholeTable], rowsEstimated: estimated }
  const sampled = Math.min(pages, Math.max(samplePagesMin, pages * sampleShare), samplePagesMax)
  const percent = table.bytes === 0 ? 100 : Math.min(100, (100 * sampled) / pages)
  const step = Math.max(1, Math.round((chunkRows * percent) / 100))
  const names = table.key.map(({ name }) => identifier(name)).join(', ')
  const { rows } = await client.query(
    `SELECT seen, ${keyTextsSql.join(', ')} FROM (
       SELECT ${names}, row_number() OVER (ORDER BY ${names}) AS place, count(*) OVER () AS seen
       FROM ${table.from} TABLESAMPLE SYSTEM (${percent.toFixed(6)})) AS sample
     WHERE place % ${step} = 0 ORDER BY place`,
    undefined,
    options,
  )
  const seen = Number(rows[0]?.[0] ?? 0)
  const bounds = rows.map((row) => row.slice(1).map((value) => value ?? ''))
  return {
    ranges: rangesBetween(bounds),
    rowsEstimated: seen === 0 ? estimated : Math.round((seen * 100) / percent),
  }
}

/** Together they hold every key. */
export function rangesBetween(bounds: readonly (readonly string[])[]): readonly KeyRange[] {
  return [null, ...bounds].map((after, at) => ({ after, upTo: bounds[at] ?? null }))
}
