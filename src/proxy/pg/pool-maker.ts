/** Makes the pools of a service: how servers are opened, their limits, and what is counted. */
import type { ServiceConfig } from '../../config/schema.ts'
import { Pool } from '../../net/pool.ts'
import type { PoolLimits, PoolObserver } from '../../net/pool-rules.ts'
import { ServerCap } from '../../net/server-cap.ts'
import type { PgServer } from '../../net/pg/server.ts'
import type { Route } from '../../routing/route.ts'
import type { Clock } from '../../shared/clock.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import type { Side } from '../../shared/side.ts'
import { countIn, type ServiceStats } from '../service.ts'
import { userEntry } from './credentials.ts'
import { IdleServerHandler } from './idle-server.ts'
import { isReplication, type ServerKind } from './pool-set.ts'
import type { Sides } from './sides.ts'
import { stateOf, type MarkWatch } from './marks.ts'

export interface PoolMakerParts {
  readonly name: string
  config(): ServiceConfig
  route(): Route
  readonly clock: Clock
  readonly log: Log
  readonly stats: ServiceStats
  readonly sides: Sides
  marks(): MarkWatch
  /** A server was lost or cannot be had; `isSilent`: its host did not even refuse. */
  trouble(side: Side, isSilent: boolean): void
}

export class PoolMaker {
  readonly #parts: PoolMakerParts
  readonly #caps = new Map<string, ServerCap>()
  /** Databases whose last server had a mark. */
  readonly #marked = new Set<string>()

  constructor(parts: PoolMakerParts) {
    this.#parts = parts
  }

  make(kind: ServerKind): Pool<PgServer> {
    const pool: Pool<PgServer> = new Pool(
      () => this.#open(kind, (server) => pool.lost(server)),
      this.limitsOf(kind),
      this.#parts.clock,
      { caps: isReplication(kind) ? [] : this.#capsOf(kind), observer: this.#observe(kind) },
    )
    return pool
  }

  async #open(kind: ServerKind, onLost: (server: PgServer) => void): Promise<PgServer> {
    const { sides } = this.#parts
    const server = await sides.open(kind, (opened) => new IdleServerHandler(opened, onLost))
    // A standby sends WAL as well, and a WAL sender takes no queries.
    if (isReplication(kind)) return server
    try {
      await this.#examine(kind, server)
    } catch (error) {
      server.close()
      throw error
    }
    return server
  }

  /**
   * Never writes to a standby: after a failover the name of a side may lead to the old primary, or
   * to one that is not promoted yet, for a while. (A role that is read-only by its settings is not
   * looked at: that is its owner's wish.) Never serves from a side whose mark contradicts the route.
   */
  async #examine(kind: ServerKind, server: PgServer): Promise<void> {
    const { connectTimeoutMs } = this.#parts.config()[kind.side]
    // Both sides get it together, so that what one says is known of the other.
    const { database } = kind
    const isMarked = this.#marked.has(database)
    const { isStandby, mark } = await stateOf(server, connectTimeoutMs, isMarked)
    if (mark === null) this.#marked.delete(database)
    else this.#marked.add(database)
    if (isStandby && kind.access === 'write') throw inRecovery(server)
    if (mark !== null) this.#parts.marks().check(kind.side, mark)
  }

  limitsOf(kind: ServerKind): PoolLimits {
    const config = this.#parts.config()
    const { pool } = config
    const size = isReplication(kind)
      ? config.limits.replicationClientsMax
      : (userEntry(config, kind.user)?.poolSize ?? pool.size)
    return {
      ...pool,
      size,
      minSize: this.#isKeptWarm(kind) ? Math.min(pool.minSize, size) : 0,
      // A read that finds its side down goes to the primary at once instead of being held.
      holdMs: kind.access === 'read' ? 0 : pool.holdMs,
      probeTimeoutMs: config[kind.side].connectTimeoutMs,
    }
  }

  /**
   * Servers for writes on the primary side, and before a switch on the target, so that it finds
   * them; for reads where they are used. Those with startup parameters of their own serve few.
   */
  #isKeptWarm({ access, side, parameters }: ServerKind): boolean {
    if (parameters.size > 0 || this.#parts.config().pool.mode === 'session') return false
    const { primary, reads } = this.#parts.route()
    if (access === 'write') return side === primary || primary === 'source'
    return side !== primary && reads > 0
  }

  #capsOf({ side, user, database }: ServerKind): readonly ServerCap[] {
    for (const [key, { isUnused }] of this.#caps) if (isUnused) this.#caps.delete(key)
    const most = Number.POSITIVE_INFINITY
    const pool = (): ServiceConfig['pool'] => this.#parts.config().pool
    return [
      this.#cap([side], () => pool().serversMax ?? most),
      this.#cap([side, 'user', user], () => pool().serversPerUserMax ?? most),
      this.#cap([side, 'database', database], () => pool().serversPerDatabaseMax ?? most),
    ]
  }

  #cap(names: readonly string[], max: () => number): ServerCap {
    const key = JSON.stringify(names)
    let cap = this.#caps.get(key)
    if (cap === undefined) {
      cap = new ServerCap(max)
      this.#caps.set(key, cap)
    }
    return cap
  }

  #observe(kind: ServerKind): PoolObserver {
    const stats = this.#parts.stats.servers[kind.side]
    return {
      opened: (tookMs) => {
        stats.opened += 1
        stats.openSeconds.observe(tookMs / 1_000)
      },
      openFailed: (error, isNew) => {
        countIn(stats.openErrors, error.code)
        if (isNew) this.#warn(kind, error)
        this.#parts.trouble(kind.side, error.code === 'CONNECT_TIMEOUT')
      },
      closed: (reason) => {
        countIn(stats.closed, reason)
        if (reason === 'lost') this.#parts.trouble(kind.side, false)
      },
      probed: (isAlive) => {
        stats.probes[isAlive ? 'alive' : 'dead'] += 1
        if (!isAlive) this.#parts.trouble(kind.side, true)
      },
    }
  }

  #warn({ side, user, database }: ServerKind, { code, message }: PontoonError): void {
    const { log, name } = this.#parts
    log.warn(
      { service: name, side, user, database, code, error: message },
      'a server cannot be opened; it is tried again',
    )
  }
}

function inRecovery({ address, side }: PgServer): PontoonError {
  return new PontoonError(
    'SERVER_IN_RECOVERY',
    `the server at ${address ?? 'the Unix socket'} of the ${side} is a standby, it cannot take writes`,
  )
}
