/** Asks a database which of some backends it has, over a connection of its own. */
import { postmasterSql } from './postmaster.ts'
import { openQueryConnection } from './query.ts'
import type { LoginOptions } from './login.ts'

export interface BackendsAnswer {
  /** Who has answered (postmaster.ts): a process id says something about its own host only. */
  readonly postmaster: string | null
  /** Those of the process ids that are there. */
  readonly alive: ReadonlySet<number>
}

/**
 * Which of `pids` are there, or null when the answer says nothing: between a pooler and us
 * process ids are not those of backends, which its answer about ourselves gives away.
 * Rejects as `openQueryConnection` and its `query` do.
 */
export async function askBackends(
  options: LoginOptions,
  pids: readonly number[],
): Promise<BackendsAnswer | null> {
  const connection = await openQueryConnection(options)
  try {
    const list = pids.map((pid) => Math.trunc(pid)).join(', ')
    const rows = await connection.query(
      `SELECT pg_catalog.pg_backend_pid(), ${postmasterSql} UNION ALL
       SELECT pid, NULL FROM pg_catalog.pg_stat_activity WHERE pid IN (${list})`,
      options.timeoutMs,
    )
    const [own, ...found] = rows.map(([pid]) => Number(pid))
    if (own !== connection.pid) return null
    return { postmaster: rows[0]?.[1] ?? null, alive: new Set(found) }
  } finally {
    connection.close()
  }
}
