/**
 * The last error of an apply worker as the receiving server logged it. Only there are its words;
 * they can be had over SQL where the server writes its log to a file (logging_collector) and the
 * control role is a member of pg_monitor and may execute pg_read_binary_file(text, bigint, bigint).
 * pg_current_logfile() is not asked: before 16 pg_monitor may not execute it.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { SqlError } from '../../../net/pg/sql-error.ts'

const tailBytes = 262_144

const mayReadSql = `SELECT pg_catalog.current_setting('logging_collector') = 'on' AND pg_catalog.bool_and(
    pg_catalog.has_function_privilege(f, 'EXECUTE'))
  FROM (VALUES ('pg_catalog.pg_ls_logdir()'),
    ('pg_catalog.pg_read_binary_file(text, bigint, bigint)')) AS needed(f)`

export interface WorkerError {
  readonly message: string
  /** DETAIL and CONTEXT, as far as there are any. */
  readonly detail: string
}

/** Whose errors are asked for: a log has those of all subscriptions of the cluster. */
export interface Subscriber {
  readonly oid: number
  readonly slot: string | null
}

/** Null where the log cannot be read or has none. Lines of a text log (log_destination stderr). */
export async function lastWorkerError(
  client: SqlClient,
  subscriber: Subscriber,
  options?: SqlOptions,
): Promise<WorkerError | null> {
  try {
    // Asked first: a refusal would stand in that very log, once a second.
    if ((await client.value(mayReadSql, undefined, options)) !== 't') return null
    const text = await client.value(
      `SELECT pg_catalog.convert_from(pg_catalog.pg_read_binary_file(
         pg_catalog.current_setting('log_directory') || '/' || f.name,
         GREATEST(0, f.size - ${tailBytes}), ${tailBytes}), 'SQL_ASCII')
       FROM pg_catalog.pg_ls_logdir() f WHERE f.name !~ '\\.(csv|json)$'
       ORDER BY f.modification DESC LIMIT 1`,
      undefined,
      options,
    )
    return text === null ? null : parseWorkerError(text, subscriber)
  } catch (error) {
    // No privilege, no such function, no such file: there is no log to read.
    if (error instanceof SqlError) return null
    throw error
  }
}

/**
 * The last ERROR that an apply or table synchronisation worker of the subscription gave. Of some the
 * words do not tell whose they are (all before 15): those count.
 */
export function parseWorkerError(log: string, subscriber: Subscriber): WorkerError | null {
  const lines = log.split('\n')
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    const [, message] = /\bERROR: {2}(.*)$/.exec(lines[at] ?? '') ?? []
    if (message === undefined) continue
    const detail = lines
      .slice(at + 1, at + 6)
      .flatMap((line) => /\b(?:DETAIL|CONTEXT): {2}(.*)$/.exec(line)?.[1] ?? [])
      .filter(Boolean)
    const isWorker = detail.some((line) => line.startsWith('processing remote data'))
    const isLink = /publisher|replication slot|data from WAL stream|target relation/.test(message)
    if (!isWorker && !isLink) continue
    if (isOf(subscriber, [message, ...detail].join(' ')))
      return { message, detail: detail.join('; ') }
  }
  return null
}

/** Origins are named pg_OID, or pg_OID_TABLE while a table is copied. */
function isOf({ oid, slot }: Subscriber, words: string): boolean {
  const [, origin] = /replication origin "pg_(\d+)[_"]/.exec(words) ?? []
  if (origin !== undefined) return Number(origin) === oid
  const [, named] = /replication slot "([^"]+)"/.exec(words) ?? []
  return named === undefined || named === slot || named.startsWith(`pg_${oid}_sync_`)
}
