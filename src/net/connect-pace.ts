/**
 * How fast a pool (pool.ts) opens connections: how many at once, and how soon again after a failure
 * when nobody waits.
 *
 * Few at once, so that a cold start does not storm the server. While somebody is in a hurry, because
 * everybody else is held up until he is served, each one that succeeds lets one more be under way:
 * so the server itself tells how many it can take. The first that fails ends that.
 */
import type { ErrorCode } from '../shared/errors.ts'
import {
  backgroundRetryMs,
  connectingMax,
  hurriedConnectingMax,
  shortLifeMs,
} from './pool-rules.ts'

export class ConnectPace {
  #underWay = 0
  #max = connectingMax
  #hurriedCount = 0
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
      if (this.#hurriedCount === 0) this.#max = connectingMax
    }
  }

  begun(): void {
    this.#underWay += 1
  }

  succeeded(): void {
    this.#underWay -= 1
    this.#failuresInRow = 0
    if (this.#hurriedCount > 0) this.#max = Math.min(this.#max + 1, hurriedConnectingMax)
    if (this.#shortLives === 0) this.#backgroundAtMs = 0
  }

  failed(code: ErrorCode, nowMs: number): void {
    this.#underWay -= 1
    this.#max = connectingMax
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
