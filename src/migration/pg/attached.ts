/** What ties a side to the other one of a service: its subscriptions, and its slots for the other's. */
import type { Side } from '../../shared/side.ts'
import { otherSide } from '../../shared/side.ts'
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { directionFrom, probeSubscriptionName, subscriptionName } from './names.ts'
import { dropSlot } from './slot.ts'
import { findStreams } from './stream.ts'
import { dropSubscription } from './subscription.ts'

export interface Attached {
  readonly subscriptions: readonly string[]
  readonly slots: readonly string[]
}

/** A side as it is asked by the role that owns subscriptions and slots. */
export interface AttachedSide {
  readonly side: Side
  readonly replication: SqlClient
}

export async function findAttached(
  service: string,
  { side, replication }: AttachedSide,
): Promise<Attached> {
  const inward = directionFrom(otherSide(side))
  const streams = await findStreams(replication, service, inward)
  const probe = await replication.query(
    `SELECT s.subname FROM pg_catalog.pg_subscription s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = pg_catalog.current_database() AND s.subname = $1`,
    [probeSubscriptionName(service, inward)],
  )
  const outward = directionFrom(side)
  const slots = await replication.query(
    `SELECT slot_name FROM pg_catalog.pg_replication_slots
     WHERE slot_type = 'logical' AND database = pg_catalog.current_database()
       AND (slot_name ~ ('^' || $1 || '(_[0-9]+)?$') OR slot_name = $2) ORDER BY 1`,
    [subscriptionName(service, outward), probeSubscriptionName(service, outward)],
  )
  const names = probe.rows.map(([name]) => name ?? '')
  return {
    subscriptions: [...streams.map(({ name }) => name), ...names],
    slots: slots.rows.map(([name]) => name ?? ''),
  }
}

/**
 * Nothing comes from the other side any more, nor is kept for it: slots that nobody reads would fill
 * the disk. That side is not asked.
 */
export async function detach(service: string, at: AttachedSide): Promise<void> {
  const { subscriptions, slots } = await findAttached(service, at)
  for (const name of subscriptions) await dropSubscription(at.replication, name, { keepSlot: true })
  for (const slot of slots) await dropSlot(at.replication, slot)
}
