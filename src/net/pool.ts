/**
 * A pool of servers of one kind (one service, side, user and database), whatever the protocol.
 * It owns the idle servers, the count of those out or connecting, and the queue of those who
 * wait. Taking an idle server is synchronous; waiting is a callback, in order of arrival, with a
 * deadline. Who takes a server gives it back or reports it gone, exactly once.
 *
 * Everything that happens by itself (deadlines, the warm minimum, old age, probes) happens in
 * `sweep`, so that taking and giving cost no timer.
 */
import { assert } from '../shared/assert.ts'
import type { Clock } from '../shared/clock.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import { ConnectPace } from './connect-pace.ts'
import { newMember, type Member } from './pool-member.ts'
import { PoolQueue, refuseSoon } from './pool-queue.ts'
import { leftRestMs, passing, probesMax, retryAfterMs, yieldAfterMs } from './pool-rules.ts'
import type { CloseReason, Poolable, PoolLimits, PoolOptions, PoolWaiter } from './pool-rules.ts'
import type { CappedPool } from './server-cap.ts'

export class Pool<Server extends Poolable> implements CappedPool {
  readonly #open: () => Promise<Server>
  readonly #clock: Clock
  readonly #options: PoolOptions
  #limits: PoolLimits
  readonly #members = new Map<Server, Member<Server>>()
  /** Most recently used last, so that spare ones grow old and are closed. */
  readonly #idle: Member<Server>[] = []
  readonly #queue = new PoolQueue<Server>()
  #outCount = 0
  #probingCount = 0
  readonly #pace = new ConnectPace()
  #generation = 0
  /** Retired servers that are idle stay until then (clock milliseconds). */
  #closesLeftAtMs = 0
  #closed = false
  #retryTimer: NodeJS.Timeout | null = null
  /** Somebody waits until there are so many servers. */
  #warmCount = 0
  /** Why the last attempt to connect failed; null once a server has been had again. */
  #failure: PontoonError | null = null

  constructor(
    open: () => Promise<Server>,
    limits: PoolLimits,
    clock: Clock,
    options: PoolOptions = {},
  ) {
    this.#open = open
    this.#limits = limits
    this.#clock = clock
    this.#options = options
    for (const cap of options.caps ?? []) cap.join(this)
  }

  /** All servers that are open. */
  get openCount(): number {
    return this.#members.size
  }

  get idleCount(): number {
    return this.#idle.length
  }

  get outCount(): number {
    return this.#outCount
  }

  get probingCount(): number {
    return this.#probingCount
  }

  get connectingCount(): number {
    return this.#pace.underWay
  }

  get waitingCount(): number {
    return this.#queue.size
  }

  /** How long the first who waits has waited; 0 when nobody does. */
  get oldestWaitMs(): number {
    const sinceMs = this.#queue.sinceMs
    return sinceMs === null ? 0 : this.#clock.nowMs() - sinceMs
  }

  /** It holds nothing and nobody wants anything of it. */
  get isEmpty(): boolean {
    return this.#members.size + this.#pace.underWay + this.#queue.size === 0
  }

  /** Every server that is open, for whoever shows or checks them. */
  *servers(): Generator<{ readonly server: Server; readonly isOut: boolean }> {
    for (const { server, state } of this.#members.values()) yield { server, isOut: state === 'out' }
  }

  /** False once a reconnect has asked for its end. */
  isCurrent(server: Server): boolean {
    return this.#members.get(server)?.isRetired === false
  }

  /** Nobody gets a server here at present; whoever has another way takes it. */
  get isDown(): boolean {
    return this.#failure !== null && this.#members.size === 0
  }

  /** Why the last attempt to connect failed, or null. */
  get failure(): PontoonError | null {
    return this.#failure
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
      const member = this.#idle.pop()
      if (member === undefined) return null
      if (member.isRetired) {
        this.#drop(member, 'reconnect')
        continue
      }
      if (member.server.isUsable) {
        member.state = 'out'
        this.#outCount += 1
        return member.server
      }
      this.#drop(member, 'unusable')
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
    const leave = this.#queue.join(waiter, sinceMs, sinceMs + this.#limits.queueTimeoutMs)
    this.#grow()
    return leave
  }

  /** Who waits now is in a hurry, until he calls what this returns (connect-pace.ts). */
  hurry(): () => void {
    return this.#pace.hurry()
  }

  /** Gives a server back. It goes to the first who waits, or rests. */
  give(server: Server): void {
    const member = this.#members.get(server)
    assert(member !== undefined && member.state === 'out', 'a server is given back once')
    const now = this.#clock.nowMs()
    this.#outCount -= 1
    const reason = this.#reasonToClose(member, now, this.#members.size)
    if (reason === null) {
      this.#serveOrRest(member, now)
      return
    }
    this.#drop(member, reason)
    this.#grow()
  }

  /** A server is gone, in use or idle. */
  lost(server: Server): void {
    const member = this.#members.get(server)
    if (member === undefined) return
    if (member.state === 'out') this.#outCount -= 1
    else if (member.state === 'probing') this.#probingCount -= 1
    else if (this.#idle.includes(member)) this.#idle.splice(this.#idle.indexOf(member), 1)
    this.#forget(member, 'lost')
    this.#pace.lost(server.openedAtMs, this.#clock.nowMs())
    this.#grow()
  }

  /** Closes idle servers now, the others when they come back. */
  reconnect(): void {
    this.#generation += 1
    this.retire(() => true)
  }

  /** Like reconnect, for those servers that `which` names; returns how many. */
  retire(which: (server: Server) => boolean): number {
    const count = this.#retire(which)
    this.#closeRetired()
    this.#grow()
    return count
  }

  /**
   * Like reconnect, but idle servers are closed only by a sweep a moment later: the many ends of
   * backends would hold up the logins of whoever goes elsewhere now.
   */
  leave(): void {
    this.#generation += 1
    this.#closesLeftAtMs = this.#clock.nowMs() + leftRestMs
    this.#retire(() => true)
  }

  #retire(which: (server: Server) => boolean): number {
    let count = 0
    for (const member of this.#members.values()) {
      if (member.isRetired || !which(member.server)) continue
      member.isRetired = true
      count += 1
    }
    return count
  }

  #closeRetired(): void {
    this.#closeIdle((member) => (member.isRetired ? 'reconnect' : null))
  }

  /** The host may be dead: every idle server has to give a sign of life now. */
  suspect(): void {
    for (const member of this.#idle) member.seenAtMs = Number.NEGATIVE_INFINITY
    this.#probe(this.#clock.nowMs(), Number.POSITIVE_INFINITY)
  }

  /** So many are opened ahead of their use, soon again after a failure; 0 ends that. */
  keepWarm(count: number): void {
    if (count > 0) this.#closeRetired()
    this.#warmCount = Math.min(count, this.#limits.size)
    this.#grow()
  }

  /** Several times a second: deadlines, old and idle servers, probes, the warm minimum. */
  sweep(): void {
    const now = this.#clock.nowMs()
    this.#queue.refuseLate(now, () => (this.isDown ? this.#failure : null) ?? this.#timeout())
    this.#closeIdle((member, total) => {
      if (member.isRetired && now < this.#closesLeftAtMs) return null
      const isSpare = total > this.#limits.minSize
      const isOld = now - member.server.idleSinceMs > this.#limits.idleTimeoutMs
      return isSpare && isOld ? 'idle' : this.#reasonToClose(member, now, total)
    })
    this.#probe(now, probesMax)
    this.#grow()
    // A way back up, also when nobody waits because there is another way for them.
    const mayTry = this.#pace.underWay === 0 && this.#retryTimer === null && !this.#closed
    if (this.isDown && mayTry && this.#pace.mayUnasked(now) && this.#hasRoom()) this.#openOne()
  }

  /** Refuses those who wait and closes what rests; servers that are out close when given back. */
  close(): void {
    this.#closed = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#closeIdle(() => 'shutdown')
    for (const member of this.#members.values()) {
      if (member.state !== 'probing') continue
      this.#probingCount -= 1
      this.#drop(member, 'shutdown')
    }
    this.#queue.refuse(new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down'))
    for (const cap of this.#options.caps ?? []) cap.leave(this)
  }

  // What a cap asks (server-cap.ts).

  spareSinceMs(): number | null {
    const [oldest] = this.#idle
    if (oldest === undefined || this.#queue.size > 0) return null
    const isSpare = oldest.isRetired || this.#members.size > this.#limits.minSize
    return isSpare ? oldest.server.idleSinceMs : null
  }

  closeSpare(): void {
    const oldest = this.#idle.shift()
    if (oldest !== undefined) this.#drop(oldest, 'yielded')
  }

  waitingSinceMs(): number | null {
    return this.#queue.sinceMs
  }

  placeFreed(): void {
    this.#grow()
  }

  /** Null when the server may go on; `total` are the servers of the pool with this one. */
  #reasonToClose(
    { server, isRetired, lifetimeShare }: Member<Server>,
    now: number,
    total: number,
  ): CloseReason | null {
    if (!server.isUsable) return 'unusable'
    if (this.#closed) return 'shutdown'
    if (isRetired) return 'reconnect'
    if (total > this.#limits.size) return 'surplus'
    if (now - server.openedAtMs >= this.#limits.maxLifetimeMs * lifetimeShare) return 'lifetime'
    return this.#owesItsPlace(now) ? 'yielded' : null
  }

  /** Another pool under the same cap has waited for a place for longer than anybody here. */
  #owesItsPlace(now: number): boolean {
    for (const cap of this.#options.caps ?? []) {
      if (!cap.isContended) continue
      if (cap.isOwedBefore(Math.min(this.#queue.sinceMs ?? now, now - yieldAfterMs), this))
        return true
    }
    return false
  }

  #serveOrRest(member: Member<Server>, now: number): void {
    for (let first = this.#queue.shift(); first !== null; first = this.#queue.shift()) {
      member.state = 'out'
      this.#outCount += 1
      if (first.onServer(member.server)) return
      this.#outCount -= 1
    }
    member.state = 'idle'
    member.server.idleSinceMs = now
    member.seenAtMs = now
    this.#idle.push(member)
  }

  /**
   * Closes the idle servers for which `why` has a reason, the longest idle first; it is told how
   * many servers there still are. All are chosen before the first is closed: that may let another
   * pool ask for one of ours.
   */
  #closeIdle(why: (member: Member<Server>, total: number) => CloseReason | null): void {
    const closing = new Map<Member<Server>, CloseReason>()
    for (const member of this.#idle) {
      const reason = why(member, this.#members.size - closing.size)
      if (reason !== null) closing.set(member, reason)
    }
    if (closing.size === 0) return
    const kept = this.#idle.filter((member) => !closing.has(member))
    this.#idle.splice(0, this.#idle.length, ...kept)
    for (const [member, reason] of closing) this.#drop(member, reason)
  }

  #drop(member: Member<Server>, reason: CloseReason): void {
    member.server.close()
    this.#forget(member, reason)
  }

  #forget(member: Member<Server>, reason: CloseReason): void {
    this.#members.delete(member.server)
    this.#options.observer?.closed(reason)
    for (const cap of this.#options.caps ?? []) cap.free()
  }

  /** Asks those who were quiet for long, the longest idle first. */
  #probe(now: number, atOnceMax: number): void {
    const quietBeforeMs = now - this.#limits.probeIntervalMs
    const quiet = this.#idle.filter(
      ({ server, seenAtMs }) => server.probe !== undefined && seenAtMs <= quietBeforeMs,
    )
    for (const member of quiet) {
      if (this.#probingCount >= atOnceMax) return
      this.#idle.splice(this.#idle.indexOf(member), 1)
      member.state = 'probing'
      this.#probingCount += 1
      void this.#probeOne(member)
    }
  }

  async #probeOne(member: Member<Server>): Promise<void> {
    let isAlive = true
    try {
      await member.server.probe?.(this.#limits.probeTimeoutMs)
    } catch {
      isAlive = false
    }
    this.#options.observer?.probed(isAlive)
    // It may have been lost meanwhile.
    if (!this.#members.has(member.server)) return
    this.#probingCount -= 1
    if (!isAlive) {
      this.#drop(member, 'probe')
      this.suspect()
      this.#grow()
      return
    }
    const now = this.#clock.nowMs()
    const reason = this.#reasonToClose(member, now, this.#members.size)
    if (reason !== null) {
      this.#drop(member, reason)
      this.#grow()
    } else if (this.#queue.size > 0) this.#serveOrRest(member, now)
    else this.#restAgain(member, now)
  }

  /** Back to its place among the idle: a probe is no use. */
  #restAgain(member: Member<Server>, now: number): void {
    member.state = 'idle'
    member.seenAtMs = now
    const { idleSinceMs } = member.server
    const behind = this.#idle.findIndex(({ server }) => server.idleSinceMs > idleSinceMs)
    this.#idle.splice(behind < 0 ? this.#idle.length : behind, 0, member)
  }

  /** Opens what is wanted: one for each who waits, and the warm minimum. */
  #grow(): void {
    if (this.#closed || this.#retryTimer !== null) return
    for (;;) {
      const total = this.#members.size + this.#pace.underWay
      if (total >= this.#limits.size || this.#pace.isFull) return
      if (this.#queue.size <= this.#pace.underWay && !this.#wantsMore(total)) return
      if (!this.#hasRoom()) return
      this.#openOne()
    }
  }

  #wantsMore(total: number): boolean {
    if (total < this.#warmCount) return true
    return total < this.#limits.minSize && this.#pace.mayUnasked(this.#clock.nowMs())
  }

  #hasRoom(): boolean {
    return this.#options.caps?.every((cap) => cap.makeRoom(this)) ?? true
  }

  #openOne(): void {
    this.#pace.begun()
    for (const cap of this.#options.caps ?? []) cap.take(this)
    void this.#connect()
  }

  async #connect(): Promise<void> {
    const generation = this.#generation
    const begunMs = this.#clock.nowMs()
    let server: Server
    try {
      server = await this.#open()
    } catch (thrown) {
      this.#connectFailed(toPontoonError(thrown, 'CONNECT_FAILED'))
      return
    }
    const now = this.#clock.nowMs()
    this.#pace.succeeded(now - begunMs, server.isOverSpare)
    this.#failure = null
    const isRetired = generation !== this.#generation
    this.#members.set(server, newMember(server, now, isRetired, this.#options.random))
    this.#outCount += 1
    this.#options.observer?.opened(now - begunMs)
    this.give(server)
    this.#grow()
  }

  /**
   * With no server left waiting helps only if the reason passes by itself, as in a failover:
   * then those who wait are held for a while.
   */
  #connectFailed(error: PontoonError): void {
    const now = this.#clock.nowMs()
    const isNew = this.#failure?.code !== error.code
    this.#failure = error
    this.#pace.failed(error.code, now)
    for (const cap of this.#options.caps ?? []) cap.free()
    this.#options.observer?.openFailed(error, isNew)
    if (error.code === 'CONNECT_TIMEOUT') this.suspect()
    if (this.#members.size === 0 && this.#pace.underWay === 0) {
      const { holdMs } = this.#limits
      this.#queue.refuse(
        error,
        passing.has(error.code) && holdMs > 0 ? now - holdMs : Number.POSITIVE_INFINITY,
      )
    }
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
}
