/** Rows of Pontoon's own that travel with the changes and prove how far they have come. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { beatSql, readBeatSql, type BeatKind } from '../control-schema.ts'
import type { Direction } from '../names.ts'

export interface BeatWait {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

const pollMs = 1

/** Never the same twice, also in another process: microseconds of the wall clock, rising. */
let lastValue = 0n
export function freshValue(wallMs: number): bigint {
  const value = BigInt(Math.trunc(wallMs)) * 1_000n
  lastValue = value > lastValue ? value : lastValue + 1n
  return lastValue
}

/** Durable where it is written when this settles. */
export async function sendBeat(
  client: SqlClient,
  direction: Direction,
  kind: BeatKind,
  value: bigint,
  wait: BeatWait,
): Promise<void> {
  // Within the implicit transaction, and so for its commit.
  const sql = `SET LOCAL synchronous_commit = on; ${beatSql(direction, kind, value)}`
  await client.run(sql, wait)
}

/** Settles once that row, or a later one, can be seen. Rejects with SQL_TIMEOUT. */
export async function awaitBeat(
  client: SqlClient,
  direction: Direction,
  kind: BeatKind,
  value: bigint,
  { timeoutMs, signal }: BeatWait,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  const sql = readBeatSql(direction, kind)
  for (;;) {
    const seen = await client.value(sql, undefined, { timeoutMs, signal })
    if (seen !== null && BigInt(seen) >= value) return
    if (performance.now() > deadlineMs)
      throw new PontoonError(
        'SQL_TIMEOUT',
        `${client.where}: a row has not come by ${direction} sync within ${timeoutMs} ms`,
      )
    await delay(pollMs, undefined, { signal })
  }
}

/** How long a row takes from one side to the other, in milliseconds. */
export async function travelMs(
  sender: SqlClient,
  receiver: SqlClient,
  direction: Direction,
  value: bigint,
  wait: BeatWait,
): Promise<number> {
  await sendBeat(sender, direction, 'probe', value, wait)
  const sentMs = performance.now()
  await awaitBeat(receiver, direction, 'probe', value, wait)
  return performance.now() - sentMs
}
