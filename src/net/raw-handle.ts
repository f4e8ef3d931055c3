/**
 * The libuv stream under a Node socket, without Node's streams. A relay reads and writes a few
 * hundred bytes at a time; a pass through the stream machinery, a request object and a tick per
 * write cost more than the system call (decision 0004). The socket stays the owner: it connects,
 * shakes hands, ends, closes and reports errors; only bytes take this way.
 *
 * Node documents none of this, so everything that depends on it is in this file, what is used is
 * looked at before it is used, and without it reads are 'data' events and writes are
 * socket.write.
 */
import type { Server, Socket, SocketConstructorOpts } from 'node:net'
import { getSystemErrorName } from 'node:util'

/** What a write that did not finish at once reports to. */
interface WriteRequest {
  oncomplete: ((status: number) => void) | undefined
  /** Keeps the bytes alive until they are written. */
  buffer: Buffer | undefined
}

interface ShutdownRequest {
  oncomplete: (() => void) | undefined
}

/** Empty for a Unix socket. */
export interface HandleAddress {
  address?: string
  port?: number
}

interface StreamHandle {
  reading: boolean
  readonly bytesRead: number
  readonly bytesWritten?: number
  readonly writeQueueSize?: number
  /** Only TCP handles have addresses. */
  getpeername?: (into: HandleAddress) => number
  getsockname?: (into: HandleAddress) => number
  setKeepAlive?: (on: boolean, afterSeconds: number) => number
  shutdown(request: ShutdownRequest): number
  close(done: () => void): void
  onread: (this: StreamHandle, chunk: unknown) => unknown
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  writeBuffer(request: WriteRequest, bytes: Buffer): number
}

interface ListeningHandle {
  onconnection: (status: number, accepted: unknown) => void
  setNoDelay?: (on: boolean) => number
  setKeepAlive?: (on: boolean, afterSeconds: number) => number
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest
  readonly ShutdownWrap: new () => ShutdownRequest
  /** Results of the last call, at the indexes below. */
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteWasAsync: number
}

export interface RawReader {
  /** `[0, end)` of the buffer holds what was read. */
  onRead(end: number): void
}

/** A silent client is looked after like this. */
export const keepAliveSeconds = 60

/** Where Node keeps the handle of a socket. */
const handleField = '_handle'

const binding = streamBinding()

/** Written to libuv with every write; used up only by one that does not finish at once. */
let spareRequest: WriteRequest | null = null

export class RawHandle {
  readonly #handle: StreamHandle
  readonly #binding: StreamBinding

  private constructor(handle: StreamHandle, usable: StreamBinding) {
    this.#handle = handle
    this.#binding = usable
  }

  /** Null when this Node or this socket has no such handle. */
  static of(socket: Socket): RawHandle | null {
    if (binding === null) return null
    const handle: unknown = Reflect.get(socket, handleField)
    return isStreamHandle(handle) ? new RawHandle(handle, binding) : null
  }

  /**
   * Makes a listening server of Node hand over bare handles instead of sockets. Returns false when
   * it cannot. Options of the sockets must be set on the listening one: they are inherited.
   */
  static acceptFrom(server: Server, onHandle: (raw: RawHandle) => void): boolean {
    const listening: unknown = Reflect.get(server, handleField)
    if (binding === null || !isListeningHandle(listening)) return false
    const usable = binding
    listening.setNoDelay?.(true)
    listening.setKeepAlive?.(true, keepAliveSeconds)
    listening.onconnection = (status, accepted) => {
      // Out of descriptors, say: the client sees it in its own connection.
      if (status === 0 && isStreamHandle(accepted)) onHandle(new RawHandle(accepted, usable))
    }
    return true
  }

  /**
   * Reads go into `buffer` from now on. The end (null) and errors are told to `onEnd`, or else
   * stay the socket's business.
   */
  readInto(buffer: Buffer, reader: RawReader, onEnd?: (error: Error | null) => void): void {
    const handle = this.#handle
    const { streamBaseState, kReadBytesOrError } = this.#binding
    const ofSocket = handle.onread
    handle.useUserBuffer(buffer)
    handle.onread = (chunk): unknown => {
      const count = streamBaseState[kReadBytesOrError] ?? 0
      if (count > 0) reader.onRead(count)
      else if (count < 0 && onEnd === undefined) return ofSocket.call(handle, chunk)
      else if (count < 0) onEnd?.(endOrError(count))
      return undefined
    }
  }

  get bytesRead(): number {
    return this.#handle.bytesRead
  }

  /** So much of what was written the kernel has taken. */
  get takenBytes(): number {
    return (this.#handle.bytesWritten ?? 0) - (this.#handle.writeQueueSize ?? 0)
  }

  get hasAddress(): boolean {
    return this.#handle.getpeername !== undefined
  }

  peerAddress(): HandleAddress {
    const address: HandleAddress = {}
    this.#handle.getpeername?.(address)
    return address
  }

  ownAddress(): HandleAddress {
    const address: HandleAddress = {}
    this.#handle.getsockname?.(address)
    return address
  }

  /** Closes our half behind what is written. Returns false when there is nothing left to close. */
  shutDown(done: () => void): boolean {
    const request = new this.#binding.ShutdownWrap()
    request.oncomplete = done
    return this.#handle.shutdown(request) === 0
  }

  close(done: () => void): void {
    this.#handle.close(done)
  }

  /** What makes a socket of Node out of a bare handle. */
  socketOptions(): SocketConstructorOpts {
    const options: SocketConstructorOpts & { readonly handle: unknown } = {
      handle: this.#handle,
      readable: true,
      writable: true,
    }
    return options
  }

  setKeepAlive(on: boolean, afterSeconds: number): void {
    this.#handle.setKeepAlive?.(on, afterSeconds)
  }

  stopReading(): void {
    this.#handle.reading = false
    this.#handle.readStop()
  }

  startReading(): void {
    this.#handle.reading = true
    this.#handle.readStart()
  }

  /**
   * Writes `bytes`. Returns null when all of them were taken at once, or an error. Otherwise
   * `onWritten` is called later, and until then `bytes` may not change and nothing else may be
   * written: a TLS handle holds one write at a time.
   */
  write(bytes: Buffer, onWritten: (error: Error | null) => void): Error | null | 'later' {
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = this.#binding
    const request = spareRequest ?? new WriteWrap()
    spareRequest = request
    const status = this.#handle.writeBuffer(request, bytes)
    if (status !== 0) return writeError(status)
    if (streamBaseState[kLastWriteWasAsync] === 0) return null
    spareRequest = null
    request.buffer = bytes
    request.oncomplete = (result) => {
      request.buffer = undefined
      onWritten(result < 0 ? writeError(result) : null)
    }
    return 'later'
  }
}

function writeError(status: number): Error {
  return systemError('write', status)
}

/** Null for the end of the stream. */
function endOrError(status: number): Error | null {
  return getSystemErrorName(status) === 'EOF' ? null : systemError('read', status)
}

function systemError(syscall: string, errno: number): Error {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno, syscall })
}

function streamBinding(): StreamBinding | null {
  const load: unknown = Reflect.get(process, 'binding')
  if (typeof load !== 'function') return null
  try {
    const found: unknown = Reflect.apply(load, process, ['stream_wrap'])
    return isStreamBinding(found) ? found : null
  } catch {
    return null
  }
}

function isStreamBinding(found: unknown): found is StreamBinding {
  if (typeof found !== 'object' || found === null) return false
  const has = (name: string, type: string): boolean => typeof Reflect.get(found, name) === type
  return (
    has('WriteWrap', 'function') &&
    has('ShutdownWrap', 'function') &&
    has('kReadBytesOrError', 'number') &&
    has('kLastWriteWasAsync', 'number') &&
    Reflect.get(found, 'streamBaseState') instanceof Int32Array
  )
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  if (typeof handle !== 'object' || handle === null) return false
  return streamMembers.every((name) => typeof Reflect.get(handle, name) === 'function')
}

const streamMembers = ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'shutdown', 'close']

function isListeningHandle(handle: unknown): handle is ListeningHandle {
  if (typeof handle !== 'object' || handle === null) return false
  return typeof Reflect.get(handle, 'onconnection') === 'function'
}
