/** Logical replication slots, on the side that sends. They keep WAL until it is confirmed. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../net/pg/sql-error.ts'
import { PontoonError } from '../../shared/errors.ts'
import { lsnOf, parseLsn, type Lsn } from './lsn.ts'
import { literal } from './quote.ts'

export interface SlotState {
  readonly name: string
  readonly isActive: boolean
  /** Of the WAL sender that uses it. */
  readonly activePid: number | null
  /** What the subscriber has made durable. */
  readonly confirmedFlushLsn: Lsn | null
  readonly restartLsn: Lsn | null
  /** From 13 on: `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null
  /** WAL that the server keeps because of this slot; 0 once it is lost. */
  readonly retainedBytes: number
  /** WAL written and not confirmed. */
  readonly unconfirmedBytes: number
  /** How much more may be written before the slot is lost; null without max_slot_wal_keep_size. */
  readonly safeBytes: number | null
}

const objectInUse = '55006'
const undefinedObject = '42704'
const duplicateObject = '42710'
const dropDeadlineMs = 15_000
const dropIntervalMs = 20

/** Undefined when this database has no such slot. */
export async function readSlot(
  client: SqlClient,
  slot: string,
  options?: SqlOptions,
): Promise<SlotState | undefined> {
  const [found] = await readSlots(client, [slot], options)
  return found
}

/** Those of `names` that exist. Works from PostgreSQL 10 on; wal_status came with 13. */
export async function readSlots(
  client: SqlClient,
  names: readonly string[],
  options?: SqlOptions,
): Promise<readonly SlotState[]> {
  const { rows } = await client.query(
    `SELECT s.slot_name, s.active, s.active_pid, s.confirmed_flush_lsn, s.restart_lsn,
       to_jsonb(s)->>'wal_status', to_jsonb(s)->>'safe_wal_size',
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn),
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.confirmed_flush_lsn)
     FROM pg_catalog.pg_replication_slots s
     WHERE s.slot_type = 'logical' AND s.database = pg_catalog.current_database()
       AND s.slot_name = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
     ORDER BY 1`,
    [JSON.stringify(names)],
    options,
  )
  return rows.map((row) => {
    const [name, active, pid, confirmed, restart, walStatus, safe, retained, unconfirmed] = row
    return {
      name: name ?? '',
      isActive: active === 't',
      activePid: numberOf(pid),
      confirmedFlushLsn: lsnOf(confirmed),
      restartLsn: lsnOf(restart),
      walStatus: walStatus ?? null,
      safeBytes: numberOf(safe),
      retainedBytes: numberOf(retained) ?? 0,
      unconfirmedBytes: numberOf(unconfirmed) ?? 0,
    }
  })
}

/**
 * Gives the position from which the slot sends. Waits for the transactions that are open anywhere
 * in the cluster; rejects with SQLSTATE 42710 when there is one of that name, and as
 * refuseForeignSlot().
 */
export async function createSlot(
  publisher: SqlClient,
  slot: string,
  options?: SqlOptions,
): Promise<Lsn> {
  const lsn = await publisher
    .value(
      `SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`,
      [slot],
      options,
    )
    .catch(async (error: unknown) => {
      if (hasSqlstate(error, duplicateObject)) await refuseForeignSlot(publisher, slot)
      throw error
    })
  return parseLsn(lsn ?? '')
}

/**
 * Rejects with MIGRATION_REFUSED where another database has a slot of that name: slots are the whole
 * cluster's, and a service of another configuration may be named as this one.
 */
export async function refuseForeignSlot(publisher: SqlClient, slot: string): Promise<void> {
  const { rows } = await publisher.query(
    `SELECT COALESCE(s.database, '') FROM pg_catalog.pg_replication_slots s
     WHERE s.slot_name = $1 AND s.database IS DISTINCT FROM pg_catalog.current_database()`,
    [slot],
  )
  const [row] = rows
  if (row === undefined) return
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `${publisher.where}: the replication slot ${slot} belongs to the database ${row[0]}, and its ` +
      'server can have one of that name only: another configuration has a service of the same name ' +
      'there. Give this one another name',
  )
}

/** For people. */
export function createSlotSql(slot: string): string {
  return `SELECT pg_catalog.pg_create_logical_replication_slot(${literal(slot)}, 'pgoutput')`
}

/** For people, as createSlotSql. */
export function dropSlotSql(slot: string): string {
  return `SELECT pg_catalog.pg_drop_replication_slot(${literal(slot)})`
}

/**
 * Ends who uses it, then drops it; gives whether this database had one. A subscription that is still
 * enabled comes back within moments, so this is tried for 15 s; then rejects with SQLSTATE 55006.
 */
export async function dropSlot(client: SqlClient, slot: string): Promise<boolean> {
  const deadline = performance.now() + dropDeadlineMs
  for (;;) {
    await client.query(
      `SELECT pg_catalog.pg_terminate_backend(s.active_pid)
       FROM pg_catalog.pg_replication_slots s
       WHERE s.slot_name = $1 AND s.active_pid IS NOT NULL
         AND s.database = pg_catalog.current_database()`,
      [slot],
    )
    try {
      const { rows } = await client.query(
        `SELECT pg_catalog.pg_drop_replication_slot(s.slot_name)
         FROM pg_catalog.pg_replication_slots s
         WHERE s.slot_name = $1 AND s.database = pg_catalog.current_database()`,
        [slot],
      )
      return rows.length > 0
    } catch (error) {
      if (hasSqlstate(error, undefinedObject)) return false
      if (!hasSqlstate(error, objectInUse) || performance.now() > deadline) throw error
    }
    await delay(dropIntervalMs)
  }
}

function numberOf(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text)
}
