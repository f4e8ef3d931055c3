/**
 * A line of those who wait: first come, first served; anyone may leave from anywhere. All in
 * constant time (a Set would walk over the gaps that its first entries leave).
 */
export interface Place<Item> {
  readonly item: Item
  isTaken: boolean
}

export class WaitLine<Item> {
  #places: (Place<Item> | undefined)[] = []
  #head = 0
  #size = 0

  /** Those who still wait. */
  get size(): number {
    return this.#size
  }

  join(item: Item): Place<Item> {
    const place = { item, isTaken: true }
    this.#places.push(place)
    this.#size += 1
    return place
  }

  leave(place: Place<Item>): void {
    if (!place.isTaken) return
    place.isTaken = false
    this.#size -= 1
  }

  /** Who has waited longest, without taking them out. */
  first(): Item | null {
    this.#skipGone()
    return this.#places[this.#head]?.item ?? null
  }

  /** Takes out who has waited longest. */
  shift(): Item | null {
    this.#skipGone()
    const place = this.#places[this.#head]
    if (place === undefined) return null
    this.#places[this.#head] = undefined
    this.#head += 1
    this.leave(place)
    return place.item
  }

  #skipGone(): void {
    while (this.#head < this.#places.length && this.#places[this.#head]?.isTaken !== true) {
      this.#places[this.#head] = undefined
      this.#head += 1
    }
    // The front half is empty: move up, which costs no more than the shifts before it.
    if (this.#head > 32 && this.#head * 2 > this.#places.length) {
      this.#places.splice(0, this.#head)
      this.#head = 0
    }
  }
}
