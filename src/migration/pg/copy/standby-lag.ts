/**
 * How far behind each standby of a server is, by what it has replayed of the WAL that was there at
 * a known moment. The server's own `replay_lag` is not enough: it stands still with the last answer
 * of a standby, so one that hangs, or has paused its replay, would never seem late.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { parseLsn, type Lsn } from '../lsn.ts'

export interface LaggingStandby {
  /** Of its WAL sender. */
  readonly pid: number
  /** Its application_name, and address where that is the usual one. */
  readonly name: string
  readonly lagMs: number
}

interface Sample {
  readonly atMs: number
  readonly lsn: Lsn
}

/** More than two hours of looks, a second apart; beyond it the oldest one is kept, others go. */
const samplesMax = 10_000

/** Logical senders are no standbys, and pg_receivewal and backups replay nothing. */
const standbysSql = `SELECT r.pid,
    CASE WHEN r.application_name IN ('', 'walreceiver')
      THEN pg_catalog.concat_ws(' at ', 'walreceiver', pg_catalog.host(r.client_addr))
      ELSE r.application_name END,
    r.replay_lsn,
    COALESCE(EXTRACT(epoch FROM r.replay_lag) * 1000, 0)
  FROM pg_catalog.pg_stat_replication r
  LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
  WHERE r.replay_lsn IS NOT NULL AND s.slot_type IS DISTINCT FROM 'logical'`
const writtenSql = 'SELECT pg_catalog.pg_current_wal_flush_lsn()'

export class StandbyLag {
  readonly #nowMs: () => number
  /** How far the WAL was written at each look; as many as the standby furthest behind needs. */
  #samples: Sample[] = []

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Needs pg_read_all_stats. Rejects as SqlClient.query does. */
  async look(source: SqlClient, options: SqlOptions): Promise<readonly LaggingStandby[]> {
    const written = parseLsn((await source.value(writtenSql, undefined, options)) ?? '0/0')
    const nowMs = this.#nowMs()
    const { rows } = await source.query(standbysSql, undefined, options)
    const found = rows.map(([pid, name, replayed, lagMs]) => ({
      pid: Number(pid),
      name: name ?? '',
      toldMs: Number(lagMs),
      replayed: parseLsn(replayed ?? '0/0'),
    }))
    this.#remember(
      { atMs: nowMs, lsn: written },
      found.map(({ replayed }) => replayed),
    )
    return found.map(({ pid, name, replayed, toldMs }) => ({
      pid,
      name,
      lagMs: replayed >= written ? 0 : Math.max(toldMs, this.#sinceMs(replayed, nowMs)),
    }))
  }

  #remember(sample: Sample, replayed: readonly Lsn[]): void {
    this.#samples = this.#samples.filter(({ lsn }) => replayed.some((one) => one < lsn))
    if (this.#samples.at(-1)?.lsn !== sample.lsn) this.#samples.push(sample)
    if (this.#samples.length > samplesMax) this.#samples.splice(1, 1)
  }

  /** For how long there has been WAL that it has not replayed, as far as that was seen. */
  #sinceMs(replayed: Lsn, nowMs: number): number {
    const first = this.#samples.find(({ lsn }) => lsn > replayed)
    return first === undefined ? 0 : nowMs - first.atMs
  }
}
