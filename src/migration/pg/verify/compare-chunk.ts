/**
 * Compares one range of a table on both sides and narrows a difference down to rows.
 *
 * First both sides hash the range at once: equal hashes are equal rows, whenever each was read.
 * Different ones may come from changes under way, so from there on the other side is read when it
 * has applied what the primary side was read with: by buckets of keys, then the rows of buckets
 * that differ, then those rows alone until they are settled (settle-rows.ts).
 */
import { onBoth, onBothAligned, type BothSides } from './both-sides.ts'
import { emptyDigest, isSameDigest, type Digest, type RowState } from './row-digest.ts'
import type { KeyRange, RowReader } from './row-reader.ts'
import { looksAt, settleRows, type Settled } from './settle-rows.ts'

export interface ChunkResult extends Settled {
  /** On each side, when it was hashed as a whole. */
  readonly rows: number
  readonly otherRows: number
}

/** A range with no more rows is read at once. */
const directRowsMax = 1_000
const rowsPerBucket = 200
const bucketsMax = 65_536
/** Rows held in memory at once, on each side. */
const gatheredRowsMax = 100_000

export async function compareChunk(
  sides: BothSides,
  reader: RowReader,
  range: KeyRange,
): Promise<ChunkResult> {
  const [primary, other] = await onBoth(sides, (client, options) =>
    reader.digest(client, range, options),
  )
  const counted = { rows: primary.rows, otherRows: other.rows }
  if (isSameDigest(primary, other)) return { ...counted, differing: [], unsettled: [] }
  const count = bucketCount(Math.max(primary.rows, other.rows))
  const differing: Settled['differing'][number][] = []
  const unsettled: (readonly string[])[] = []
  for (const chosen of await differingBuckets(sides, reader, range, count)) {
    const buckets = { count, chosen }
    const [here, there] = await onBothAligned(sides, (client, options) =>
      reader.rows(client, range, buckets, options),
    )
    const settled = await settleRows(looksAt(sides, reader), differingKeys(here, there))
    differing.push(...settled.differing)
    unsettled.push(...settled.unsettled)
  }
  return { ...counted, differing, unsettled }
}

/** In groups that are read at once. */
async function differingBuckets(
  sides: BothSides,
  reader: RowReader,
  range: KeyRange,
  count: number,
): Promise<readonly (readonly number[])[]> {
  if (count === 1) return [[0]]
  const [here, there] = await onBothAligned(sides, (client, options) =>
    reader.buckets(client, range, count, options),
  )
  const groups: number[][] = []
  let room = 0
  for (const bucket of new Set([...here.keys(), ...there.keys()])) {
    if (isSameDigest(here.get(bucket), there.get(bucket))) continue
    const rows = Math.max(rowsOf(here.get(bucket)), rowsOf(there.get(bucket)))
    const last = groups.at(-1)
    if (last === undefined || room < rows) {
      groups.push([bucket])
      room = gatheredRowsMax - rows
    } else {
      last.push(bucket)
      room -= rows
    }
  }
  return groups
}

function differingKeys(
  here: ReadonlyMap<string, RowState>,
  there: ReadonlyMap<string, RowState>,
): readonly (readonly string[])[] {
  const keys: (readonly string[])[] = []
  for (const [id, { key }] of here) if (!isSameDigest(here.get(id), there.get(id))) keys.push(key)
  for (const [id, { key }] of there) if (!here.has(id)) keys.push(key)
  return keys
}

function bucketCount(rows: number): number {
  if (rows <= directRowsMax) return 1
  return Math.min(bucketsMax, 2 ** Math.ceil(Math.log2(rows / rowsPerBucket)))
}

function rowsOf(digest: Digest | undefined): number {
  return (digest ?? emptyDigest).rows
}
