/**
 * What somebody does by hand to the side that receives. Where both servers are 16 or newer the sync of
 * the other direction stays once it was made, and would carry that to the side that sends, which
 * has the only whole rows; also later, when it is switched off now. It leaves out what has an
 * origin (`origin = none`), as the repairs of `pontoon verify` have.
 */
import { otherSide, type Side } from '../../shared/side.ts'
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { directionFrom, repairOriginName, subscriptionName, type Direction } from './names.ts'
import { literal } from './quote.ts'
import { readSlot } from './slot.ts'
import { streamMode } from './stream.ts'

export interface ReceivingPlace {
  readonly service: string
  readonly direction: Direction
  readonly sender: SqlClient
  readonly receiver: SqlClient
}

/** How to do it so that it stays there, for people: `sql` is what they run. */
export async function byHand(
  place: ReceivingPlace,
  sql: string,
  options?: SqlOptions,
): Promise<string> {
  const { service, direction, sender, receiver } = place
  if (streamMode(sender, receiver) === 'turns') return ''
  const side: Side = direction === 'forward' ? 'target' : 'source'
  const slot = await readSlot(receiver, subscriptionName(service, directionFrom(side)), options)
  if (slot === undefined) return ''
  const way = side === 'target' ? 'the way back' : 'the sync of before the cutover'
  const name = literal(repairOriginName(service))
  return (
    `, in one session of a superuser and only so, since ${way} is there as well and would do it to ` +
    `the ${otherSide(side)} too: BEGIN READ WRITE; ` +
    `SELECT CASE WHEN pg_replication_origin_oid(${name}) IS NULL ` +
    `THEN pg_replication_origin_create(${name}) END; ` +
    `SELECT pg_replication_origin_session_setup(${name}); ${sql}; COMMIT;`
  )
}
