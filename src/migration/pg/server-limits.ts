/**
 * What a subscription has to find free: on the server that sends, a slot and a WAL sender; on the one
 * that receives, a worker, a process for it, and a place to note how far it is. All are limits of
 * the whole server, whatever its databases, and need a restart to be raised.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { arrayLiteral } from './fence.ts'
import type { Side } from '../../shared/side.ts'

export interface ServerLimit {
  readonly parameter: string
  readonly value: number
  /** By whoever it is not to be counted for. */
  readonly used: number
  /** Our role may not see what is in use, only what may be. */
  readonly isGuess: boolean
}

/** Of the sending server, those that leave no room for one subscription; `own` slots are its own. */
export async function fullForSlot(
  sender: SqlClient,
  own: readonly string[],
): Promise<readonly ServerLimit[]> {
  const { rows } = await sender.query(
    `SELECT pg_catalog.current_setting('max_replication_slots'),
       (SELECT count(*) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name <> ALL ($1::text[])),
       pg_catalog.current_setting('max_wal_senders'),
       (SELECT count(*) FROM pg_catalog.pg_stat_replication r WHERE r.pid <> ALL (ARRAY(
         SELECT s.active_pid FROM pg_catalog.pg_replication_slots s
         WHERE s.active AND s.slot_name = ANY ($1::text[]))))`,
    [arrayLiteral(own)],
  )
  return fullOf(rows[0] ?? [], ['max_replication_slots', 'max_wal_senders'])
}

/**
 * Of the receiving server, those that leave no room for one worker of a subscription. What
 * subscriptions with the oids `own` have is theirs. Workers of parallel queries are not counted:
 * they come and go.
 */
export async function fullForWorker(
  receiver: SqlClient,
  own: readonly number[],
  options?: SqlOptions,
): Promise<readonly ServerLimit[]> {
  const origins = receiver.major >= 18 ? 'max_active_replication_origins' : 'max_replication_slots'
  const isSeen = (await receiver.value(maySeeOriginsSql, undefined, options)) === 't'
  const { rows } = await receiver.query(
    `SELECT pg_catalog.current_setting('max_logical_replication_workers'),
       (SELECT count(w.pid) FROM pg_catalog.pg_stat_subscription w WHERE w.subid <> ALL ($1::oid[])),
       pg_catalog.current_setting('max_worker_processes'),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a
        WHERE a.backend_type <> ALL ($2::text[]) AND NOT ${isParallel10} AND a.pid <> ALL (ARRAY(
          SELECT w.pid FROM pg_catalog.pg_stat_subscription w
          WHERE w.pid IS NOT NULL AND w.subid = ANY ($1::oid[])))),
       pg_catalog.current_setting('${origins}'),
       (SELECT count(*) FROM ${isSeen ? originsInUse : originsMade} o
        WHERE o.name !~ ('^pg_(' || pg_catalog.array_to_string($1::oid[], '|') || ')(_|$)'))`,
    [`{${own.join(',')}}`, arrayLiteral(noBackgroundWorkers)],
    options,
  )
  const names = ['max_logical_replication_workers', 'max_worker_processes', origins]
  return fullOf(rows[0] ?? [], names).map((limit) =>
    limit.parameter === origins ? { ...limit, isGuess: !isSeen } : limit,
  )
}

/** Until 13 only a superuser, whatever is granted. Asked first: a refusal would stand in the log. */
const maySeeOriginsSql = `SELECT pg_catalog.has_function_privilege(
    'pg_catalog.pg_show_replication_origin_status()', 'EXECUTE')
  AND (pg_catalog.current_setting('server_version_num')::int >= 140000
    OR pg_catalog.current_setting('is_superuser') = 'on')`

const originsInUse = `(SELECT COALESCE(s.external_id, '') AS name
  FROM pg_catalog.pg_show_replication_origin_status() s)`
/** One whose subscription has never run, or that nobody has used since a restart, is not in use. */
const originsMade = '(SELECT r.roname AS name FROM pg_catalog.pg_replication_origin r)'

/** Of a parallel query, which 10 calls as it does others: at work on what a client has asked. */
const isParallel10 = `(a.backend_type = 'background worker' AND EXISTS (
  SELECT FROM pg_catalog.pg_stat_activity c
  WHERE c.backend_type = 'client backend' AND c.datid = a.datid AND c.usesysid = a.usesysid
    AND c.query = a.query))`

/** All else that a server shows is a background worker, by whatever name its extension gave it. */
const noBackgroundWorkers = [
  'client backend',
  'walsender',
  'autovacuum launcher',
  'autovacuum worker',
  'archiver',
  'background writer',
  'checkpointer',
  'io worker',
  'logger',
  'parallel worker',
  'slotsync worker',
  'standalone backend',
  'startup',
  'walreceiver',
  'walsummarizer',
  'walwriter',
]

function fullOf(
  row: readonly (string | null)[],
  parameters: readonly string[],
): readonly ServerLimit[] {
  return parameters
    .map((parameter, index) => ({
      parameter,
      value: Number(row[2 * index]),
      used: Number(row[2 * index + 1]),
      isGuess: false,
    }))
    .filter(({ value, used }) => used >= value)
}

export function fullText(side: Side, limits: readonly ServerLimit[]): string {
  const each = limits.map(
    ({ parameter, value, used }) =>
      `${parameter} of the ${side} is ${value} and has to be ${used + 1} at least (${used} in use)`,
  )
  return each.join(', ')
}
