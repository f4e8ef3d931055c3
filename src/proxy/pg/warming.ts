/**
 * Opens servers on the side that is about to take over, before anybody is let go there: so many of
 * each kind as its clients have used, or wait for.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { PgServer } from '../../net/pg/server.ts'
import type { Pool } from '../../net/pool.ts'
import type { Side } from '../../shared/side.ts'
import type { ServiceContext } from './context.ts'
import type { PoolSet, ServerKinds } from './pool-set.ts'
import type { Sides } from './sides.ts'
import type { Session } from './session.ts'

/** How often it is looked whether all servers are there. */
const lookMs = 3
/** How often listeners that could not connect are told to try again. */
const hurryMs = 25
/** Connections that a server has to carry beside its clients' for a moment. */
const preparedMax = 100

export class Warming {
  readonly #context: ServiceContext
  readonly #pools: PoolSet
  readonly #sides: Sides
  readonly #sessions: ReadonlySet<Session>
  /** Servers that each kind had on the primary side when the switch began. */
  #used = new Map<ServerKinds, number>()

  constructor(
    context: ServiceContext,
    pools: PoolSet,
    sides: Sides,
    sessions: ReadonlySet<Session>,
  ) {
    this.#context = context
    this.#pools = pools
    this.#sides = sides
    this.#sessions = sessions
  }

  /** A switch begins: what is in use now will be wanted after it. */
  note(): void {
    this.#used = new Map()
    for (const kinds of this.#pools.all()) {
      const pool = kinds[this.#context.route.primary].write.existing
      if (pool !== null) this.#used.set(kinds, pool.openCount)
    }
  }

  /** A switch is to begin: connections for as many servers as clients have on the primary side. */
  async prepare(side: Side, deadlineMs: number): Promise<void> {
    let count = 0
    for (const kinds of this.#pools.all())
      count += kinds[this.#context.route.primary].write.existing?.openCount ?? 0
    await this.#sides.prepare(side, Math.min(count, preparedMax), deadlineMs)
  }

  /** Settles with the number of servers that are ready, at the latest after `deadlineMs`. */
  async warm(side: Side, deadlineMs: number): Promise<number> {
    const untilMs = this.#context.clock.nowMs() + deadlineMs
    const wanted = new Map(this.#used)
    for (const [kinds, count] of this.#parked())
      wanted.set(kinds, Math.max(count, wanted.get(kinds) ?? 0))
    const listening = this.#listen(untilMs)
    const warmed = [...wanted]
      .filter(([, count]) => count > 0)
      .map(([kinds, count]) => this.#open(kinds[side].write.pool, count, untilMs))
    const ready = await Promise.all(warmed)
    await listening
    this.#sides.closePrepared()
    return ready.reduce((sum, count) => sum + count, 0)
  }

  async #open(pool: Pool<PgServer>, count: number, untilMs: number): Promise<number> {
    const enough = Math.min(count, pool.limits.size)
    pool.keepWarm(count)
    while (pool.openCount < enough && this.#context.clock.nowMs() < untilMs) {
      // eslint-disable-next-line no-await-in-loop -- looks again
      await delay(lookMs)
      pool.keepWarm(count)
    }
    pool.keepWarm(0)
    return pool.openCount
  }

  #parked(): ReadonlyMap<ServerKinds, number> {
    const counts = new Map<ServerKinds, number>()
    for (const { state, server, identity } of this.#sessions)
      if (state === 'parked' && server === null)
        counts.set(identity.kinds, (counts.get(identity.kinds) ?? 0) + 1)
    return counts
  }

  /** Until all LISTENs are in force, so that no notification is missed. */
  async #listen(untilMs: number): Promise<void> {
    const { listeners, clock } = this.#context
    while (!listeners.areSettled && clock.nowMs() < untilMs) {
      listeners.hurry()
      // eslint-disable-next-line no-await-in-loop -- looks again
      await delay(hurryMs)
    }
  }
}
