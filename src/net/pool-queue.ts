/**
 * Those who wait for a server of a pool (pool.ts): in order of arrival, each with a deadline.
 * Anyone may leave from anywhere. The queue is a chain of places, and whoever waits again and
 * again brings the same place each time: with more clients than servers every query waits.
 */
import { assert } from '../shared/assert.ts'
import type { PontoonError } from '../shared/errors.ts'
import type { PoolWaiter } from './pool-rules.ts'

export class QueuePlace<Server> {
  readonly waiter: PoolWaiter<Server>
  sinceMs = 0
  deadlineMs = 0
  /** The queue it is in at present, and its neighbours there. */
  queue: PoolQueue<Server> | null = null
  ahead: QueuePlace<Server> | null = null
  behind: QueuePlace<Server> | null = null
  /** Could not join, and is about to be told. */
  isTurnedAway = false

  constructor(waiter: PoolWaiter<Server>) {
    this.waiter = waiter
  }

  /** Waits no more; its waiter hears nothing further. */
  leave(): void {
    this.isTurnedAway = false
    this.queue?.remove(this)
  }
}

export class PoolQueue<Server> {
  #first: QueuePlace<Server> | null = null
  #last: QueuePlace<Server> | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Since when the first has waited, or null when nobody does. */
  get sinceMs(): number | null {
    return this.#first?.sinceMs ?? null
  }

  join(place: QueuePlace<Server>, sinceMs: number, deadlineMs: number): void {
    assert(place.queue === null, 'a place is in one queue')
    place.sinceMs = sinceMs
    place.deadlineMs = deadlineMs
    place.queue = this
    place.ahead = this.#last
    if (this.#last === null) this.#first = place
    else this.#last.behind = place
    this.#last = place
    this.#size += 1
  }

  remove(place: QueuePlace<Server>): void {
    const { ahead, behind } = place
    if (ahead === null) this.#first = behind
    else ahead.behind = behind
    if (behind === null) this.#last = ahead
    else behind.ahead = ahead
    place.queue = null
    place.ahead = null
    place.behind = null
    this.#size -= 1
  }

  /** Takes out who has waited longest. */
  shift(): PoolWaiter<Server> | null {
    const place = this.#first
    if (place === null) return null
    this.remove(place)
    return place.waiter
  }

  /** Refuses those whose deadline has passed. */
  refuseLate(now: number, error: () => PontoonError): void {
    for (let place = this.#first; place !== null; place = this.#first) {
      if (place.deadlineMs > now) return
      this.remove(place)
      place.waiter.onRefused(error())
    }
  }

  /** Refuses all who wait since `youngestMs` or longer; whoever joins meanwhile stays. */
  refuse(error: PontoonError, youngestMs = Number.POSITIVE_INFINITY): void {
    const refused: PoolWaiter<Server>[] = []
    for (let place = this.#first; place !== null; place = this.#first) {
      if (place.sinceMs > youngestMs) break
      this.remove(place)
      refused.push(place.waiter)
    }
    for (const waiter of refused) waiter.onRefused(error)
  }
}

/** Turns somebody away who may not join, unless they leave before. */
export function refuseSoon<Server>(place: QueuePlace<Server>, error: PontoonError): void {
  place.isTurnedAway = true
  queueMicrotask(() => {
    if (!place.isTurnedAway) return
    place.isTurnedAway = false
    place.waiter.onRefused(error)
  })
}
