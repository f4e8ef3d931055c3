/**
 * Before the target is emptied and filled: where both servers are 16 or newer the way back stays once
 * a switch, or the rehearsal of one, has made it. It would carry a TRUNCATE of the target to the
 * source, which has the only rows.
 */
import { findAttached } from '../attached.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { dropSlot } from '../slot.ts'
import { dropSubscription } from '../subscription.ts'
import { lockSide } from '../switch/lock.ts'

/**
 * Gives whether there was any. The next switch makes it anew; none can, once this has settled, until
 * the copy is over. Rejects with MIGRATION_REFUSED while one is under way.
 */
export async function dropWayBack(context: MigrationContext): Promise<boolean> {
  const { service } = context
  const login = { purpose: 'replication', task: 'copy: drop the way back' } as const
  const source = await connectAs(context, { ...login, side: 'source' })
  try {
    const target = await connectAs(context, { ...login, side: 'target' })
    try {
      const { signal } = new AbortController()
      await lockSide({ side: 'source', control: source }, signal)
      await lockSide({ side: 'target', control: target }, signal)
      const here = await findAttached(service, { side: 'source', replication: source })
      for (const name of here.subscriptions)
        await dropSubscription(source, name, { keepSlot: true })
      const there = await findAttached(service, { side: 'target', replication: target })
      for (const slot of there.slots) await dropSlot(target, slot)
      return here.subscriptions.length > 0
    } finally {
      target.close()
    }
  } finally {
    source.close()
  }
}
