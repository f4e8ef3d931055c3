/** What else on a side stands in the way of sync and of a switch: slots, long transactions. */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'

export interface LongTransaction {
  readonly pid: number
  readonly database: string
  readonly user: string
  readonly ageMs: number
}

export interface Surroundings {
  /** WAL kept by each logical slot of the cluster, by its name. */
  readonly retainedBytes: Readonly<Record<string, number>>
  /** Writing transactions of the whole cluster that are open for long. */
  readonly longTransactions: readonly LongTransaction[]
  readonly preparedTransactions: number
}

/** A slot cannot be made while such a transaction is open, anywhere in the cluster. */
const longMs = 60_000
const listedMax = 20

export async function readSurroundings(
  client: SqlClient,
  options?: SqlOptions,
): Promise<Surroundings> {
  const slots = await client.query(
    `SELECT s.slot_name, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)
     FROM pg_catalog.pg_replication_slots s WHERE s.slot_type = 'logical' ORDER BY 1`,
    undefined,
    options,
  )
  const long = await client.query(
    `SELECT a.pid, a.datname, a.usename,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000
     FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_xid IS NOT NULL
       AND a.xact_start < pg_catalog.clock_timestamp() - interval '${longMs} milliseconds'
     ORDER BY a.xact_start LIMIT ${listedMax}`,
    undefined,
    options,
  )
  const prepared = await client.value(
    'SELECT count(*) FROM pg_catalog.pg_prepared_xacts',
    undefined,
    options,
  )
  return {
    retainedBytes: Object.fromEntries(
      slots.rows.map(([name, bytes]) => [name ?? '', Number(bytes ?? 0)]),
    ),
    longTransactions: long.rows.map(([pid, database, user, ageMs]) => ({
      pid: Number(pid),
      database: database ?? '',
      user: user ?? '',
      ageMs: Math.round(Number(ageMs)),
    })),
    preparedTransactions: Number(prepared ?? 0),
  }
}
