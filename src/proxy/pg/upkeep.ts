/**
 * What a service does by the clock: the sweeps of its pools, the warm minimum, the names and the
 * silence of its sides, and the limits on its sessions. One timer for all of it, so that nothing on the way of a query sets one.
 */
import type { LookupFunction } from 'node:net'
import type { ServiceConfig } from '../../config/schema.ts'
import type { LoginOptions } from '../../net/pg/login.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import { sides, type Side } from '../../shared/side.ts'
import { isKnownByHash, userEntry } from './credentials.ts'
import type { PoolMaker } from './pool-maker.ts'
import type { PoolSet, ServerKind, ServerKinds } from './pool-set.ts'
import type { Session } from './session.ts'
import { SideNames } from './side-names.ts'
import { Suspects } from './suspects.ts'

export interface UpkeepParts {
  readonly name: string
  config(): ServiceConfig
  loginOptions(kind: ServerKind): LoginOptions
  readonly lookup?: LookupFunction | undefined
  readonly clock: Clock
  readonly log: Log
  readonly pools: PoolSet
  readonly maker: PoolMaker
  readonly sessions: ReadonlySet<Session>
  /** Several times a second, for what is measured. */
  eachTick(): void
  /** Once a second, for what others have to look at. */
  eachSecond(): void
}

const tickMs = 250
const ticksPerSecond = 4

/** Pools are forgotten when no client had to do with them for this long. */
const unusedMs = 600_000
const forgetEveryTicks = 60 * ticksPerSecond

const noParameters: ReadonlyMap<string, string> = new Map()

export class Upkeep {
  readonly #parts: UpkeepParts
  readonly #names: SideNames
  readonly #suspects: Suspects
  #timer: NodeJS.Timeout | null = null
  #ticks = 0

  constructor(parts: UpkeepParts) {
    this.#parts = parts
    this.#names = new SideNames(parts)
    this.#suspects = new Suspects(parts)
  }

  start(): void {
    this.#warmListed()
    this.#tick()
    this.#timer = setInterval(() => this.#tick(), tickMs)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** A server of this side was lost or cannot be had; `isSilent`: its host did not even refuse. */
  trouble(side: Side, isSilent: boolean): void {
    if (isSilent) this.#suspects.suspect(side)
    this.#names.lookSoon(side)
  }

  /** The route or the configuration has changed: so may have the limits of every pool. */
  applyLimits(): void {
    const { pools, maker } = this.#parts
    for (const { kind, existing } of pools.slots())
      if (existing !== null) existing.limits = maker.limitsOf(kind)
  }

  #tick(): void {
    this.#ticks += 1
    const { pools } = this.#parts
    for (const pool of pools.pools()) pool.sweep()
    this.#parts.eachTick()
    if (this.#ticks % ticksPerSecond === 0) {
      this.#warmUsed()
      this.#names.look()
      this.#suspects.look()
      this.#parts.eachSecond()
    }
    if (this.#ticks % forgetEveryTicks === 0) this.#forgetUnused()
  }

  /** Pools of the users and databases that the configuration lists, before any client comes. */
  #warmListed(): void {
    const config = this.#parts.config()
    if (config.pool.minSize === 0 || config.pool.mode === 'session') return
    for (const user of Object.keys(config.users ?? {})) {
      for (const database of listedDatabases(config)) {
        const kinds = this.#parts.pools.kinds(user, database, noParameters)
        for (const side of sides) if (canLogIn(config, user, side)) warm(kinds[side])
      }
    }
  }

  /** Who uses one side finds servers on the other one too, should it become primary. */
  #warmUsed(): void {
    const { pool } = this.#parts.config()
    if (pool.minSize === 0 || pool.mode === 'session') return
    for (const kinds of this.#parts.pools.all())
      if (sides.some((side) => kinds[side].write.existing !== null))
        for (const side of sides) warm(kinds[side])
  }

  #forgetUnused(): void {
    const { clock, pools, sessions } = this.#parts
    const now = clock.nowMs()
    for (const { identity } of sessions) identity.kinds.usedAtMs = now
    this.#warmListed()
    pools.forgetUnused(now - unusedMs)
  }
}

/** Makes the pools; their own sweeps do the rest. */
function warm(slots: ServerKinds[Side]): void {
  void slots.write.pool
  void slots.read.pool
}

/** Whose password only clients know cannot be logged in for before one has come. */
function canLogIn(config: ServiceConfig, user: string, side: Side): boolean {
  const of = [userEntry(config, user)?.[side], config[side]]
  const isConfigured = of.some((one) => one?.password !== undefined || one?.auth !== undefined)
  return isConfigured || !isKnownByHash(config, user)
}

function listedDatabases({ databases, source }: ServiceConfig): readonly string[] {
  if (databases !== undefined) return databases
  return source.database === undefined ? [] : [source.database]
}
