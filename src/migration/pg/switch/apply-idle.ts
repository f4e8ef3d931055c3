/** Whether a side has applied all that it has received, when nothing more can come. */
import { PontoonError } from '../../../shared/errors.ts'
import { wait } from '../../../shared/wait.ts'
import type { Direction } from '../names.ts'
import { findStreams } from '../stream.ts'
import { ownSubscriptionsSql } from '../subscription.ts'
import type { SwitchSide } from './switch-sides.ts'

const pollMs = 50
/** Between two messages a worker looks idle for a moment. */
const looksNeeded = 3

/** Workers of that direction that do not wait for the sender, or for one that they cannot reach. */
const busySql = (
  major: number,
): string => `SELECT a.pid, COALESCE(a.wait_event, 'CPU') FROM pg_catalog.pg_stat_subscription s
  JOIN pg_catalog.pg_stat_activity a ON a.pid = s.pid
  WHERE s.subname = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    AND s.subid IN (${ownSubscriptionsSql(major)})
    AND COALESCE(a.wait_event, '') !~* '^(Logical(Parallel)?ApplyMain|LibPQWalReceiver)'`

/** Rejects with SYNC_BEHIND, or the signal's reason. */
export async function awaitIdle(
  { side, replication }: SwitchSide,
  service: string,
  direction: Direction,
  /** A worker that waits for a table that somebody has locked is told of after `forMs`. */
  { forMs, signal }: { readonly forMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const streams = await findStreams(replication, service, direction)
  const names = JSON.stringify(streams.map(({ name }) => name))
  const sql = busySql(replication.major)
  const deadlineMs = performance.now() + forMs
  for (let looks = 0; looks < looksNeeded;) {
    // Workers run as the owner of their subscription, which sees what they wait for.
    const { rows } = await replication.query(sql, [names], { signal })
    looks = rows.length === 0 ? looks + 1 : 0
    if (performance.now() > deadlineMs) {
      const who = rows.map(([pid, event]) => `pid ${pid} (${event})`).join(', ')
      throw new PontoonError(
        'SYNC_BEHIND',
        `the ${side} is still applying what it has received after ${forMs} ms: ${who}`,
      )
    }
    await wait(pollMs, signal)
  }
}
