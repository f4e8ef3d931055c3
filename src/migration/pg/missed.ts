/**
 * Changes that no sync carries over any more. When the slot of a direction is lost and its sync is
 * made anew, that begins at this moment: what the lost slot had still to send is missing on the other
 * side, until `pontoon verify --repair` has brought it there. Hence `pontoon.missed`, which has a row
 * on both sides until a whole verification has found all rows equal; no switch begins before.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { literal } from './quote.ts'
import type { Direction } from './names.ts'

export const missedTableSql = `CREATE TABLE IF NOT EXISTS pontoon.missed (
  direction text PRIMARY KEY,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);`

/** What is lost so is mended so. */
export function lostSlotFix(direction: Direction, service: string): string {
  return direction === 'forward'
    ? `pontoon sync ${service} --drop --yes, then pontoon copy ${service} --restart`
    : `pontoon sync ${service} makes the way back anew, then pontoon verify ${service} --repair ` +
        'brings what it has missed'
}

export function noteMissedSql(direction: Direction): string {
  return (
    `INSERT INTO pontoon.missed (direction) VALUES (${literal(direction)}) ` +
    'ON CONFLICT (direction) DO UPDATE SET since = pg_catalog.clock_timestamp()'
  )
}

/** The moment, as the server writes it; null while nothing is missing. */
export async function readMissed(
  client: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<string | null> {
  // The table came later than the others.
  const table = await client.value(
    "SELECT pg_catalog.to_regclass('pontoon.missed')",
    undefined,
    options,
  )
  if (table === null) return null
  const sql = 'SELECT since::text FROM pontoon.missed WHERE direction = $1'
  return await client.value(sql, [direction], options)
}

export async function forgetMissed(client: SqlClient, direction: Direction): Promise<void> {
  if ((await readMissed(client, direction)) === null) return
  await client.query(`DELETE FROM pontoon.missed WHERE direction = ${literal(direction)}`)
}

export function missedText(since: string, service: string): string {
  return (
    `the sync was made anew at ${since}, without what its lost slot had still to send: ` +
    `pontoon verify ${service} --repair brings that over, and has to find all rows equal`
  )
}
