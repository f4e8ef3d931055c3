/** Asks a database which of some backends it has, over a connection of its own. */
import { openQueryConnection } from './query.ts'
import type { LoginOptions } from './login.ts'

/**
 * Those of `pids` that are there, or null when the answer says nothing: between a pooler and us
 * process ids are not those of backends, which its answer about ourselves gives away.
 */
export async function askBackends(
  options: LoginOptions,
  pids: readonly number[],
): Promise<ReadonlySet<number> | null> {
  const connection = await openQueryConnection(options)
  try {
    const list = pids.map((pid) => Math.trunc(pid)).join(', ')
    const rows = await connection.query(
      `SELECT pg_catalog.pg_backend_pid() UNION ALL
       SELECT pid FROM pg_catalog.pg_stat_activity WHERE pid IN (${list})`,
      options.timeoutMs,
    )
    const [own, ...found] = rows.map(([pid]) => Number(pid))
    return own === connection.pid ? new Set(found) : null
  } finally {
    connection.close()
  }
}
