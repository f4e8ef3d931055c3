/**
 * The gate of a service: open or paused. While paused, sessions park their next transaction and
 * running ones finish. A pause is a lease with a deadline: it opens by itself when nobody renews
 * it, and it is never restored after a crash (it lives in memory only).
 *
 * Parked sessions wait in order of arrival and are released in that order. They hang off the
 * gate, not off a pool, so that a switch of pools cannot lose them.
 */
import { assert } from '../shared/assert.ts'
import type { Clock } from '../shared/clock.ts'

export type GateState = 'open' | 'paused'

/** A session that waits. Called once, on the tick that the gate opens. */
export type GateWaiter = () => void

export interface GateSnapshot {
  readonly state: GateState
  readonly parked: number
  /** How long the gate has been paused, and how long until it opens by itself; milliseconds. */
  readonly pausedForMs: number
  readonly opensInMs: number
  readonly reason: string
}

export class Gate {
  readonly #clock: Clock
  readonly #onOpen: (pausedMs: number) => void
  #state: GateState = 'open'
  #waiters = new Set<GateWaiter>()
  #pausedAtMs = 0
  #deadlineMs = 0
  #reason = ''
  #timer: NodeJS.Timeout | undefined

  constructor(clock: Clock, onOpen: (pausedMs: number) => void = () => undefined) {
    this.#clock = clock
    this.#onOpen = onOpen
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Pauses, or renews the lease of a pause: the later call's deadline and reason count. */
  pause(forMs: number, reason: string): void {
    assert(forMs > 0, 'a pause needs a positive duration')
    const now = this.#clock.nowMs()
    if (this.#state === 'open') this.#pausedAtMs = now
    this.#state = 'paused'
    this.#deadlineMs = now + forMs
    this.#reason = reason
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.open(), forMs)
  }

  /** Opens and releases the parked sessions in order. Opening an open gate does nothing. */
  open(): void {
    if (this.#state === 'open') return
    clearTimeout(this.#timer)
    this.#state = 'open'
    this.#onOpen(this.#clock.nowMs() - this.#pausedAtMs)
    const released = this.#waiters
    this.#waiters = new Set()
    // One that fails is a bug of its own; those behind it must not wait for ever because of it.
    const failures: unknown[] = []
    for (const waiter of released) {
      try {
        waiter()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  /** Parks a session until the gate opens; only while paused. Returns how to leave the queue. */
  park(waiter: GateWaiter): () => void {
    assert(this.#state === 'paused', 'only a paused gate parks')
    const parkedIn = this.#waiters
    parkedIn.add(waiter)
    return () => parkedIn.delete(waiter)
  }

  snapshot(): GateSnapshot {
    const paused = this.#state === 'paused'
    const now = this.#clock.nowMs()
    return {
      state: this.#state,
      parked: this.#waiters.size,
      pausedForMs: paused ? now - this.#pausedAtMs : 0,
      opensInMs: paused ? Math.max(0, this.#deadlineMs - now) : 0,
      reason: paused ? this.#reason : '',
    }
  }
}
