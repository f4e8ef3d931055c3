/**
 * A subscription together with its slot. The slot is made first and by itself: CREATE SUBSCRIPTION
 * would hold a transaction on the receiving server while the slot waits for all of those that are
 * open on the sending one. Two in opposite directions between the same servers, for two services,
 * would wait for each other, which neither server can see.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { createSlot, dropSlot } from './slot.ts'
import { createSubscription, type SubscriptionSpec } from './subscription.ts'

const slotTimeoutMs = 60_000

/** Rejects as createSlot() and createSubscription() do; then neither is left. */
export async function subscribe(
  publisher: SqlClient,
  subscriber: SqlClient,
  spec: SubscriptionSpec,
): Promise<void> {
  const slot = spec.slot ?? spec.name
  await createSlot(publisher, slot, { timeoutMs: slotTimeoutMs })
  try {
    await createSubscription(subscriber, spec)
  } catch (error) {
    // It would keep WAL for nobody; where that fails too, the first error tells more.
    if (publisher.isOpen) await dropSlot(publisher, slot).catch(() => undefined)
    throw error
  }
}
