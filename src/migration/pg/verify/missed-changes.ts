/** What a comparison proves about changes that sync has missed: see ../missed.ts. */
import { otherSide, sides, type Side } from '../../../shared/side.ts'
import { forgetMissed, readMissed, type Missed } from '../missed.ts'
import { directionFrom } from '../names.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'

/** By the side that sends, before anything is compared. */
export type MissedBySide = Readonly<Record<Side, Missed | null>>

export async function missedBefore(context: MigrationContext): Promise<MissedBySide> {
  const found: Record<Side, Missed | null> = { source: null, target: null }
  for (const side of sides)
    found[side] = await withControl(context, side, (client) =>
      readMissed(client, directionFrom(side)),
    )
  return found
}

/** All rows were compared and are equal. */
export async function noteArrived(
  context: MigrationContext,
  primary: Side,
  before: MissedBySide,
): Promise<void> {
  const missed = before[primary]
  if (missed === null) return
  const direction = directionFrom(primary)
  await withControl(context, primary, async (client) => {
    // Sync was made anew once more meanwhile.
    if ((await readMissed(client, direction))?.since !== missed.since) return
    await withControl(context, otherSide(primary), (other) => forgetMissed(other, direction))
    await forgetMissed(client, direction)
  })
}

async function withControl<T>(
  context: MigrationContext,
  side: Side,
  work: (client: SqlClient) => Promise<T>,
): Promise<T> {
  const client = await connectAs(context, { side, purpose: 'control', task: 'verify' })
  try {
    return await work(client)
  } finally {
    client.close()
  }
}
