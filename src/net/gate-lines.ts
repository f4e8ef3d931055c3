/**
 * Those who wait at a gate (gate.ts): one line for each place that they want to go to, so that a
 * place that is full holds up nobody else. Within a line and, when all go at once, among them, the
 * order of arrival counts. Joining and leaving take constant time.
 */
import { WaitLine } from '../shared/wait-line.ts'

/** Where parked sessions want to go. */
export interface GatePlace {
  /** How many more may go there now. */
  room(): number
}

interface Waiter {
  /** Order of arrival over all lines. */
  readonly sequence: number
  readonly go: () => void
  hasLeft: boolean
}

export class GateLines {
  #lines = new Map<GatePlace, WaitLine<Waiter>>()
  #sequence = 0

  get size(): number {
    let size = 0
    for (const line of this.#lines.values()) size += line.size
    return size
  }

  /** Somebody waits for this place. */
  has(place: GatePlace): boolean {
    return (this.#lines.get(place)?.size ?? 0) > 0
  }

  places(): readonly GatePlace[] {
    return [...this.#lines.keys()]
  }

  /** Returns how to leave. */
  join(place: GatePlace, go: () => void): () => void {
    let line = this.#lines.get(place)
    if (line === undefined) {
      line = new WaitLine()
      this.#lines.set(place, line)
    }
    const joined = line
    const waiter = { sequence: this.#sequence++, go, hasLeft: false }
    const stand = joined.join(waiter)
    return () => {
      waiter.hasLeft = true
      joined.leave(stand)
    }
  }

  /** Takes out the first of a line; a line that is empty is forgotten. */
  shift(place: GatePlace): (() => void) | null {
    const line = this.#lines.get(place)
    const first = line?.shift() ?? null
    if (line?.size === 0) this.#lines.delete(place)
    return first?.go ?? null
  }

  /**
   * Lets everybody go in order of arrival. Whoever joins meanwhile stays; whoever leaves meanwhile
   * is not called. One that fails is a bug of its own, and must not keep those behind it.
   */
  goAll(): void {
    const waiters: Waiter[] = []
    for (const line of this.#lines.values())
      for (let next = line.shift(); next !== null; next = line.shift()) waiters.push(next)
    this.#lines = new Map()
    const failures: unknown[] = []
    for (const waiter of waiters.toSorted((a, b) => a.sequence - b.sequence)) {
      if (waiter.hasLeft) continue
      try {
        waiter.go()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
