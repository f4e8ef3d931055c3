/**
 * The last error of an apply worker as the receiving server logged it. Only there are its words;
 * they can be had over SQL where the server writes its log to a file (logging_collector) and the
 * control role is a member of pg_monitor and may execute pg_read_binary_file(text, bigint, bigint).
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { SqlError } from '../../../net/pg/sql-error.ts'

const tailBytes = 262_144

export interface WorkerError {
  readonly message: string
  /** DETAIL and CONTEXT, as far as there are any. */
  readonly detail: string
}

/** Null where the log cannot be read or has none. Lines of a text log (log_destination stderr). */
export async function lastWorkerError(
  client: SqlClient,
  options?: SqlOptions,
): Promise<WorkerError | null> {
  try {
    const text = await client.value(
      `SELECT pg_catalog.convert_from(pg_catalog.pg_read_binary_file(f.name, GREATEST(0, s.size - ${tailBytes}),
         ${tailBytes}), 'SQL_ASCII')
       FROM (SELECT pg_catalog.pg_current_logfile('stderr') AS name) f
       JOIN pg_catalog.pg_ls_logdir() s ON f.name = s.name OR f.name LIKE '%/' || s.name`,
      undefined,
      options,
    )
    return text === null ? null : parseWorkerError(text)
  } catch (error) {
    // No privilege, no such function, no such file: there is no log to read.
    if (error instanceof SqlError) return null
    throw error
  }
}

/** The last ERROR that an apply or table synchronisation worker gave. */
export function parseWorkerError(log: string): WorkerError | null {
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
    if (isWorker || isLink) return { message, detail: detail.join('; ') }
  }
  return null
}
