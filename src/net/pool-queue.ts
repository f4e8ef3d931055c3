/** Those who wait for a server of a pool (pool.ts): in order of arrival, each with a deadline. */
import type { PontoonError } from '../shared/errors.ts'
import { WaitLine } from '../shared/wait-line.ts'
import type { PoolWaiter } from './pool-rules.ts'

interface Queued<Server> {
  readonly waiter: PoolWaiter<Server>
  readonly sinceMs: number
  readonly deadlineMs: number
}

export class PoolQueue<Server> {
  readonly #line = new WaitLine<Queued<Server>>()

  get size(): number {
    return this.#line.size
  }

  /** Since when the first has waited, or null when nobody does. */
  get sinceMs(): number | null {
    return this.#line.first()?.sinceMs ?? null
  }

  /** Returns how to leave. */
  join(waiter: PoolWaiter<Server>, sinceMs: number, deadlineMs: number): () => void {
    const place = this.#line.join({ waiter, sinceMs, deadlineMs })
    return () => this.#line.leave(place)
  }

  /** Takes out who has waited longest. */
  shift(): PoolWaiter<Server> | null {
    return this.#line.shift()?.waiter ?? null
  }

  /** Refuses those whose deadline has passed. */
  refuseLate(now: number, error: () => PontoonError): void {
    for (let queued = this.#line.first(); queued !== null; queued = this.#line.first()) {
      if (queued.deadlineMs > now) return
      this.#line.shift()
      queued.waiter.onRefused(error())
    }
  }

  /** Refuses all who wait since `youngestMs` or longer; whoever joins meanwhile stays. */
  refuse(error: PontoonError, youngestMs = Number.POSITIVE_INFINITY): void {
    const refused: PoolWaiter<Server>[] = []
    for (let queued = this.#line.first(); queued !== null; queued = this.#line.first()) {
      if (queued.sinceMs > youngestMs) break
      this.#line.shift()
      refused.push(queued.waiter)
    }
    for (const waiter of refused) waiter.onRefused(error)
  }
}

/** Turns somebody away who may not join; returns how to leave before that. */
export function refuseSoon(waiter: PoolWaiter<never>, error: PontoonError): () => void {
  let hasLeft = false
  queueMicrotask(() => {
    if (!hasLeft) waiter.onRefused(error)
  })
  return () => {
    hasLeft = true
  }
}
