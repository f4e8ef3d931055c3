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
import type { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'

/** What a write that did not finish at once reports to. */
interface WriteRequest {
  oncomplete: ((status: number) => void) | undefined
  /** Keeps the bytes alive until they are written. */
  buffer: Buffer | undefined
}

interface StreamHandle {
  reading: boolean
  onread: (this: StreamHandle, chunk: unknown) => unknown
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  writeBuffer(request: WriteRequest, bytes: Buffer): number
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest
  /** Results of the last call, at the indexes below. */
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteWasAsync: number
}

export interface RawReader {
  /** `[0, end)` of the buffer holds what was read. */
  onRead(end: number): void
}

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

  /** Reads go into `buffer` from now on; the end and errors stay the socket's business. */
  readInto(buffer: Buffer, reader: RawReader): void {
    const handle = this.#handle
    const { streamBaseState, kReadBytesOrError } = this.#binding
    const ofSocket = handle.onread
    handle.useUserBuffer(buffer)
    handle.onread = (chunk): unknown => {
      const count = streamBaseState[kReadBytesOrError] ?? 0
      if (count > 0) reader.onRead(count)
      else if (count < 0) return ofSocket.call(handle, chunk)
      return undefined
    }
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
  const code = getSystemErrorName(status)
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: 'write' })
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
    has('kReadBytesOrError', 'number') &&
    has('kLastWriteWasAsync', 'number') &&
    Reflect.get(found, 'streamBaseState') instanceof Int32Array
  )
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  if (typeof handle !== 'object' || handle === null) return false
  return ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'onread'].every(
    (name) => typeof Reflect.get(handle, name) === 'function',
  )
}
