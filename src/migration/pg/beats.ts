/**
 * Markers: rows of Pontoon's own that travel with the changes of a direction and prove how far
 * they have come. Changes are applied in the order of their commits, so whoever sees a marker has
 * everything that was committed before it. Each has a name that was never there before: no clock
 * is asked, none that was set back can make an older row pass for a newer one.
 */
import { randomBytes } from 'node:crypto'
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { PontoonError } from '../../shared/errors.ts'
import { wait } from '../../shared/wait.ts'
import { heartbeatTable, type Direction } from './names.ts'
import { literal } from './quote.ts'

/** `fence`: the last row of a side before a switch; `probe`: measures a way; `verify`: aligns. */
export type MarkerKind = 'fence' | 'probe' | 'verify'

export interface Marker {
  readonly direction: Direction
  readonly name: string
}

export interface MarkerWait {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Short, since a switch waits for two of them in its pause. */
const pollMs = 1

/**
 * Writes a marker; it is durable on the sending side when this settles (connectAs() turns
 * synchronous_commit on). Always an INSERT: an UPDATE of a row that the other side does not have
 * would vanish on the way.
 */
export async function sendMarker(
  sender: SqlClient,
  direction: Direction,
  kind: MarkerKind,
  options: MarkerWait,
): Promise<Marker> {
  const table = tableOf(direction)
  const name = `${kind}-${randomBytes(12).toString('hex')}`
  // Whoever still waits for one of these waits longer than anybody allows.
  await sender.run(
    `DELETE FROM ${table} WHERE name LIKE '${kind}-%'
       AND at < pg_catalog.clock_timestamp() - interval '1 minute';
     INSERT INTO ${table} (name, value, at) VALUES (${literal(name)}, 0, pg_catalog.clock_timestamp())`,
    options,
  )
  return { direction, name }
}

/** Settles once the marker can be seen. Rejects with SYNC_BEHIND, or the signal's reason. */
export async function awaitMarker(
  receiver: SqlClient,
  { direction, name }: Marker,
  { timeoutMs, signal }: MarkerWait,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  const sql = `SELECT 1 FROM ${tableOf(direction)} WHERE name = ${literal(name)}`
  while ((await receiver.value(sql, undefined, { timeoutMs, signal })) === null) {
    if (performance.now() > deadlineMs)
      throw new PontoonError(
        'SYNC_BEHIND',
        `${receiver.where}: a row has not come by ${direction} sync within ${timeoutMs} ms`,
      )
    await wait(pollMs, signal)
  }
}

/**
 * Takes away what has come by an earlier sync of that direction. A sender that was set up anew
 * knows nothing of those rows, so its own beat, a row of the same key, could not be applied.
 */
export async function forgetArrived(
  receiver: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<void> {
  await receiver.run(`DELETE FROM ${tableOf(direction)}`, options)
}

/** How long a row takes from one side to the other, in milliseconds. Rejects as awaitMarker(). */
export async function travelMs(
  sender: SqlClient,
  receiver: SqlClient,
  direction: Direction,
  options: MarkerWait,
): Promise<number> {
  const marker = await sendMarker(sender, direction, 'probe', options)
  const sentMs = performance.now()
  await awaitMarker(receiver, marker, options)
  return performance.now() - sentMs
}

function tableOf(direction: Direction): string {
  return `pontoon.${heartbeatTable(direction)}`
}
