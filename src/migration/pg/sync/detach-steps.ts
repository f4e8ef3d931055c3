/** Steps of a plan that take apart what ties a side to the other one; see ../attached.ts. */
import type { AttachedSide } from '../attached.ts'
import { dropSlot, dropSlotSql } from '../slot.ts'
import { dropSubscription, dropSubscriptionSql } from '../subscription.ts'
import type { SyncStep } from './plan.ts'

/** Its slot stays, since the other side may be away. */
export function subscriptionStep({ side, replication }: AttachedSide, name: string): SyncStep {
  return {
    what: `drop the subscription ${name} on the ${side}`,
    sql: dropSubscriptionSql(name),
    run: async () => {
      await dropSubscription(replication, name, { keepSlot: true })
    },
  }
}

export function slotStep({ side, replication }: AttachedSide, name: string): SyncStep {
  return {
    what: `drop the slot ${name} on the ${side}, and the WAL that it keeps`,
    sql: [dropSlotSql(name)],
    run: async () => {
      await dropSlot(replication, name)
    },
  }
}
