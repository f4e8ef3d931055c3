/**
 * One socket with one owner: reads go to the current handler, writes are joined per event
 * (flush-queue.ts), and back-pressure is reported as a pair of calls. Both legs of a session are
 * transports, plain or TLS.
 *
 * Bytes given to a handler are valid only during the call: the buffer is used again.
 */
import type { Socket } from 'node:net'
import type { FlushQueue } from './flush-queue.ts'

export interface TransportHandler {
  /** `bytes[0, end)` arrived; whoever wants to keep them copies them. */
  onBytes(bytes: Buffer, end: number): void
  /** The peer does not keep up: stop producing for it. */
  onCongested(): void
  /** It has caught up. */
  onDrained(): void
  /** The socket is gone; nothing follows. `error` is null after an orderly end. */
  onClosed(error: Error | null): void
}

/** Unwritten bytes at which a peer counts as congested. */
export const congestedBytes = 256 * 1024

/** Small writes are joined into one buffer up to this size, larger ones go as they are. */
const joinBytesMax = 64 * 1024

/** How long a peer may take to close its half after we have closed ours. */
const lingerMs = 5_000

export class Transport {
  readonly socket: Socket
  handler: TransportHandler
  readonly #flushes: FlushQueue
  #first: Buffer | null = null
  #rest: Buffer[] = []
  #closed = false
  #isEnding = false
  #isPaused = false
  #isCongested = false
  #endAfterFlush = false
  #lastError: Error | null = null

  constructor(socket: Socket, flushes: FlushQueue, handler: TransportHandler) {
    this.socket = socket
    this.#flushes = flushes
    this.handler = handler
    socket.on('error', (error) => {
      this.#lastError = error
    })
    socket.on('close', () => {
      if (this.#closed) return
      this.#closed = true
      this.handler.onClosed(this.#lastError)
    })
    socket.on('drain', () => {
      if (!this.#isCongested) return
      this.#isCongested = false
      this.#handle(() => this.handler.onDrained())
    })
  }

  /** Starts reading with 'data' events; sockets made with `onread` call `receive` themselves. */
  readEvents(): this {
    this.socket.on('data', (bytes: Buffer) => this.receive(bytes, bytes.length))
    return this
  }

  /** Entry of every read. */
  receive(bytes: Buffer, end: number): void {
    if (this.#closed || this.#isEnding) return
    this.#flushes.enter()
    try {
      this.handler.onBytes(bytes, end)
    } finally {
      this.#flushes.leave()
    }
  }

  get isClosed(): boolean {
    return this.#closed
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  get isCongested(): boolean {
    return this.#isCongested
  }

  /** Sends a copy of `bytes[start, end)`. */
  send(bytes: Buffer, start: number, end: number): void {
    if (end <= start) return
    const copy = Buffer.allocUnsafe(end - start)
    bytes.copy(copy, 0, start, end)
    this.sendOwned(copy)
  }

  /** Sends a buffer that nobody changes any more. */
  sendOwned(bytes: Buffer): void {
    if (this.#closed || this.#isEnding) return
    if (this.#first === null) {
      this.#first = bytes
      this.#flushes.mark(this)
    } else {
      this.#rest.push(bytes)
    }
  }

  flush(): void {
    const first = this.#first
    if (first === null) return
    this.#first = null
    if (this.#closed || this.socket.destroyed) {
      this.#rest.length = 0
      return
    }
    if (this.#rest.length === 0) this.socket.write(first)
    else this.#writeJoined(first)
    if (this.#endAfterFlush) {
      this.socket.end()
    } else if (!this.#isCongested && this.socket.writableLength > congestedBytes) {
      this.#isCongested = true
      this.handler.onCongested()
    }
  }

  #writeJoined(first: Buffer): void {
    const parts = [first, ...this.#rest]
    this.#rest = []
    let total = 0
    for (const part of parts) total += part.length
    if (total <= joinBytesMax) {
      this.socket.write(Buffer.concat(parts, total))
      return
    }
    this.socket.cork()
    for (const part of parts) this.socket.write(part)
    this.socket.uncork()
  }

  pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.socket.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused || this.#closed) return
    this.#isPaused = false
    this.socket.resume()
  }

  /**
   * Sends what is queued, then closes in order. What still comes is read and dropped: unread bytes
   * would make the close a reset, which can overtake our last words.
   */
  end(): void {
    if (this.#closed || this.#isEnding) return
    this.#isEnding = true
    if (this.#first === null) this.socket.end()
    else this.#endAfterFlush = true
    this.resumeReading()
    // A peer that never closes its half must not hold the socket for ever, whatever it sends.
    const timer = setTimeout(() => this.socket.destroy(), lingerMs)
    this.socket.once('close', () => clearTimeout(timer))
  }

  /** Closes at once; queued bytes are lost. The handler is told as always. */
  destroy(error?: Error): void {
    if (error !== undefined) this.#lastError ??= error
    this.socket.destroy()
  }

  #handle(action: () => void): void {
    this.#flushes.enter()
    try {
      action()
    } finally {
      this.#flushes.leave()
    }
  }
}
