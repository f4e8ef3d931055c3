/**
 * Deals each client session a stable position in [0, 1). A session whose position lies below the
 * route's read percentage sends its eligible reads to the target, for as long as it lives.
 *
 * Positions follow the golden-ratio sequence, in which any run of neighbours is spread evenly: of
 * ten sessions at 10% one is below, not none by bad luck. A session takes the lowest free seat,
 * so that the seats in use stay close together however often sessions come and go.
 */
import { assert } from '../shared/assert.ts'

const goldenRatio = (Math.sqrt(5) - 1) / 2

export interface Seat {
  /** From 1. */
  readonly index: number
  readonly position: number
}

/** Where the seat of an index lies; the same for ever. */
export function seatPosition(index: number): number {
  return (index * goldenRatio) % 1
}

export class SessionDealer {
  /** Whether a seat is taken, by index; seat 0 is never given. No longer than the last one taken. */
  readonly #taken: boolean[] = [true]
  #lowestFree = 1
  #live = 0

  get live(): number {
    return this.#live
  }

  take(): Seat {
    const index = this.#lowestFree
    assert(this.#taken[index] !== true, 'a free seat is free')
    this.#taken[index] = true
    this.#live++
    while (this.#taken[this.#lowestFree] === true) this.#lowestFree++
    return { index, position: seatPosition(index) }
  }

  leave(seat: Seat): void {
    assert(seat.index > 0 && this.#taken[seat.index] === true, 'a seat is left by who took it')
    this.#taken[seat.index] = false
    this.#live--
    if (seat.index < this.#lowestFree) this.#lowestFree = seat.index
    while (this.#taken[this.#taken.length - 1] === false) this.#taken.pop()
  }
}
