/**
 * Ends what an earlier attempt at a switch has left running on a side. A process that dies, or a
 * statement that is given up, leaves a backend behind that still does what it was told: a fence or
 * a subscription that takes effect only after the undo has looked would stay for ever.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { PontoonError } from '../../../shared/errors.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { switchTask } from './switch-sides.ts'

const endMs = 5_000
const pollMs = 5

/** Those of the role of `client` in its database, but itself and `keep`. Rejects with SQL_TIMEOUT. */
export async function endEarlier(client: SqlClient, keep: readonly number[] = []): Promise<void> {
  const deadlineMs = performance.now() + endMs
  const sql = `SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND usename = current_user
      AND application_name = $1 AND pid <> ALL ($2::int[])`
  const values = [`pontoon ${switchTask}`, `{${[client.pid, ...keep].join(',')}}`]
  for (;;) {
    const { rows } = await client.query(sql, values, { timeoutMs: endMs })
    if (rows.length === 0) return
    const pids = rows.map(([pid]) => pid).join(', ')
    if (performance.now() > deadlineMs)
      throw new PontoonError('SQL_TIMEOUT', `${client.where}: backends ${pids} do not end`)
    await delay(pollMs)
  }
}
