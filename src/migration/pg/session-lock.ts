/**
 * Advisory locks that a connection holds until it is closed, by whatever end: nothing has to be
 * cleaned up. Two keys each make a clash with the application's own unlikely.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { PontoonError } from '../../shared/errors.ts'
import { wait } from '../../shared/wait.ts'

export interface SessionLock {
  /** As SQL has them. */
  readonly keys: string
  /** The session of a holder that has just ended, or was killed, may be there for a moment. */
  readonly patienceMs: number
  readonly refusal: (holder: string) => string
}

const pollMs = 100

/** Rejects with MIGRATION_REFUSED naming the holder. */
export async function lockSession(
  client: SqlClient,
  { keys, patienceMs, refusal }: SessionLock,
  signal?: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  const take = `SELECT pg_catalog.pg_try_advisory_lock(${keys})`
  while ((await client.value(take, undefined, { signal })) !== 't') {
    if (performance.now() > deadlineMs)
      throw new PontoonError('MIGRATION_REFUSED', refusal(await holderOn(client, keys)))
    await wait(pollMs, signal)
  }
}

async function holderOn(client: SqlClient, keys: string): Promise<string> {
  const { rows } = await client.query(
    `SELECT a.pid, a.application_name, COALESCE(host(a.client_addr), 'local')
     FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
       AND l.database = (SELECT oid FROM pg_catalog.pg_database
         WHERE datname = pg_catalog.current_database())
       AND (l.classid::int8, l.objid::int8) = (${keys})`,
  )
  const [pid, application, address] = rows[0] ?? []
  return pid === undefined
    ? 'a session that has just ended'
    : `${application}, pid ${pid} from ${address}`
}
