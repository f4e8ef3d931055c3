/**
 * Joins what many clients send to one server during a turn of the event loop into few writes: each
 * command is copied once, from the read buffer into a slab, and the slab is written when all
 * sockets of the turn have been read.
 */
import type { Transport } from '../../net/transport.ts'

const slabBytes = 256 * 1024

/** With less room than this a slab is not gone on with. */
const roomBytesMin = 16 * 1024

const none = Buffer.alloc(0)

export class BatchWriter {
  readonly #transport: Transport
  /** Made when it is needed: servers that are one client's own need none. */
  #slab = none
  #from = 0
  #to = 0
  #isScheduled = false
  readonly #flushLater = (): void => {
    this.#isScheduled = false
    this.flush()
  }

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Takes a copy of `bytes[start, end)`. */
  append(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    if (length > this.#slab.length - this.#to) {
      this.flush()
      if (length > slabBytes) {
        this.#transport.send(bytes, start, end)
        return
      }
      if (length > this.#slab.length - this.#to) this.#renew()
    }
    bytes.copy(this.#slab, this.#to, start, end)
    this.#to += length
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#flushLater)
  }

  flush(): void {
    if (this.#to === this.#from) return
    const batch = this.#slab.subarray(this.#from, this.#to)
    this.#from = this.#to
    this.#transport.sendOwned(batch)
    this.#transport.flush()
    // What the kernel has taken is ours again, and still in the processor's cache.
    if (this.#transport.unwrittenBytes === 0) this.#begin()
    else if (slabBytes - this.#to < roomBytesMin) this.#renew()
  }

  #renew(): void {
    this.#slab = Buffer.allocUnsafeSlow(slabBytes)
    this.#begin()
  }

  #begin(): void {
    this.#from = 0
    this.#to = 0
  }
}
