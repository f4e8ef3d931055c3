/**
 * A pool of servers of one kind (one service, side, user and database), whatever the protocol.
 * It owns the idle servers, the count of those out or connecting, and the queue of those who
 * wait. Taking an idle server is synchronous; waiting is a callback, in order of arrival, with a
 * deadline. Who takes a server gives it back or reports it gone, exactly once.
 */
import { assert } from '../shared/assert.ts'
import type { Clock } from '../shared/clock.ts'
import { PontoonError, toPontoonError, type ErrorCode } from '../shared/errors.ts'
import { WaitLine } from '../shared/wait-line.ts'

export interface Poolable {
  /** When it was opened, for maxLifetimeMs (clock milliseconds). */
  readonly openedAtMs: number
  /** When it was last given back (clock milliseconds). */
  idleSinceMs: number
  /** False once it must not serve anybody again. */
  readonly isUsable: boolean
  close(): void
}

export interface PoolLimits {
  readonly size: number
  readonly queueMax: number
  readonly queueTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly maxLifetimeMs: number
  /** How long those who wait are held while no server can be had for a passing reason. */
  readonly holdMs: number
}

/** Both are called later, never while `wait` runs. */
export interface PoolWaiter<Server> {
  /** Returns false when it does not want the server any more (a gate has closed meanwhile). */
  onServer(server: Server): boolean
  onRefused(error: PontoonError): void
}

interface Queued<Server> {
  readonly waiter: PoolWaiter<Server>
  readonly sinceMs: number
  readonly deadlineMs: number
}

/** Connections being opened at once, so that a cold start does not storm the database. */
const connectingMax = 10

/** After a failed attempt the next one waits this long. */
const retryAfterMs = 250

/** Reasons that pass by themselves: a side that restarts, fails over, or is full at present. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONNECT_FAILED',
  'CONNECT_TIMEOUT',
  'DNS_FAILED',
  'SERVER_LOST',
  'SERVER_UNAVAILABLE',
])

export class Pool<Server extends Poolable> {
  readonly #open: () => Promise<Server>
  readonly #clock: Clock
  #limits: PoolLimits
  /** Most recently used last, so that spare ones grow old and are closed. */
  readonly #idle: Server[] = []
  readonly #out = new Set<Server>()
  readonly #queue = new WaitLine<Queued<Server>>()
  #connecting = 0
  #generation = 0
  readonly #generationOf = new WeakMap<Server, number>()
  #closed = false
  #retryTimer: NodeJS.Timeout | null = null
  /** Why the last attempt to connect failed; null once a server has been had again. */
  #failure: PontoonError | null = null

  constructor(open: () => Promise<Server>, limits: PoolLimits, clock: Clock) {
    this.#open = open
    this.#limits = limits
    this.#clock = clock
  }

  get idleCount(): number {
    return this.#idle.length
  }

  get outCount(): number {
    return this.#out.size
  }

  get connectingCount(): number {
    return this.#connecting
  }

  get waitingCount(): number {
    return this.#queue.size
  }

  /** Every server that is open, for whoever shows them. */
  *servers(): Generator<{ readonly server: Server; readonly isOut: boolean }> {
    for (const server of this.#out) yield { server, isOut: true }
    for (const server of this.#idle) yield { server, isOut: false }
  }

  /** False once a reconnect has asked for its end. */
  isCurrent(server: Server): boolean {
    return this.#generationOf.get(server) === this.#generation
  }

  /** Nobody gets a server here at present; whoever has another way takes it. */
  get isDown(): boolean {
    return this.#failure !== null && this.#out.size === 0 && this.#idle.length === 0
  }

  get limits(): PoolLimits {
    return this.#limits
  }

  set limits(limits: PoolLimits) {
    this.#limits = limits
    this.#grow()
  }

  /** An idle server now, or null: then call `wait`. Nobody overtakes those who wait already. */
  take(): Server | null {
    if (this.#queue.size > 0) return null
    for (;;) {
      const server = this.#idle.pop()
      if (server === undefined) return null
      if (server.isUsable) {
        this.#out.add(server)
        return server
      }
      server.close()
    }
  }

  /**
   * Queues for a server. Returns how to leave the queue; refusals come through the waiter. Who was
   * held up already (`isHeldUp`, by a gate) is not turned away because the queue is long.
   */
  wait(waiter: PoolWaiter<Server>, isHeldUp = false): () => void {
    if (this.#closed)
      return refuseSoon(waiter, new PontoonError('SHUTTING_DOWN', 'the pool is closed'))
    if (!isHeldUp && this.#queue.size >= this.#limits.queueMax) {
      return refuseSoon(
        waiter,
        new PontoonError(
          'POOL_QUEUE_FULL',
          `${this.#queue.size} clients wait for a server already`,
        ),
      )
    }
    const sinceMs = this.#clock.nowMs()
    const deadlineMs = sinceMs + this.#limits.queueTimeoutMs
    const place = this.#queue.join({ waiter, sinceMs, deadlineMs })
    this.#grow()
    return () => this.#queue.leave(place)
  }

  /** Gives a server back. It goes to the first who waits, or rests. */
  give(server: Server): void {
    assert(this.#out.delete(server), 'a server is given back once')
    if (!this.#mayServe(server)) {
      server.close()
      this.#grow()
      return
    }
    for (let first = this.#queue.shift(); first !== null; first = this.#queue.shift()) {
      this.#out.add(server)
      if (first.waiter.onServer(server)) return
      this.#out.delete(server)
    }
    server.idleSinceMs = this.#clock.nowMs()
    this.#idle.push(server)
  }

  /** A server is gone, in use or idle. */
  lost(server: Server): void {
    this.#out.delete(server)
    const index = this.#idle.indexOf(server)
    if (index >= 0) this.#idle.splice(index, 1)
    this.#grow()
  }

  /** Closes idle servers now, the others when they come back. */
  reconnect(): void {
    this.#generation += 1
    for (const server of this.#idle.splice(0)) server.close()
    this.#grow()
  }

  /** Once a second: deadlines of those who wait, old and idle servers, a way back up. */
  sweep(): void {
    const now = this.#clock.nowMs()
    if (this.isDown && this.#connecting === 0 && this.#retryTimer === null) this.#openOne()
    for (let queued = this.#queue.first(); queued !== null; queued = this.#queue.first()) {
      if (queued.deadlineMs > now) break
      this.#queue.shift()
      queued.waiter.onRefused(
        this.isDown && this.#failure !== null ? this.#failure : this.#timeout(),
      )
    }
    for (let index = this.#idle.length - 1; index >= 0; index -= 1) {
      const server = this.#idle[index]
      if (server === undefined) continue
      const isSpare = this.#out.size + this.#idle.length > this.#limits.size
      const isOld = now - server.idleSinceMs > this.#limits.idleTimeoutMs
      if (!isSpare && !isOld && this.#isFresh(server)) continue
      this.#idle.splice(index, 1)
      server.close()
    }
  }

  /** Refuses those who wait and closes what rests; servers that are out close when given back. */
  close(): void {
    this.#closed = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    for (const server of this.#idle.splice(0)) server.close()
    this.#refuseAll(new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down'))
  }

  #mayServe(server: Server): boolean {
    return this.#isFresh(server) && this.#out.size + this.#idle.length < this.#limits.size
  }

  #isFresh(server: Server): boolean {
    return (
      server.isUsable &&
      !this.#closed &&
      this.#generationOf.get(server) === this.#generation &&
      this.#clock.nowMs() - server.openedAtMs < this.#limits.maxLifetimeMs
    )
  }

  #grow(): void {
    if (this.#closed || this.#retryTimer !== null) return
    for (;;) {
      const total = this.#out.size + this.#idle.length + this.#connecting
      const wanted = this.#queue.size - this.#connecting
      if (wanted <= 0 || total >= this.#limits.size || this.#connecting >= connectingMax) return
      this.#openOne()
    }
  }

  #openOne(): void {
    this.#connecting += 1
    void this.#connect()
  }

  async #connect(): Promise<void> {
    const generation = this.#generation
    let server: Server
    try {
      server = await this.#open()
    } catch (thrown) {
      this.#connecting -= 1
      this.#connectFailed(toPontoonError(thrown, 'CONNECT_FAILED'))
      return
    }
    this.#connecting -= 1
    this.#failure = null
    this.#generationOf.set(server, generation)
    this.#out.add(server)
    this.give(server)
    this.#grow()
  }

  /**
   * With no server left waiting helps only if the reason passes by itself, as in a failover:
   * then those who wait are held for a while.
   */
  #connectFailed(error: PontoonError): void {
    this.#failure = error
    if (this.#out.size === 0 && this.#idle.length === 0 && this.#connecting === 0)
      this.#refuseAll(error, passing.has(error.code) ? this.#limits.holdMs : 0)
    if (this.#closed || this.#retryTimer !== null) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null
      this.#grow()
    }, retryAfterMs)
  }

  #timeout(): PontoonError {
    const text = `no server became free within ${this.#limits.queueTimeoutMs} ms`
    return new PontoonError('POOL_TIMEOUT', text)
  }

  /** Refuses those who have waited for at least `heldMs`. */
  #refuseAll(error: PontoonError, heldMs = 0): void {
    const youngestMs = this.#clock.nowMs() - heldMs
    const refused: Queued<Server>[] = []
    for (let queued = this.#queue.first(); queued !== null; queued = this.#queue.first()) {
      if (heldMs > 0 && queued.sinceMs > youngestMs) break
      this.#queue.shift()
      refused.push(queued)
    }
    for (const queued of refused) queued.waiter.onRefused(error)
  }
}

function refuseSoon(waiter: PoolWaiter<never>, error: PontoonError): () => void {
  let hasLeft = false
  queueMicrotask(() => {
    if (!hasLeft) waiter.onRefused(error)
  })
  return () => {
    hasLeft = true
  }
}
