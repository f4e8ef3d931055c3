/**
 * The beat of a direction: a row that the sending side writes now and then and that travels with
 * the changes. Once it is seen on the receiving side, everything that was committed before it is.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { heartbeatTable, pontoonSchema, type Direction } from '../names.ts'

const uniqueViolation = '23505'

/** Milliseconds of the sending server's clock. */
export interface Beat {
  readonly value: bigint
}

/**
 * Writes a beat, as a row that is new each time: an update would be lost where an earlier beat was
 * written before the slot, and never came. By the control role, which owns the table.
 */
export async function writeBeat(
  sender: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<void> {
  const table = tableOf(direction)
  try {
    await sender.run(
      `DELETE FROM ${table} WHERE name = 'beat';
       INSERT INTO ${table} (name, value, at)
       VALUES ('beat', (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint,
         pg_catalog.clock_timestamp())`,
      options,
    )
  } catch (error) {
    // Somebody else beats too, at this very moment: theirs will do.
    if (!hasSqlstate(error, uniqueViolation)) throw error
  }
}

/** Null while none was written, or none has arrived. */
export async function readBeat(
  client: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<Beat | null> {
  const value = await client.value(
    `SELECT value FROM ${tableOf(direction)} WHERE name = 'beat'`,
    undefined,
    options,
  )
  return value === null ? null : { value: BigInt(value) }
}

/**
 * How far behind the receiving side is, at most: 0 when it has the last beat. `sent` has to be read
 * before `arrived`, so that what is called caught up is. Null while nothing has arrived.
 */
export function beatLagMs(
  sent: Beat | null,
  arrived: Beat | null,
  senderNowMs: number,
): number | null {
  if (sent === null || arrived === null) return null
  return arrived.value >= sent.value ? 0 : Math.max(0, senderNowMs - Number(arrived.value))
}

function tableOf(direction: Direction): string {
  return `${pontoonSchema}.${heartbeatTable(direction)}`
}
