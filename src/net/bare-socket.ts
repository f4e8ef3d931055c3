/**
 * An accepted connection without Node's socket around it. A socket with its two streams costs more
 * to make and to end than everything else Pontoon does for a short connection, and several
 * kilobytes while it is idle. It becomes one of Node's when its client asks for TLS.
 *
 * A carrier of its own (carrier.ts) on a raw handle; made by listener.ts, read by transport.ts.
 */
import { Socket } from 'node:net'
import type { Carrier } from './carrier.ts'
import type { HandleAddress, RawHandle, RawReader } from './raw-handle.ts'
import { sharedReadBuffer } from './read-buffer.ts'

/** What the listeners of the other events are handed and do not take. */
const noError = new Error('no error')

const dropping: RawReader = { onRead: () => undefined }

type Event = 'error' | 'close' | 'end'

export class BareSocket implements Carrier {
  readonly raw: RawHandle
  destroyed = false
  #isReading = false
  /** Our half, and the peer's. */
  #isEnding = false
  #hasEnded = false
  #peerHasEnded = false
  #peer: HandleAddress | null = null
  #own: HandleAddress | null = null

  /** Each event comes once, so that on and once are the same. */
  readonly #listeners: Record<Event, ((error: Error) => void)[]> = { error: [], close: [], end: [] }

  constructor(raw: RawHandle) {
    this.raw = raw
  }

  on(event: Event, listener: (error: Error) => void): void {
    this.#listeners[event].push(listener)
  }

  once(event: Event, listener: (error: Error) => void): void {
    this.on(event, listener)
  }

  #emit(event: Event, error: Error = noError): void {
    for (const listener of this.#listeners[event]) listener(error)
  }

  get bytesRead(): number {
    return this.raw.bytesRead
  }

  get isUnix(): boolean {
    return !this.raw.hasAddress
  }

  get remoteAddress(): string | undefined {
    return this.#peerAddress.address
  }

  get remotePort(): number | undefined {
    return this.#peerAddress.port
  }

  get localAddress(): string | undefined {
    return this.#ownAddress.address
  }

  get localPort(): number | undefined {
    return this.#ownAddress.port
  }

  get #peerAddress(): HandleAddress {
    if (this.destroyed) return {}
    return (this.#peer ??= this.raw.peerAddress())
  }

  get #ownAddress(): HandleAddress {
    if (this.destroyed) return {}
    return (this.#own ??= this.raw.ownAddress())
  }

  /** Reads come to `reader`, in the shared buffer. */
  read(reader: RawReader): void {
    this.#isReading = true
    this.raw.readInto(sharedReadBuffer, reader, (error) => this.#readEnded(error))
    this.raw.startReading()
  }

  setKeepAlive(on: boolean, afterMs: number): void {
    if (!this.destroyed) this.raw.setKeepAlive(on, Math.ceil(afterMs / 1_000))
  }

  resume(): void {
    if (!this.#isReading && !this.destroyed) this.read(dropping)
  }

  end(bytes?: Buffer): void {
    if (this.#isEnding || this.destroyed) return
    this.#isEnding = true
    if (bytes === undefined) {
      this.#shutDown()
      return
    }
    const done = (error: Error | null): void => {
      if (error === null) this.#shutDown()
      else this.destroy(error)
    }
    const result = this.raw.write(bytes, done)
    if (result !== 'later') done(result)
  }

  destroy(error?: Error): void {
    if (this.destroyed) return
    this.destroyed = true
    this.raw.close(() => {
      if (error !== undefined) this.#emit('error', error)
      this.#emit('close')
    })
  }

  /** The same connection as a socket of Node, for TLS; this one is of no use any more. */
  toNodeSocket(): Socket {
    this.destroyed = true
    return new Socket(this.raw.socketOptions())
  }

  #shutDown(): void {
    if (this.destroyed) return
    const isUnderWay = this.raw.shutDown(() => this.#ended())
    // The peer has gone already.
    if (!isUnderWay) this.#ended()
  }

  #ended(): void {
    this.#hasEnded = true
    if (this.#peerHasEnded) this.destroy()
  }

  /** The peer has closed its half (null), or the connection is broken. */
  #readEnded(error: Error | null): void {
    if (this.destroyed) return
    if (error !== null) {
      this.destroy(error)
      return
    }
    this.#peerHasEnded = true
    this.#emit('end')
    if (this.#hasEnded) this.destroy()
  }
}

/** A socket of Node for whatever carries the connection. */
export function nodeSocketOf(carrier: Carrier): Socket {
  if (carrier instanceof BareSocket) return carrier.toNodeSocket()
  if (carrier instanceof Socket) return carrier
  throw new TypeError('a carrier that is no socket')
}
