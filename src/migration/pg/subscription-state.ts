/** What a server knows about a subscription of its own. Neighbour: subscription.ts, which makes them. */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { lsnOf, type Lsn } from './lsn.ts'
import type { QualifiedName } from './quote.ts'
import { isNamedSql, subscriptionsSql } from './subscription.ts'

/** Of pg_subscription_rel.srsubstate. */
export type TableSyncState = 'init' | 'copying' | 'copied' | 'synced' | 'ready'

export interface SyncedTable extends QualifiedName {
  readonly state: TableSyncState
}

/** Counted by the server since its statistics were reset (from 15 on). */
export interface SubscriptionErrors {
  readonly apply: number
  readonly sync: number
  /** Rows that were not as expected, of every kind (from 18 on). */
  readonly conflicts: Readonly<Record<string, number>>
}

export interface SubscriptionState {
  readonly name: string
  readonly oid: number
  readonly owner: string
  readonly isEnabled: boolean
  readonly slot: string | null
  readonly publications: readonly string[]
  /** Of the worker that applies; null while there is none. */
  readonly workerPid: number | null
  /** How long that worker has lived; null without one, or without the privilege to see it. */
  readonly workerAgeMs: number | null
  /** What the worker has been sent. */
  readonly receivedLsn: Lsn | null
  /** What it has told the publisher last. */
  readonly latestEndLsn: Lsn | null
  readonly tables: readonly SyncedTable[]
  /** Null before 15, which counts nothing. */
  readonly errors: SubscriptionErrors | null
}

const states: Readonly<Record<string, TableSyncState>> = {
  i: 'init',
  d: 'copying',
  f: 'copied',
  s: 'synced',
  r: 'ready',
}

/**
 * Undefined when there is no such subscription. Needs no privilege: reads no CONNECTION. Works
 * from PostgreSQL 10 on; helpers of a worker (leader_pid) came with 16.
 */
export async function readSubscription(
  client: SqlClient,
  name: string,
  options?: SqlOptions,
): Promise<SubscriptionState | undefined> {
  const statistics =
    client.major >= 15
      ? `(SELECT to_json(e) FROM pg_catalog.pg_stat_subscription_stats e WHERE e.subid = s.oid)`
      : 'NULL'
  const { rows } = await client.query(
    `SELECT pg_catalog.pg_get_userbyid(s.subowner), s.subenabled, s.subslotname,
       to_json(s.subpublications), w.pid, w.received_lsn, w.latest_end_lsn,
       (SELECT json_agg(json_build_object(
           'schema', n.nspname, 'name', c.relname, 'state', r.srsubstate)
           ORDER BY n.nspname, c.relname)
         FROM pg_catalog.pg_subscription_rel r
         JOIN pg_catalog.pg_class c ON c.oid = r.srrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE r.srsubid = s.oid),
       ${statistics}, s.oid::bigint,
       (SELECT extract(epoch FROM pg_catalog.clock_timestamp() - a.backend_start) * 1000
         FROM pg_catalog.pg_stat_activity a WHERE a.pid = w.pid)
     FROM ${subscriptionsSql(client.major)} s
     LEFT JOIN pg_catalog.pg_stat_subscription w ON w.subid = s.oid AND w.relid IS NULL
       AND to_jsonb(w)->>'leader_pid' IS NULL
     WHERE ${isNamedSql(name)}`,
    undefined,
    options,
  )
  const [row] = rows
  if (row === undefined) return undefined
  const [owner, enabled, slot, publications, pid, received, latestEnd, tables, errors, oid, age] =
    row
  return {
    name,
    oid: Number(oid),
    owner: owner ?? '',
    isEnabled: enabled === 't',
    slot: slot ?? null,
    publications: parsed<readonly string[]>(publications, []),
    workerPid: pid === null || pid === undefined ? null : Number(pid),
    workerAgeMs: age === null || age === undefined ? null : Number(age),
    receivedLsn: lsnOf(received),
    latestEndLsn: lsnOf(latestEnd),
    tables: parsed<readonly (QualifiedName & { state: string })[]>(tables, []).map((table) => ({
      ...table,
      state: states[table.state] ?? 'init',
    })),
    errors: errorsOf(parsed<Readonly<Record<string, unknown>> | null>(errors, null)),
  }
}

function errorsOf(counted: Readonly<Record<string, unknown>> | null): SubscriptionErrors | null {
  if (counted === null) return null
  const conflicts = Object.entries(counted).flatMap(([key, count]) =>
    key.startsWith('confl_') ? [[key.slice('confl_'.length), Number(count)] as const] : [],
  )
  return {
    apply: Number(counted['apply_error_count'] ?? 0),
    sync: Number(counted['sync_error_count'] ?? 0),
    conflicts: Object.fromEntries(conflicts),
  }
}

/** JSON that the statement above makes. */
function parsed<T>(json: string | null | undefined, otherwise: T): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by our own statement
  return json === null || json === undefined ? otherwise : (JSON.parse(json) as T)
}
