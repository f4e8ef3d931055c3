/**
 * Changes that no sync carries over any more. When the slot of a direction is lost and its sync is
 * made anew, that begins at this moment: what the lost slot had still to send is missing on the other
 * side, until `pontoon verify --repair` has brought it there. Hence `pontoon.missed`, which has a row
 * on both sides until a whole verification has found all rows equal; no switch begins before. The same
 * row says that an operator has given the way back up: then there is no sync either.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { literal } from './quote.ts'
import type { Direction } from './names.ts'

const givenUpColumn = 'given_up boolean NOT NULL DEFAULT false'

export const missedTableSql = `CREATE TABLE IF NOT EXISTS pontoon.missed (
  direction text PRIMARY KEY,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  ${givenUpColumn}
);`

export interface Missed {
  /** The moment, as the server writes it. */
  readonly since: string
  /** By an operator, with its sync: nothing is to be carried over. */
  readonly isGivenUp: boolean
}

/** What is lost so is mended so. */
export function lostSlotFix(direction: Direction, service: string): string {
  return direction === 'forward'
    ? `pontoon sync ${service} --drop --yes, then pontoon copy ${service} --restart`
    : `pontoon sync ${service} makes the way back anew, then pontoon verify ${service} --repair ` +
        'brings what it has missed'
}

export function noteMissedSql(direction: Direction): string {
  const row = literal(direction)
  return (
    `DELETE FROM pontoon.missed WHERE direction = ${row}; ` +
    `INSERT INTO pontoon.missed (direction) VALUES (${row})`
  )
}

export function noteGivenUpSql(direction: Direction): string {
  const row = literal(direction)
  return (
    `INSERT INTO pontoon.missed (direction, given_up) VALUES (${row}, true) ` +
    'ON CONFLICT (direction) DO UPDATE SET given_up = true, since = pg_catalog.clock_timestamp()'
  )
}

export async function noteGivenUp(client: SqlClient, direction: Direction): Promise<void> {
  await client.run(missedTableSql)
  // It came later than the table, which is altered only then: that waits for whoever reads it.
  const found = await client.query(
    `SELECT FROM pg_catalog.pg_attribute a WHERE a.attname = 'given_up' AND NOT a.attisdropped
       AND a.attrelid = 'pontoon.missed'::pg_catalog.regclass`,
  )
  if (found.rows.length === 0)
    await client.query(`ALTER TABLE pontoon.missed ADD COLUMN IF NOT EXISTS ${givenUpColumn}`)
  await client.query(noteGivenUpSql(direction))
}

/** Null while nothing is missing. */
export async function readMissed(
  client: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<Missed | null> {
  // The table came later than the others.
  const table = await client.value(
    "SELECT pg_catalog.to_regclass('pontoon.missed')",
    undefined,
    options,
  )
  if (table === null) return null
  const { rows } = await client.query(
    "SELECT m.since::text, to_jsonb(m)->>'given_up' FROM pontoon.missed m WHERE m.direction = $1",
    [direction],
    options,
  )
  const [since, givenUp] = rows[0] ?? []
  return typeof since === 'string' ? { since, isGivenUp: givenUp === 'true' } : null
}

export async function forgetMissed(client: SqlClient, direction: Direction): Promise<void> {
  if ((await readMissed(client, direction)) === null) return
  await client.query(`DELETE FROM pontoon.missed WHERE direction = ${literal(direction)}`)
}

export function missedText({ since, isGivenUp }: Missed, service: string): string {
  return isGivenUp
    ? `the way back was given up at ${since} by pontoon sync ${service} --drop --no-rollback: ` +
        'nothing written on the target since then goes to the source, so there is no rollback. ' +
        `Once the source is there, ${lostSlotFix('reverse', service)}; where it is gone for good, ` +
        'nothing has to be done'
    : `the sync was made anew at ${since}, without what its lost slot had still to send: ` +
        `pontoon verify ${service} --repair brings that over, and has to find all rows equal`
}
