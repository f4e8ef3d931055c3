/**
 * One socket with one owner: reads go to the current handler, writes are joined per event
 * (flush-queue.ts), and back-pressure is reported as a pair of calls. Both legs of a session are
 * transports, plain or TLS.
 *
 * Bytes given to a handler are valid only during the call: the buffer is used again. What a
 * handler sends of them leaves before that, or is copied.
 */
import { Buffer } from 'node:buffer'
import { Socket } from 'node:net'
import { assert } from '../shared/assert.ts'
import { bytesOf, copyBytes } from '../shared/bytes.ts'
import { BareSocket } from './bare-socket.ts'
import type { Carrier } from './carrier.ts'
import type { FlushQueue } from './flush-queue.ts'
import { RawHandle } from './raw-handle.ts'
import { sharedReadBuffer } from './read-buffer.ts'

export interface TransportHandler {
  /** `bytes[0, end)` arrived; whoever wants to keep them copies them. */
  onBytes(bytes: Buffer, end: number): void
  /** The peer does not keep up: stop producing for it. */
  onCongested(): void
  /** It has caught up. */
  onDrained(): void
  /** The peer has closed its half. Without this our half is closed as well. */
  onEnded?(): void
  /** The socket is gone; nothing follows. `error` is null after an orderly end. */
  onClosed(error: Error | null): void
}

/** Unwritten bytes at which a peer counts as congested. */
export const congestedBytes = 256 * 1024

/**
 * How long a peer may take to close its half after we have closed ours, and to read some more of
 * what it was sent before; and how often it may take so long with reading.
 */
const lingerMs = 5_000
const lingersMax = 60

/** How long the last words of a peer that takes nothing any more are waited for. */
const lastWordsMs = 1_000

/** Writes up to this size are put together in one buffer that all transports use in turn. */
const scratchBytes = 16 * 1024

let scratch = Buffer.allocUnsafeSlow(scratchBytes)

/**
 * Its beginnings of up to this many bytes are kept by their length: a view a write adds up. All
 * places are filled from the start: an array that grows by leaps is slow to read.
 */
const viewBytesMax = 1_024
const views = Array.from<Buffer | undefined>({ length: viewBytesMax + 1 })

function scratchView(length: number): Buffer {
  if (length > viewBytesMax) return scratch.subarray(0, length)
  const view = (views[length] ??= scratch.subarray(0, length))
  return view
}

/** The kernel did not take all of it: it is in use until it has. */
function replaceScratch(): void {
  scratch = Buffer.allocUnsafeSlow(scratchBytes)
  views.fill(undefined)
}

export class Transport {
  readonly socket: Carrier
  handler: TransportHandler
  /** What is sent may wait for the end of the turn (flush-queue.ts). */
  waitsForTurns = false
  readonly #flushes: FlushQueue
  readonly #raw: RawHandle | null
  /** Waits for the flush: the first part, and whether nobody changes it after that… */
  #first: Buffer | null = null
  #firstStart = 0
  #firstEnd = 0
  #isFirstOwned = false
  /** …and the parts behind it. */
  #rest: Buffer[] = []
  /** Bytes of the raw write under way; what is flushed meanwhile waits in the backlog. */
  #inFlightBytes = 0
  #backlog: Buffer[] = []
  #backlogBytes = 0
  #isReading = false
  #closed = false
  #isEnding = false
  #isPaused = false
  #isCongested = false
  #endAfterFlush = false
  #cannotWrite = false
  #lastError: Error | null = null
  #lingerTimer: NodeJS.Timeout | undefined
  readonly #onWritten = (error: Error | null): void => this.#written(error)

  /** With `raw` null, Node's streams carry the bytes. */
  constructor(
    socket: Carrier,
    flushes: FlushQueue,
    handler: TransportHandler,
    raw: RawHandle | null = rawOf(socket),
  ) {
    this.socket = socket
    this.#flushes = flushes
    this.handler = handler
    this.#raw = raw
    socket.on('error', (error) => {
      this.#lastError = error
    })
    socket.on('close', () => {
      if (this.#closed) return
      this.#closed = true
      clearTimeout(this.#lingerTimer)
      this.handler.onClosed(this.#lastError)
    })
    if (socket instanceof Socket) socket.allowHalfOpen = true
    socket.on('end', () => this.#halfClosed())
    if (raw === null) this.#stream.on('drain', () => this.#drained())
  }

  /** Starts reading. Nothing else may have read from the socket since this tick began. */
  startReading(): this {
    const { socket } = this
    const raw = this.#raw
    this.#isReading = true
    if (socket instanceof BareSocket) socket.read(this)
    else if (raw === null)
      this.#stream.on('data', (bytes: Buffer) => this.receive(bytes, bytes.length))
    else {
      raw.readInto(sharedReadBuffer, this)
      // Flowing, or the end of the stream would go unnoticed.
      this.#stream.resume()
      this.#stream.read(0)
    }
    return this
  }

  /** The socket of Node, where it carries the bytes itself. */
  get #stream(): Socket {
    const { socket } = this
    assert(socket instanceof Socket, 'a bare socket has a raw handle')
    return socket
  }

  #halfClosed(): void {
    if (this.#closed || this.#isEnding) return
    if (this.handler.onEnded === undefined) this.end()
    else this.#handle(() => this.handler.onEnded?.())
  }

  /** A read into the shared buffer. */
  onRead(end: number): void {
    this.receive(sharedReadBuffer, end)
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

  /** Takes what is sent: neither closed nor about to be, by us or by the peer. */
  get isOpen(): boolean {
    return !this.#closed && !this.#isEnding && !this.#cannotWrite && !this.socket.destroyed
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  get isCongested(): boolean {
    return this.#isCongested
  }

  /** Sends `bytes[start, end)`, which must not change before the present event ends. */
  send(bytes: Buffer, start: number, end: number): void {
    if (end <= start || this.#closed || this.#isEnding) return
    if (this.waitsForTurns && this.#keepForTurn(bytes, start, end)) return
    if (this.#first === null) {
      this.#hold(bytes, start, end, false)
      this.#flushes.mark(this)
      return
    }
    this.#rest.push(bytes.subarray(start, end))
    // What was to wait for the end of the turn goes along.
    if (this.waitsForTurns) this.#flushes.mark(this)
  }

  /** Has a copy wait for the end of the turn; false when it is too long for that. */
  #keepForTurn(bytes: Buffer, start: number, end: number): boolean {
    const flushes = this.#flushes
    const at = flushes.keep(bytes, start, end)
    if (at < 0) return false
    const keptEnd = at + end - start
    if (this.#first === null) {
      this.#hold(flushes.kept, at, keptEnd, false)
      flushes.markForTurn(this)
    } else this.#rest.push(flushes.kept.subarray(at, keptEnd))
    return true
  }

  /** Sends a buffer that nobody changes any more. */
  sendOwned(bytes: Buffer): void {
    if (this.#closed || this.#isEnding) return
    if (this.#first !== null) {
      this.#rest.push(bytes)
      return
    }
    this.#hold(bytes, 0, bytes.length, true)
    if (this.waitsForTurns) this.#flushes.markForTurn(this)
    else this.#flushes.mark(this)
  }

  #hold(bytes: Buffer, start: number, end: number, isOwned: boolean): void {
    this.#first = bytes
    this.#firstStart = start
    this.#firstEnd = end
    this.#isFirstOwned = isOwned
  }

  flush(): void {
    const first = this.#first
    if (first === null) return
    this.#first = null
    const raw = this.#raw
    if (this.#closed || this.#cannotWrite || this.socket.destroyed) {
      this.#rest.length = 0
      return
    }
    if (raw === null) this.#writeToStream(first)
    else if (this.#inFlightBytes > 0) this.#keep(this.#joined(first))
    else if (this.#rest.length === 0 && this.#isFirstOwned) this.#write(raw, first)
    else this.#writeScratch(raw, first)
    if (this.#endAfterFlush) this.#endNow()
    else if (!this.#isCongested && this.unwrittenBytes > congestedBytes) {
      this.#isCongested = true
      this.handler.onCongested()
    }
  }

  /** What was sent and the kernel has not taken yet. */
  get unwrittenBytes(): number {
    return this.#raw === null
      ? this.#stream.writableLength
      : this.#inFlightBytes + this.#backlogBytes
  }

  /** Puts the parts together where they need not be allocated, unless they are many. */
  #writeScratch(raw: RawHandle, first: Buffer): void {
    let total = this.#firstEnd - this.#firstStart
    for (const part of this.#rest) total += part.length
    if (total > scratchBytes) {
      this.#write(raw, this.#joined(first))
      return
    }
    let at = this.#firstEnd - this.#firstStart
    copyBytes(first, this.#firstStart, this.#firstEnd, scratch, 0)
    if (this.#rest.length > 0) {
      for (const part of this.#rest) {
        copyBytes(part, 0, part.length, scratch, at)
        at += part.length
      }
      this.#rest = []
    }
    this.#write(raw, scratchView(at))
    if (this.#inFlightBytes > 0) replaceScratch()
  }

  #write(raw: RawHandle, bytes: Buffer): void {
    const result = raw.write(bytes, this.#onWritten)
    if (result === null) return
    if (result === 'later') this.#inFlightBytes = bytes.length
    else this.#writeFailed(result)
  }

  /** A peer that has closed may have said why before: that is read first, while it comes. */
  #writeFailed(error: Error): void {
    this.#lastError ??= error
    this.#cannotWrite = true
    if (!this.#isReading || this.#isEnding) this.socket.destroy()
    else this.#lingerTimer ??= setTimeout(() => this.socket.destroy(), lastWordsMs)
  }

  /** A copy of all parts, for whoever keeps it. */
  #joined(first: Buffer): Buffer {
    const parts = [first.subarray(this.#firstStart, this.#firstEnd), ...this.#rest]
    this.#rest = []
    return Buffer.concat(parts)
  }

  #keep(bytes: Buffer): void {
    this.#backlog.push(bytes)
    this.#backlogBytes += bytes.length
  }

  #written(error: Error | null): void {
    this.#inFlightBytes = 0
    const raw = this.#raw
    if (raw === null || this.#closed || this.socket.destroyed) return
    if (error !== null) {
      this.#writeFailed(error)
      return
    }
    if (this.#backlogBytes > 0) {
      const bytes = Buffer.concat(this.#backlog, this.#backlogBytes)
      this.#backlog = []
      this.#backlogBytes = 0
      this.#write(raw, bytes)
    }
    if (this.#inFlightBytes > 0) return
    if (this.#endAfterFlush) this.#endNow()
    else this.#drained()
  }

  #drained(): void {
    if (!this.#isCongested) return
    this.#isCongested = false
    this.#handle(() => this.handler.onDrained())
  }

  #handle(action: () => void): void {
    this.#flushes.enter()
    try {
      action()
    } finally {
      this.#flushes.leave()
    }
  }

  #writeToStream(first: Buffer): void {
    const parts = [
      this.#isFirstOwned ? first : bytesOf(first, this.#firstStart, this.#firstEnd),
      ...this.#rest,
    ]
    let total = 0
    for (const part of parts) total += part.length
    this.#rest = []
    this.#stream.write(parts.length === 1 ? (parts[0] ?? '') : Buffer.concat(parts, total))
  }

  pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    if (this.#raw === null || !this.#isReading) this.#stream.pause()
    else if (!this.#closed && !this.socket.destroyed) this.#raw.stopReading()
  }

  resumeReading(): void {
    if (!this.#isPaused || this.#closed) return
    this.#isPaused = false
    if (this.#raw === null || !this.#isReading) this.#stream.resume()
    else if (!this.socket.destroyed) this.#raw.startReading()
  }

  /**
   * Sends what is queued, then closes in order. What still comes is read and dropped: unread bytes
   * would make the close a reset, which can overtake our last words. A peer that never closes its
   * half must not hold the socket for ever, whatever it sends: it has `patienceMs`, and again for
   * each time in which it has read on.
   */
  end(patienceMs = lingerMs): void {
    if (this.#closed || this.#isEnding) return
    this.#isEnding = true
    if (this.#cannotWrite) {
      this.socket.destroy()
      return
    }
    if (this.#first === null) this.#endNow()
    else this.#endAfterFlush = true
    this.resumeReading()
    this.#linger(patienceMs, lingersMax)
  }

  #linger(patienceMs: number, timesLeft: number): void {
    clearTimeout(this.#lingerTimer)
    const handle = rawOf(this.socket)
    const takenBytes = handle?.takenBytes
    this.#lingerTimer = setTimeout(() => {
      // What the kernel has taken it delivers by itself.
      const isReading = handle?.takenBytes !== takenBytes && timesLeft > 0
      if (isReading) this.#linger(patienceMs, timesLeft - 1)
      else this.socket.destroy()
    }, patienceMs)
  }

  /** Sends what is queued and closes our half. What the peer has still to say is taken as before. */
  endHalf(): void {
    if (!this.isOpen) return
    this.flush()
    this.#endNow()
    this.#cannotWrite = true
  }

  /** Closes our half once nothing is left to write. */
  #endNow(): void {
    this.#endAfterFlush = this.#inFlightBytes > 0
    if (!this.#endAfterFlush) this.socket.end()
  }

  /** Closes at once; queued bytes are lost. The handler is told as always. */
  destroy(error?: Error): void {
    if (error !== undefined) this.#lastError ??= error
    this.socket.destroy()
  }
}

function rawOf(socket: Carrier): RawHandle | null {
  if (socket instanceof BareSocket) return socket.raw
  return socket instanceof Socket ? RawHandle.of(socket) : null
}
