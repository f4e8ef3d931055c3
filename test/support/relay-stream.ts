/**
 * One direction of one relayed connection: chunks wait in order in a queue until their time has
 * come and nothing stalls, then pass with the faults of the moment. The queue is bounded by
 * pausing the sender. Neighbour: relay.ts, which owns the faults and the sockets.
 */
import type { Socket } from 'node:net'

export interface Faults {
  delayMs: number
  stalled: boolean
  dropAfterBytes: number | undefined
  cutAfterBytes: number | undefined
  corruptByteAt: number | undefined
  splitEvery: number | undefined
}

interface Waiting {
  /** An empty chunk stands for the end of the stream. */
  readonly bytes: Buffer
  readonly dueMs: number
}

const queueBytesMax = 4 * 1024 * 1024

export class RelayStream {
  readonly #from: Socket
  readonly #to: Socket
  readonly #faults: Faults
  readonly #count: (bytes: number) => void
  readonly #cut: () => void
  readonly #queue: Waiting[] = []
  #queueBytes = 0
  /** Bytes that passed since a fault at an offset was last set; its offset counts from there. */
  #passed = 0
  #timer: NodeJS.Timeout | undefined
  #ended = false
  #draining = false
  #splitting = false

  constructor(
    from: Socket,
    to: Socket,
    faults: Faults,
    count: (bytes: number) => void,
    cut: () => void,
  ) {
    this.#from = from
    this.#to = to
    this.#faults = faults
    this.#count = count
    this.#cut = cut
    from.on('data', (bytes: Buffer) => this.#take(bytes))
    from.on('end', () => this.#take(Buffer.alloc(0)))
    to.on('drain', () => {
      this.#draining = false
      this.flow()
    })
  }

  get isHolding(): boolean {
    return this.#queue.length > 0
  }

  countFromHere(): void {
    this.#passed = 0
  }

  end(): void {
    this.#ended = true
    this.#queue.length = 0
    clearTimeout(this.#timer)
  }

  #take(bytes: Buffer): void {
    if (this.#ended) return
    this.#queue.push({ bytes, dueMs: performance.now() + this.#faults.delayMs })
    this.#queueBytes += bytes.length
    if (this.#queueBytes > queueBytesMax) this.#from.pause()
    this.flow()
  }

  /** Passes on what may pass now; to be called when a fault has changed. */
  flow(): void {
    clearTimeout(this.#timer)
    while (!this.#ended && !this.#faults.stalled && !this.#draining && !this.#splitting) {
      const head = this.#queue[0]
      if (head === undefined) break
      const waitMs = head.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flow(), Math.ceil(waitMs))
        return
      }
      this.#queue.shift()
      this.#queueBytes -= head.bytes.length
      this.#pass(head.bytes)
    }
    if (!this.#ended && this.#queueBytes <= queueBytesMax && this.#from.isPaused()) {
      this.#from.resume()
    }
  }

  #pass(bytes: Buffer): void {
    if (bytes.length === 0) {
      this.#to.end()
      return
    }
    const start = this.#passed
    this.#passed += bytes.length
    const { corruptByteAt, dropAfterBytes, cutAfterBytes } = this.#faults
    if (corruptByteAt !== undefined && corruptByteAt >= start && corruptByteAt < this.#passed) {
      const index = corruptByteAt - start
      bytes[index] = ~(bytes[index] ?? 0) & 0xff
    }
    let kept = bytes
    if (dropAfterBytes !== undefined) kept = bytes.subarray(0, Math.max(0, dropAfterBytes - start))
    const cutNow = cutAfterBytes !== undefined && this.#passed >= cutAfterBytes
    if (cutNow) kept = kept.subarray(0, Math.max(0, cutAfterBytes - start))
    this.#count(kept.length)
    if (cutNow) this.#write(kept, () => this.#cut())
    else if (this.#faults.splitEvery === undefined) this.#write(kept)
    else void this.#writeSplit(kept, this.#faults.splitEvery)
  }

  #write(bytes: Buffer, done: () => void = () => undefined): void {
    if (bytes.length === 0) done()
    else if (!this.#to.write(bytes, done)) this.#draining = true
  }

  /** Waits for a turn of the event loop between pieces, so that the peer sees them one by one. */
  async #writeSplit(bytes: Buffer, size: number): Promise<void> {
    this.#splitting = true
    for (let start = 0; start < bytes.length && !this.#ended; start += size) {
      await new Promise<void>((resolve) => {
        this.#to.write(bytes.subarray(start, start + size), () => setImmediate(resolve))
      })
    }
    this.#splitting = false
    this.flow()
  }
}
