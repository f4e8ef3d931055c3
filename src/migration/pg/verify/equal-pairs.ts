/** What a comparison proves about tables whose names have meant others: see ../table-pairs.ts. */
import { otherSide, sides, type Side } from '../../../shared/side.ts'
import { directionFrom } from '../names.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { renewPairsSql } from '../pair-store.ts'
import { pairsOf } from '../table-pairs.ts'
import { readTables, type Table } from '../tables.ts'

export type TablesBySide = Readonly<Record<Side, readonly Table[]>>

/** Before anything is compared: names that are changed meanwhile prove nothing. */
export async function tablesBefore(
  context: MigrationContext,
  exclude: readonly string[],
): Promise<TablesBySide> {
  const found: Record<Side, readonly Table[]> = { source: [], target: [] }
  for (const side of sides) {
    const client = await connectAs(context, { side, ...asControl })
    try {
      found[side] = await readTables(client, exclude)
    } finally {
      client.close()
    }
  }
  return found
}

/** All rows were compared and are equal. */
export async function noteEqualPairs(
  context: MigrationContext,
  primary: Side,
  before: TablesBySide,
): Promise<void> {
  const tables = { sender: before[primary], receiver: before[otherSide(primary)] }
  const client = await connectAs(context, { side: 'target', ...asControl })
  try {
    await client.run(renewPairsSql(pairsOf(directionFrom(primary), tables)))
  } finally {
    client.close()
  }
}

const asControl = { purpose: 'control', task: 'verify' } as const
