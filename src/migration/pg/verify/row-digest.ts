/** What a side says about some rows: how many there are and the sum of their hashes. */
export interface Digest {
  readonly rows: number
  readonly sum: bigint
}

/** One key as it is on one side. */
export interface RowState extends Digest {
  /** The key's values as text; for tables without a key, the hash of the row. */
  readonly key: readonly string[]
  /** Changes with every version of the row: its xmin. */
  readonly version: string
}

export const emptyDigest: Digest = { rows: 0, sum: 0n }

export function isSameDigest(one: Digest | undefined, two: Digest | undefined): boolean {
  const { rows, sum } = one ?? emptyDigest
  const other = two ?? emptyDigest
  return rows === other.rows && sum === other.sum
}

export function keyId(key: readonly string[]): string {
  return JSON.stringify(key)
}
