/**
 * Joins the writes of one event: everything sent to a socket while a read is being handled goes
 * out in one system call when the handling ends. An event is also one moment: the clock is read
 * once for all that happens in it.
 */
import type { EventClock } from '../shared/clock.ts'

export interface Flushable {
  flush(): void
}

export class FlushQueue {
  readonly #clock: EventClock | null
  /** The first `#count` entries are to be flushed; the array never shrinks, which would cost. */
  readonly #dirty: (Flushable | null)[] = []
  #count = 0
  #handling = false
  #scheduled = false
  readonly #flushLater = (): void => {
    this.#scheduled = false
    this.#flushAll()
  }

  constructor(clock: EventClock | null = null) {
    this.#clock = clock
  }

  /** A read handler starts; its writes are kept back until `leave`. */
  enter(): void {
    this.#handling = true
    this.#clock?.hold()
  }

  leave(): void {
    this.#handling = false
    if (this.#count > 0) this.#flushAll()
    this.#clock?.release()
  }

  /** `target` has something to write. Outside of a read handler it is flushed at the tick's end. */
  mark(target: Flushable): void {
    this.#dirty[this.#count] = target
    this.#count += 1
    if (this.#handling || this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flushLater)
  }

  #flushAll(): void {
    const dirty = this.#dirty
    // A flush may mark others (an error closes a peer); they join this same round.
    for (let index = 0; index < this.#count; index += 1) {
      dirty[index]?.flush()
      dirty[index] = null
    }
    this.#count = 0
  }
}
