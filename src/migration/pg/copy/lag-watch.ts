/** Slows the copy down while standbys of the source fall behind: its reading delays them too. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Throttle } from './throttle.ts'

const lookEveryMs = 1_000

/** Milliseconds of the standby that is furthest behind, 0 without any. Needs pg_read_all_stats. */
export async function sourceLagMs(source: SqlClient): Promise<number> {
  const lag = await source.value(
    `SELECT COALESCE(max(EXTRACT(epoch FROM replay_lag)), 0) * 1000
     FROM pg_catalog.pg_stat_replication`,
  )
  return Number(lag)
}

/** Until the signal. */
export async function watchLag(
  source: SqlClient,
  throttle: Throttle,
  maxMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && source.isOpen) {
    const lagMs = await sourceLagMs(source)
    throttle.brake(lagMs > maxMs)
    await delay(lookEveryMs, undefined, { signal }).catch(() => undefined)
  }
}
