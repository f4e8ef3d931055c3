/**
 * Slots of a service that no subscription reads. Where a side is older than 16, each switch makes
 * one with its epoch in the name; when the subscription goes without it, nobody would look for that
 * name again, and the slot would keep WAL for ever. Neighbour: names.ts.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { subscriptionName, type Direction } from './names.ts'

/**
 * Of the changes that leave `sender`, with an epoch in their names or not; those that a WAL sender
 * uses, or any subscription of the receiving server, whatever its name and database, are left out.
 * A name that was too long ends in ten letters or digits (names.ts), which an epoch never has.
 */
export async function findOrphanSlots(
  sender: SqlClient,
  receiver: SqlClient,
  { service, direction }: { readonly service: string; readonly direction: Direction },
  options?: SqlOptions,
): Promise<readonly string[]> {
  const { rows } = await sender.query(
    `SELECT s.slot_name FROM pg_catalog.pg_replication_slots s
     WHERE s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND NOT s.active AND NOT s.temporary
       AND s.database = pg_catalog.current_database()
       AND s.slot_name ~ ('^' || $1 || '(_[0-9]{1,9})?$')
     ORDER BY 1`,
    [subscriptionName(service, direction)],
    options,
  )
  // Behind the slots: one whose subscription comes meanwhile has a reader.
  const used = await receiver.query(
    'SELECT s.subslotname FROM pg_catalog.pg_subscription s',
    undefined,
    options,
  )
  const readers = new Set(used.rows.map(([slot]) => slot))
  return rows.flatMap(([name]) =>
    name === null || name === undefined || readers.has(name) ? [] : [name],
  )
}

/** Those that a switch has made: without an epoch, it may be that of a copy under way. */
export async function findSwitchLeftovers(
  sender: SqlClient,
  receiver: SqlClient,
  place: { readonly service: string; readonly direction: Direction },
): Promise<readonly string[]> {
  const plain = subscriptionName(place.service, place.direction)
  return (await findOrphanSlots(sender, receiver, place)).filter((name) => name !== plain)
}

/** One that has got a reader meanwhile is left alone. */
export async function dropIdleSlot(owner: SqlClient, slot: string): Promise<void> {
  await owner.query(
    `SELECT pg_catalog.pg_drop_replication_slot(s.slot_name)
     FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1 AND NOT s.active`,
    [slot],
  )
}
