/**
 * Slows the copy down while standbys of the source fall behind: its reading delays them too. How far
 * behind one is, is measured here (standby-lag.ts); this is the watch: a session of its own, made
 * again when it breaks, and what it tells people.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { StandbyLag, type LaggingStandby } from './standby-lag.ts'
import type { Throttle } from './throttle.ts'

const lookEveryMs = 1_000
const lookMsMax = 5_000

export interface LagWatchOptions {
  readonly context: MigrationContext
  readonly throttle: Throttle
  readonly maxMs: number
  readonly nowMs: () => number
  readonly signal: AbortSignal
  readonly onNote: (words: string) => void
}

/** Until the signal. Rejects when the source cannot be asked at all. */
export async function watchLag(options: LagWatchOptions): Promise<void> {
  const { signal } = options
  const watch = new LagWatch(options)
  try {
    await watch.begin()
    while (!signal.aborted) {
      await watch.look()
      await delay(lookEveryMs, undefined, { signal }).catch(() => undefined)
    }
  } finally {
    watch.close()
  }
}

class LagWatch {
  readonly #options: LagWatchOptions
  readonly #lag: StandbyLag
  #source: SqlClient | null = null
  #late: LaggingStandby | null = null
  #isBlind = false

  constructor(options: LagWatchOptions) {
    this.#options = options
    this.#lag = new StandbyLag(options.nowMs)
  }

  async begin(): Promise<void> {
    const source = await this.#connected()
    await refuseWithoutSight(source)
    if ((await this.#lag.look(source, { timeoutMs: lookMsMax })).length === 0)
      this.#note(
        '--max-lag: no standby follows the source, so nothing slows the copy down until one does.',
      )
  }

  /** Never rejects: a source that cannot be asked does not end a copy that tries again by itself. */
  async look(): Promise<void> {
    const { signal } = this.#options
    try {
      const source = await this.#connected()
      const standbys = await this.#lag.look(source, { timeoutMs: lookMsMax, signal })
      if (this.#isBlind) this.#note('--max-lag: the lag of the standbys can be seen again.')
      this.#isBlind = false
      this.#judge(standbys)
    } catch (error) {
      if (signal.aborted || this.#isBlind) return
      this.#isBlind = true
      this.#note(
        '--max-lag: how far the standbys are behind cannot be seen for now, so the copy reads no ' +
          `faster than before: ${toPontoonError(error).message}`,
      )
    }
  }

  close(): void {
    this.#source?.close()
  }

  #judge(standbys: readonly LaggingStandby[]): void {
    const { throttle, maxMs } = this.#options
    const before = this.#late
    const worst = standbys.reduce<LaggingStandby | null>(
      (found, one) => (found === null || one.lagMs > found.lagMs ? one : found),
      null,
    )
    this.#late = worst !== null && worst.lagMs > maxMs ? worst : null
    throttle.brake(this.#late === null ? null : `standby ${behind(this.#late)}`)
    if (this.#late !== null && before === null)
      this.#note(
        `The standby ${behind(this.#late)}, more than --max-lag: the copy reads slowly until it ` +
          'has caught up.',
      )
    else if (this.#late === null && before !== null) this.#note(ending(before, standbys))
  }

  async #connected(): Promise<SqlClient> {
    if (this.#source?.isOpen !== true)
      this.#source = await connectAs(this.#options.context, {
        side: 'source',
        purpose: 'control',
        task: 'copy: lag',
      })
    return this.#source
  }

  #note(words: string): void {
    this.#options.onNote(words)
  }
}

function behind({ name, lagMs }: LaggingStandby): string {
  return `${name} is ${(lagMs / 1_000).toFixed(1)} s behind`
}

function ending(before: LaggingStandby, standbys: readonly LaggingStandby[]): string {
  return standbys.some(({ pid }) => pid === before.pid)
    ? `The standby ${before.name} has caught up: the copy speeds up again.`
    : `The standby ${before.name} follows the source no more, so the copy does not wait for it ` +
        'and speeds up again.'
}

/** Without it the server shows no positions, which would look like standbys that are never late. */
async function refuseWithoutSight(source: SqlClient): Promise<void> {
  const may = `SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')`
  if ((await source.value(may)) === 't') return
  const role = await source.value('SELECT pg_catalog.quote_ident(current_user)')
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `--max-lag: ${role} may not see how far the standbys of the source are behind. Run ` +
      `pontoon schema, or there as an administrator: GRANT pg_monitor TO ${role}`,
  )
}
