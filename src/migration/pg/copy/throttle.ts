/**
 * How fast rows may be read from the source: a rate that all jobs share, a stop while the operator
 * says so, and a brake that follows a measured lag. Reading stops, so the source waits in its COPY.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../../../shared/clock.ts'

/** Shorter waits are left to the next piece: timers are no finer. */
const waitMinMs = 20
/** A wait is cut into pieces, so that a pause is seen to end. */
const waitMaxMs = 200
const brakedBytesMin = 1_000_000

export class Throttle {
  readonly #clock: Clock
  /** Bytes per second that were asked for. */
  readonly #asked: number
  #allowed: number
  #isPaused = false
  #brakedBy: string | null = null
  /** When all that was let through would have been through at the allowed rate. */
  #dueMs: number
  #countedBytes = 0
  #countedSinceMs: number

  constructor(clock: Clock, bytesPerSecond = Number.POSITIVE_INFINITY) {
    this.#clock = clock
    this.#asked = bytesPerSecond
    this.#allowed = bytesPerSecond
    this.#dueMs = clock.nowMs()
    this.#countedSinceMs = clock.nowMs()
  }

  /** Bytes per second that go through at most now; infinite without any limit. */
  get allowed(): number {
    return this.#allowed
  }

  /** Why less goes through than was asked for, in words; null without the brake. */
  get brakedBy(): string | null {
    return this.#brakedBy
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  /** Counts bytes that were read; a promise when the next ones have to wait. */
  readonly pace = (bytes: number): Promise<void> | null => {
    this.#countedBytes += bytes
    if (Number.isFinite(this.#allowed)) {
      const nowMs = this.#clock.nowMs()
      this.#dueMs = Math.max(this.#dueMs, nowMs) + (bytes * 1_000) / this.#allowed
      if (this.#dueMs - nowMs < waitMinMs && !this.#isPaused) return null
    } else if (!this.#isPaused) return null
    return this.#hold()
  }

  /**
   * Called at intervals, with the words for a lag above its limit: then the rate of the last
   * interval is halved. With null it grows by a quarter up to what was asked.
   */
  brake(late: string | null): void {
    const nowMs = this.#clock.nowMs()
    const measured = (this.#countedBytes * 1_000) / Math.max(1, nowMs - this.#countedSinceMs)
    this.#countedBytes = 0
    this.#countedSinceMs = nowMs
    if (late !== null) {
      const halved = Math.max(brakedBytesMin, Math.min(this.#allowed, measured) / 2)
      this.#allowed = Math.min(this.#asked, halved)
      this.#brakedBy = late
      return
    }
    if (this.#brakedBy === null) return
    // What goes through is far below the brake: something else is slower, so there is none.
    const next = this.#allowed * 1.25
    const isFree = next >= this.#asked || measured < this.#allowed / 4
    this.#allowed = isFree ? this.#asked : next
    this.#brakedBy = isFree ? null : 'standbys were behind'
  }

  async #hold(): Promise<void> {
    for (;;) {
      const waitMs = this.#dueMs - this.#clock.nowMs()
      if (!this.#isPaused && waitMs < waitMinMs) return
      await delay(this.#isPaused ? waitMaxMs : Math.min(waitMaxMs, waitMs))
    }
  }
}
