/**
 * The pools of one service: one for each kind of server (side, user, database, startup
 * parameters, access). Sessions of the same kind share a `ServerKinds`, so that finding the pool
 * on the hot path is a field access.
 */
import type { GatePlace } from '../../net/gate-lines.ts'
import type { RestingBackend } from '../../net/pg/held-backends.ts'
import type { PgServer } from '../../net/pg/server.ts'
import type { Pool } from '../../net/pool.ts'
import type { Clock } from '../../shared/clock.ts'
import { sides, type Side } from '../../shared/side.ts'
import type { PoolSnapshot } from '../service.ts'

export type Access = 'write' | 'read'

/** What servers of one pool have in common. */
export interface ServerKind {
  readonly side: Side
  /** The client's name; credentials.ts tells whom it goes out as. */
  readonly user: string
  readonly database: string
  /** Startup parameters besides user and database that the servers are opened with. */
  readonly parameters: ReadonlyMap<string, string>
  /** Servers for reads on the side that is not primary refuse to write. */
  readonly access: Access
}

/** Its servers are WAL senders, each for one client. */
export function isReplication({ parameters }: ServerKind): boolean {
  return parameters.has('replication')
}

/** A kind with its pool, made when first used. */
export class PoolSlot {
  readonly kind: ServerKind
  readonly #make: (kind: ServerKind) => Pool<PgServer>
  #pool: Pool<PgServer> | null = null

  constructor(kind: ServerKind, make: (kind: ServerKind) => Pool<PgServer>) {
    this.kind = kind
    this.#make = make
  }

  get pool(): Pool<PgServer> {
    this.#pool ??= this.#make(this.kind)
    return this.#pool
  }

  /** The pool if there is one already. */
  get existing(): Pool<PgServer> | null {
    return this.#pool
  }
}

/** The four pools that sessions of one user, database and parameters may use. */
export interface ServerKinds extends Readonly<Record<Side, Readonly<Record<Access, PoolSlot>>>> {
  /** Where its sessions go from a gate: to the primary side's servers for writes. */
  readonly place: GatePlace
  /** When a client last had to do with them (clock milliseconds). */
  usedAtMs: number
  /** A client has asked what sequences gave last (session-sequences.ts). */
  areSequencesAsked: boolean
}

export class PoolSet {
  readonly #make: (kind: ServerKind) => Pool<PgServer>
  readonly #clock: Clock
  readonly #primary: () => Side
  readonly #kinds = new Map<string, ServerKinds>()

  constructor(make: (kind: ServerKind) => Pool<PgServer>, clock: Clock, primary: () => Side) {
    this.#make = make
    this.#clock = clock
    this.#primary = primary
  }

  kinds(user: string, database: string, parameters: ReadonlyMap<string, string>): ServerKinds {
    const key = JSON.stringify([user, database, ...parameters])
    const usedAtMs = this.#clock.nowMs()
    let kinds = this.#kinds.get(key)
    if (kinds === undefined) {
      const slot = (side: Side, access: Access): PoolSlot =>
        new PoolSlot({ side, user, database, parameters, access }, this.#make)
      const made: Record<Side, Record<Access, PoolSlot>> = {
        source: { write: slot('source', 'write'), read: slot('source', 'read') },
        target: { write: slot('target', 'write'), read: slot('target', 'read') },
      }
      const room = (): number => roomIn(made[this.#primary()].write.pool)
      kinds = { ...made, place: { room }, usedAtMs, areSequencesAsked: false }
      this.#kinds.set(key, kinds)
    }
    kinds.usedAtMs = usedAtMs
    return kinds
  }

  /**
   * Closes and forgets the pools that no client has had to do with since `beforeMs`: users,
   * databases and startup parameters come from clients, so they must not pile up.
   */
  forgetUnused(beforeMs: number): void {
    for (const [key, kinds] of this.#kinds) {
      if (kinds.usedAtMs >= beforeMs || slotsOf(kinds).some(isBusy)) continue
      for (const { existing } of slotsOf(kinds)) existing?.close()
      this.#kinds.delete(key)
    }
  }

  /**
   * `primary` takes the writes from now on. Servers for writes on the other side serve nobody any
   * more; those for reads on this side were of use while it was the other.
   */
  leaveSide(primary: Side): void {
    for (const { kind, existing } of this.slots())
      if ((kind.side === primary) === (kind.access === 'read')) existing?.leave()
  }

  /** Servers for writes on a side that nobody has; over a Unix socket none can be told apart. */
  resting(side: Side): readonly RestingBackend[] {
    const found: RestingBackend[] = []
    for (const { kind, existing } of this.slots()) {
      if (kind.side !== side || kind.access !== 'write' || isReplication(kind)) continue
      for (const { server, isOut } of existing?.servers() ?? [])
        if (!isOut && server.localPort !== null)
          found.push({ pid: server.pid, port: server.localPort })
    }
    return found
  }

  all(): Iterable<ServerKinds> {
    return this.#kinds.values()
  }

  *slots(): Generator<PoolSlot> {
    for (const kinds of this.#kinds.values()) yield* slotsOf(kinds)
  }

  *pools(): Generator<Pool<PgServer>> {
    for (const slot of this.slots()) if (slot.existing !== null) yield slot.existing
  }

  snapshots(): PoolSnapshot[] {
    const snapshots: PoolSnapshot[] = []
    for (const { kind, existing } of this.slots()) {
      if (existing === null) continue
      snapshots.push({
        side: kind.side,
        user: kind.user,
        database: kind.database,
        access: kind.access,
        idle: existing.idleCount,
        active: existing.outCount,
        probing: existing.probingCount,
        connecting: existing.connectingCount,
        waiting: existing.waitingCount,
        oldestWaitMs: existing.oldestWaitMs,
        size: existing.limits.size,
        minSize: existing.limits.minSize,
        failure: existing.failure?.code ?? '',
      })
    }
    return snapshots
  }
}

/**
 * So many may stand in its queue: as many as it may have servers, so that none of them idles while
 * the next one comes from the gate. To a pool that can serve nobody all go, and are told so.
 */
function roomIn(pool: Pool<PgServer>): number {
  return pool.isDown ? Number.POSITIVE_INFINITY : pool.limits.size - pool.waitingCount
}

function slotsOf(kinds: ServerKinds): readonly PoolSlot[] {
  return sides.flatMap((side) => [kinds[side].write, kinds[side].read])
}

function isBusy({ existing }: PoolSlot): boolean {
  return (
    existing !== null && existing.outCount + existing.connectingCount + existing.waitingCount > 0
  )
}
