/**
 * How fast a pool (pool.ts) opens connections: how many at once, and how soon again after a failure
 * when nobody waits.
 *
 * Few at once, so that a cold start does not storm the server, and no more of them than it takes at
 * the same speed as one: where logins only share its processors, the first one is there the sooner
 * the fewer go with it, and those who wait are served by the first while the others are opened.
 *
 * While somebody is in a hurry, because everybody else is held up until he is served, each one that
 * succeeds lets one more be under way, up to a far higher bound. The first that fails ends that.
 */
import type { ErrorCode } from '../shared/errors.ts'
import {
  backgroundRetryMs,
  connectingMax,
  connectingMin,
  hurriedConnectingMax,
  shortLifeMs,
} from './pool-rules.ts'

/** Attempts that take so many times as long as one alone hinder each other. */
const slowedBy = 1.25

export class ConnectPace {
  #underWay = 0
  #max = connectingMin
  #hurriedCount = 0
  /**
   * What an attempt takes that has the server to itself, as far as is known; milliseconds. One over
   * a connection that is there already takes less and says nothing of the others.
   */
  readonly #aloneMs = { fromScratch: Number.POSITIVE_INFINITY, overSpare: Number.POSITIVE_INFINITY }
  #failuresInRow = 0
  /** Servers in a row that were lost as soon as they were there. */
  #shortLives = 0
  /** Attempts that nobody waits for are made from here on (clock milliseconds). */
  #backgroundAtMs = 0

  /** Being opened now. */
  get underWay(): number {
    return this.#underWay
  }

  get isFull(): boolean {
    return this.#underWay >= this.#max
  }

  /** Whether an attempt may be made that nobody waits for. */
  mayUnasked(nowMs: number): boolean {
    return nowMs >= this.#backgroundAtMs
  }

  /** Somebody is in a hurry until he calls, once, what this returns. */
  hurry(): () => void {
    this.#hurriedCount += 1
    return () => {
      this.#hurriedCount -= 1
      if (this.#hurriedCount === 0) this.#max = Math.min(this.#max, connectingMax)
    }
  }

  begun(): void {
    this.#underWay += 1
  }

  succeeded(tookMs: number, isOverSpare = false): void {
    this.#underWay -= 1
    this.#failuresInRow = 0
    const way = isOverSpare ? 'overSpare' : 'fromScratch'
    // A quick one is forgotten in time: it may have been another server, or another network.
    const aloneMs = Math.min(this.#aloneMs[way] * 1.02, tookMs)
    this.#aloneMs[way] = aloneMs
    if (this.#hurriedCount > 0) this.#max = Math.min(this.#max + 1, hurriedConnectingMax)
    else if (tookMs <= aloneMs * slowedBy) this.#max = Math.min(this.#max + 1, connectingMax)
    else this.#max = Math.max(this.#max - 1, connectingMin)
    if (this.#shortLives === 0) this.#backgroundAtMs = 0
  }

  failed(code: ErrorCode, nowMs: number): void {
    this.#underWay -= 1
    this.#max = connectingMin
    this.#failuresInRow += 1
    this.#backgroundAtMs = nowMs + backgroundRetryMs(code, this.#failuresInRow)
  }

  /** What logs in and dies at once is not opened again and again while nobody waits for it. */
  lost(openedAtMs: number, nowMs: number): void {
    this.#shortLives = nowMs - openedAtMs < shortLifeMs ? this.#shortLives + 1 : 0
    if (this.#shortLives === 0) return
    this.#backgroundAtMs = nowMs + backgroundRetryMs('SERVER_LOST', this.#shortLives)
  }
}
