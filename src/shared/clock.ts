/**
 * Time, injectable so that tests need no sleeps.
 * `nowMs` is monotonic with sub-millisecond resolution; `wallMs` is for humans and journals only.
 */
// The global of that name is behind a getter, which the hot path would call each time.
import { performance } from 'node:perf_hooks'

export interface Clock {
  nowMs(): number
  wallMs(): number
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
}

/**
 * Stands still while an event is handled: a relayed query asks for the time half a dozen times,
 * and each answer costs a system call's worth of virtual clock.
 */
export class EventClock implements Clock {
  readonly #clock: Clock
  #isHeld = false
  /** The time of the event at hand, once somebody has asked. */
  #heldMs = -1

  constructor(clock: Clock) {
    this.#clock = clock
  }

  nowMs(): number {
    if (!this.#isHeld) return this.#clock.nowMs()
    if (this.#heldMs < 0) this.#heldMs = this.#clock.nowMs()
    return this.#heldMs
  }

  wallMs(): number {
    return this.#clock.wallMs()
  }

  /** An event begins. */
  hold(): void {
    this.#isHeld = true
    this.#heldMs = -1
  }

  /** It is over. */
  release(): void {
    this.#isHeld = false
  }
}
