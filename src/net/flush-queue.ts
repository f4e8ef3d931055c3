/**
 * Joins the writes of one event: everything sent to a socket while a read is being handled goes
 * out in one system call when the handling ends. An event is also one moment: the clock is read
 * once for all that happens in it.
 *
 * Replies to clients wait longer, for the end of the turn of the event loop: servers get their
 * next queries first, and a process with many connections is woken once for several replies. As
 * read buffers are used again, replies are copied for as long as they wait.
 */
import { Buffer } from 'node:buffer'
import { copyBytes } from '../shared/bytes.ts'
import type { EventClock } from '../shared/clock.ts'

export interface Flushable {
  flush(): void
}

/** Nobody waits behind more than so many others. */
const turnTargetsMax = 32

/** What is longer than this goes out with its event. */
const keptBytesMax = 1_024

export class FlushQueue {
  readonly #clock: EventClock | null
  readonly #ofEvent = new DirtyList()
  readonly #ofTurn = new DirtyList()
  /** Copies of what waits for the end of the turn. */
  readonly kept = Buffer.allocUnsafeSlow(turnTargetsMax * 2 * keptBytesMax)
  #keptBytes = 0
  #handling = false
  #isEventScheduled = false
  #isTurnScheduled = false
  readonly #endEvent = (): void => {
    this.#isEventScheduled = false
    this.#ofEvent.flush()
  }
  readonly #endTurn = (): void => {
    this.#isTurnScheduled = false
    this.#flushTurn()
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
    this.#ofEvent.flush()
    if (this.#ofTurn.count >= turnTargetsMax) this.#flushTurn()
    this.#clock?.release()
  }

  /** `target` has something to write. Outside of a read handler it is flushed at the tick's end. */
  mark(target: Flushable): void {
    this.#ofEvent.add(target)
    if (this.#handling || this.#isEventScheduled) return
    this.#isEventScheduled = true
    process.nextTick(this.#endEvent)
  }

  /** `target` has something to write that waits for the end of the turn. */
  markForTurn(target: Flushable): void {
    this.#ofTurn.add(target)
    if (this.#isTurnScheduled) return
    this.#isTurnScheduled = true
    setImmediate(this.#endTurn)
  }

  /**
   * Copies `bytes[start, end)` for whoever is marked for the turn. Returns where in `kept` it
   * begins, or -1 when it is too long or there is no room.
   */
  keep(bytes: Buffer, start: number, end: number): number {
    const at = this.#keptBytes
    const length = end - start
    if (length > keptBytesMax || length > this.kept.length - at) return -1
    copyBytes(bytes, start, end, this.kept, at)
    this.#keptBytes = at + length
    return at
  }

  /** Writes everything now, for whoever cannot be sure that there is another turn. */
  flush(): void {
    this.#ofEvent.flush()
    this.#flushTurn()
  }

  #flushTurn(): void {
    this.#ofTurn.flush()
    this.#keptBytes = 0
  }
}

/** Those to be flushed; the array never shrinks, which would cost. */
class DirtyList {
  readonly #targets: (Flushable | null)[] = []
  count = 0

  add(target: Flushable): void {
    this.#targets[this.count] = target
    this.count += 1
  }

  /** A flush may mark others (an error closes a peer); they join this same round. */
  flush(): void {
    const targets = this.#targets
    for (let index = 0; index < this.count; index += 1) {
      targets[index]?.flush()
      targets[index] = null
    }
    this.count = 0
  }
}
