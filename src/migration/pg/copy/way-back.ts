/**
 * Before the target is emptied and filled: where both servers are 16 or newer the way back stays once
 * a switch, or the rehearsal of one, has made it. It would carry a TRUNCATE of the target to the
 * source, which has the only rows.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { findAttached } from '../attached.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { dropSlot } from '../slot.ts'
import { dropSubscription } from '../subscription.ts'
import { lockSide } from '../switch/lock.ts'
import { refuseIntoPrimary } from './direction.ts'

/** Both as the role that owns subscriptions and slots. */
export interface Owners {
  readonly source: SqlClient
  readonly target: SqlClient
}

/**
 * At a moment when no switch is under way. Rejects with MIGRATION_REFUSED, and nothing done, while one
 * is, and where one that has just ended has moved the writes to the target.
 */
export async function apartFromSwitches<T>(
  context: MigrationContext,
  work: (owners: Owners) => Promise<T>,
): Promise<T> {
  const login = { purpose: 'replication', task: 'copy: begin' } as const
  const source = await connectAs(context, { ...login, side: 'source' })
  try {
    const target = await connectAs(context, { ...login, side: 'target' })
    try {
      const { signal } = new AbortController()
      await lockSide({ side: 'source', control: source }, signal)
      await lockSide({ side: 'target', control: target }, signal)
      await refuseIntoPrimary(source, target)
      return await work({ source, target })
    } finally {
      target.close()
    }
  } finally {
    source.close()
  }
}

/**
 * Gives whether there was any. The next switch makes it anew; none can, once this has settled, until
 * the copy is over.
 */
export async function dropWayBack(
  { service }: MigrationContext,
  { source, target }: Owners,
): Promise<boolean> {
  const here = await findAttached(service, { side: 'source', replication: source })
  for (const name of here.subscriptions) await dropSubscription(source, name, { keepSlot: true })
  const there = await findAttached(service, { side: 'target', replication: target })
  for (const slot of there.slots) await dropSlot(target, slot)
  return here.subscriptions.length > 0
}
