/**
 * Joins the writes of one event: everything sent to a socket while a read is being handled goes
 * out in one system call when the handling ends.
 */
export interface Flushable {
  flush(): void
}

export class FlushQueue {
  #dirty: Flushable[] = []
  #handling = false
  #scheduled = false
  readonly #flushLater = (): void => {
    this.#scheduled = false
    this.#flushAll()
  }

  /** A read handler starts; its writes are kept back until `leave`. */
  enter(): void {
    this.#handling = true
  }

  leave(): void {
    this.#handling = false
    if (this.#dirty.length > 0) this.#flushAll()
  }

  /** `target` has something to write. Outside of a read handler it is flushed at the tick's end. */
  mark(target: Flushable): void {
    this.#dirty.push(target)
    if (this.#handling || this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flushLater)
  }

  #flushAll(): void {
    const dirty = this.#dirty
    // A flush may mark others (an error closes a peer); they join this same round.
    for (let index = 0; index < dirty.length; index += 1) dirty[index]?.flush()
    dirty.length = 0
  }
}
