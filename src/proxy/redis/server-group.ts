/**
 * The servers of one kind: one side, user, database and protocol version. A few are shared by many
 * clients; others are one client's own for a while. Both come from pools of net/pool.ts, which
 * open, hold, retry and close them. A shared one stays out of its pool for as long as it is used.
 */
import type { RedisServer } from '../../net/redis/server.ts'
import type { RespVersion } from '../../net/redis/login.ts'
import type { Pool } from '../../net/pool.ts'
import { sides, type Side } from '../../shared/side.ts'
import type { PontoonError } from '../../shared/errors.ts'
import type { PoolSnapshot } from '../service.ts'
import type { RedisContext } from './context.ts'
import { ServerRelay } from './server-relay.ts'
import type { ServerWait } from './server-wait.ts'
import type { Session } from './session.ts'

export interface ServerKind {
  readonly side: Side
  /** The client's name, '' when it gave none. */
  readonly user: string
  readonly database: number
  /** Null: nothing is sent ahead, as pinned clients expect it. */
  readonly version: RespVersion | null
}

export type PoolUse = 'shared' | 'own'

export type MakePool = (kind: ServerKind, use: PoolUse) => Pool<RedisServer>

export class ServerGroup {
  readonly kind: ServerKind
  readonly #context: RedisContext
  readonly #make: MakePool
  #sharedPool: Pool<RedisServer> | null = null
  #ownPool: Pool<RedisServer> | null = null
  #isWarming = false
  readonly shared: ServerRelay[] = []
  /** Clients that wait for a shared server; each also stands in the line of the pool. */
  readonly waiting = new Set<ServerWait>()

  constructor(kind: ServerKind, context: RedisContext, make: MakePool) {
    this.kind = kind
    this.#context = context
    this.#make = make
  }

  get sharedPool(): Pool<RedisServer> {
    this.#sharedPool ??= this.#make(this.kind, 'shared')
    return this.#sharedPool
  }

  get ownPool(): Pool<RedisServer> {
    this.#ownPool ??= this.#make(this.kind, 'own')
    return this.#ownPool
  }

  /** Those that exist. */
  *pools(): Generator<readonly [PoolUse, Pool<RedisServer>]> {
    if (this.#sharedPool !== null) yield ['shared', this.#sharedPool]
    if (this.#ownPool !== null) yield ['own', this.#ownPool]
  }

  /** It has no server, opens none, and nobody waits for one. */
  get isEmpty(): boolean {
    const pools = [this.#sharedPool, this.#ownPool]
    return pools.every((pool) => pool === null || pool.isEmpty)
  }

  /** Nobody gets a server here at present. */
  get isDown(): boolean {
    return this.#sharedPool?.isDown === true
  }

  /**
   * A shared server for the next command, or null: then wait. The first that can is taken, because
   * what goes over one connection is written and read in fewer system calls.
   */
  pick(): ServerRelay | null {
    const { shared } = this
    let long: ServerRelay | null = null
    for (let index = 0; index < shared.length; index += 1) {
      const relay = shared[index]
      if (relay?.isOpen !== true) continue
      if (!relay.isLong) return relay
      long = relay
    }
    const { sharedPool } = this
    const server = sharedPool.take()
    if (server !== null) return this.adopt(server)
    // Behind a long reply it is better than nowhere; a server more is better yet.
    return sharedPool.outCount < sharedPool.limits.size ? null : long
  }

  /** A server of the shared pool begins to serve; everyone who waits may go on. */
  adopt(server: RedisServer): ServerRelay {
    const relay = new ServerRelay(
      this.#context,
      server,
      (gone, error) => this.#gone(gone, error),
      () => this.wakeWaiting(),
    )
    this.shared.push(relay)
    return relay
  }

  /** Opens a first server for whoever comes next. */
  warmUp(): void {
    if (this.#isWarming) return
    this.#isWarming = true
    const done = (): void => {
      this.#isWarming = false
    }
    this.sharedPool.wait({
      onServer: (server) => {
        done()
        this.adopt(server)
        return true
      },
      onRefused: done,
    })
  }

  /** Asks one of the shared servers; `answered` gets the beginning of the reply, or nothing. */
  ask(request: Buffer, answered: (beginning: string) => void): void {
    const relay = this.pick()
    if (relay !== null) relay.ask(request, answered)
    else
      this.sharedPool.wait({
        onServer: (server) => {
          this.adopt(server).ask(request, answered)
          return true
        },
        onRefused: () => answered(''),
      })
  }

  wakeWaiting(): void {
    if (this.waiting.size === 0) return
    for (const wait of Array.from(this.waiting)) wait.sharedIsThere()
  }

  #gone(relay: ServerRelay, error: PontoonError): void {
    this.#drop(relay)
    this.sharedPool.lost(relay.server)
    this.#context.groups.lost(relay, error)
  }

  #drop(relay: ServerRelay): void {
    const index = this.shared.indexOf(relay)
    if (index >= 0) this.shared.splice(index, 1)
  }

  /** Gives back what has become old, is asked to end, or has had nothing to do. */
  sweep(nowMs: number): void {
    const { idleTimeoutMs, maxLifetimeMs } = this.#context.config.pool
    for (const relay of this.shared.toReversed()) {
      if (relay.isRetiring) continue
      const { server } = relay
      const isIdle = relay.owed.length === 0 && nowMs - relay.lastUsedMs > idleTimeoutMs
      const isOld = nowMs - server.openedAtMs > maxLifetimeMs
      if (isIdle || isOld || !this.sharedPool.isCurrent(server)) this.#retire(relay)
    }
    for (const [, pool] of this.pools()) pool.sweep()
  }

  #retire(relay: ServerRelay): void {
    relay.retire(() => {
      this.#drop(relay)
      relay.server.spoil()
      relay.server.rest()
      this.sharedPool.give(relay.server)
    })
  }

  /** Ends all shared servers at their next rest, the others when they come back. */
  reconnect(): void {
    for (const [, pool] of this.pools()) pool.reconnect()
    for (const relay of this.shared.toReversed()) if (!relay.isRetiring) this.#retire(relay)
  }

  close(): void {
    for (const relay of this.shared.toReversed()) this.#retire(relay)
    for (const [, pool] of this.pools()) pool.close()
  }

  *snapshots(): Generator<PoolSnapshot> {
    for (const [use, pool] of this.pools()) {
      const busy =
        use === 'own' ? pool.outCount : this.shared.filter((relay) => relay.owed.length > 0).length
      yield {
        side: this.kind.side,
        user: this.kind.user,
        database: `${this.kind.database}${use === 'own' ? ' (own)' : ''}`,
        access: 'write',
        idle: pool.idleCount + pool.outCount - busy,
        active: busy,
        probing: pool.probingCount,
        connecting: pool.connectingCount,
        waiting: pool.waitingCount,
        oldestWaitMs: pool.oldestWaitMs,
        size: pool.limits.size,
        minSize: pool.limits.minSize,
        failure: pool.failure?.code ?? '',
      }
    }
  }
}

export type SideGroups = Readonly<Record<Side, ServerGroup>>

/** Servers of a primary that says that it cannot serve are given up at most this often. */
const unableEveryMs = 500

export class GroupSet {
  #unableAtMs = Number.NEGATIVE_INFINITY
  readonly #context: RedisContext
  readonly #make: MakePool
  readonly #groups = new Map<string, SideGroups>()

  constructor(context: RedisContext, make: MakePool) {
    this.#context = context
    this.#make = make
  }

  of(user: string, database: number, version: RespVersion | null): SideGroups {
    const key = `${database} ${version ?? ''} ${user}`
    let groups = this.#groups.get(key)
    if (groups === undefined) {
      const group = (side: Side): ServerGroup =>
        new ServerGroup({ side, user, database, version }, this.#context, this.#make)
      groups = { source: group('source'), target: group('target') }
      this.#groups.set(key, groups)
    }
    return groups
  }

  *all(): Generator<ServerGroup> {
    for (const groups of this.#groups.values()) for (const side of sides) yield groups[side]
  }

  congested(relay: ServerRelay): void {
    for (const session of this.#context.sessions.values()) {
      if (session.upstream !== relay) continue
      session.congestedBy = relay
      session.client.pauseReading()
    }
  }

  /** It reads again, or is gone. */
  drained(relay: ServerRelay): void {
    for (const session of this.#context.sessions.values()) {
      if (session.congestedBy !== relay) continue
      session.congestedBy = null
      session.readOn()
    }
  }

  /** Forgets groups that no session uses and that have no server: a client may ask for any number. */
  sweep(): void {
    const used = new Set<SideGroups>()
    for (const session of this.#context.sessions.values()) used.add(session.groups)
    for (const [key, groups] of this.#groups) {
      if (used.has(groups) || !sides.every((side) => groups[side].isEmpty)) continue
      this.#groups.delete(key)
      for (const side of sides) groups[side].close()
    }
  }

  /**
   * A server of the primary side is a replica now, or loads its data. For the one the name of the
   * side may lead to another server already, and if not, this is asked again with the next write;
   * for the other no login succeeds until it is over, and new commands wait for that.
   */
  unable(side: Side, nowMs: number): void {
    if (side !== this.#context.route.primary) return
    if (nowMs - this.#unableAtMs < unableEveryMs) return
    this.#unableAtMs = nowMs
    for (const group of this.all()) {
      if (group.kind.side !== side) continue
      group.reconnect()
      group.sweep(nowMs)
    }
  }

  /** Tells everyone who waits for it, in the order of their commands. */
  lost(relay: ServerRelay, error: PontoonError): void {
    this.drained(relay)
    const broken = relay.isInsideReply && relay.owed.length > 0 ? relay.owed.session : null
    const waiting = new Map<Session, number>()
    for (; relay.owed.length > 0; relay.owed.shift()) {
      const { session, record } = relay.owed
      record.errors += 1
      if (session !== null) waiting.set(session, (waiting.get(session) ?? 0) + 1)
    }
    for (const [session, count] of waiting) session.serverLost(count, error, session === broken)
  }
}
