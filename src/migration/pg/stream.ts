/**
 * The sync of one direction as copies and switches see it: which subscription carries it, and its slot.
 * Where both servers are 16 or newer, both directions stay for good (`origin = none` keeps a change
 * from coming back); otherwise only one may run, and each switch makes a new one with the epoch in
 * its name.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { subscriptionName, type Direction } from './names.ts'
import { literal } from './quote.ts'
import { readSubscription, type SubscriptionState } from './subscription-state.ts'

export interface Stream {
  readonly direction: Direction
  readonly name: string
  readonly slot: string
  state(subscriber: SqlClient, options?: SqlOptions): Promise<SubscriptionState | undefined>
}

/** How the way back is kept: `both` at once, or in `turns` (see above). */
export type StreamMode = 'both' | 'turns'

/** `origin` is ignored without a word by publishers before 16, so either side decides. */
export function streamMode(from: SqlClient, to: SqlClient): StreamMode {
  return from.major >= 16 && to.major >= 16 ? 'both' : 'turns'
}

export function makeStream(direction: Direction, name: string, slot: string): Stream {
  return {
    direction,
    name,
    slot,
    state: (subscriber, options) => readSubscription(subscriber, name, options),
  }
}

/** Every subscription of that direction on the side that receives, the newest last. */
export async function findStreams(
  subscriber: SqlClient,
  service: string,
  direction: Direction,
): Promise<readonly Stream[]> {
  const base = subscriptionName(service, direction)
  const { rows } = await subscriber.query(
    `SELECT s.subname, COALESCE(s.subslotname, '') FROM pg_catalog.pg_subscription s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = pg_catalog.current_database()
       AND (s.subname = $1 OR s.subname ~ ('^' || $1 || ${literal('_[0-9]+$')}))
     ORDER BY s.oid`,
    [base],
  )
  return rows.map(([name, slot]) => makeStream(direction, name ?? '', slot ?? ''))
}
