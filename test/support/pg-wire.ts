/**
 * A raw PostgreSQL client for byte-exact tests: it sends what it is told and shows what comes
 * back, message by message, each within a deadline. Messages to send: pg-frontend.ts; logging in:
 * pg-login.ts.
 */
import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'

/** A message from the server: its type letter and what follows the length. */
export interface BackendMessage {
  readonly type: string
  readonly body: Buffer
}

export interface WireOptions {
  /** How long any single read may take. Default 30 s. */
  readonly deadlineMs?: number
}

const deadlineDefaultMs = 30_000

/** `host` that starts with a slash is the path of a Unix socket (and `port` does not matter). */
export function connect(host: string, port = 0, options: WireOptions = {}): Promise<PgWire> {
  const target = host.startsWith('/') ? { path: host } : { host, port }
  return new Promise((resolve, reject) => {
    const socket = connectTcp(target)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.setNoDelay(true)
      resolve(new PgWire(socket, options.deadlineMs ?? deadlineDefaultMs))
    })
  })
}

export class PgWire {
  /** Every byte received so far, for comparing whole sessions. */
  readonly received: Buffer[] = []
  #socket: Socket
  readonly #deadlineMs: number
  /** Joined only when a whole message is there, so that long ones cost no copy per chunk. */
  #chunks: Buffer[] = []
  #size = 0
  #ended: string | undefined
  #wake: () => void = () => undefined

  constructor(socket: Socket, deadlineMs: number) {
    this.#socket = socket
    this.#deadlineMs = deadlineMs
    this.#listen(socket)
  }

  get socket(): Socket {
    return this.#socket
  }

  /** Resolves when the kernel has taken the bytes. */
  send(...parts: readonly Buffer[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(Buffer.concat(parts), (error) => {
        if (error === undefined || error === null) resolve()
        else reject(error)
      })
    })
  }

  /** The next message; throws when the connection ends or the deadline passes before it. */
  async next(deadlineMs = this.#deadlineMs): Promise<BackendMessage> {
    await this.#untilBuffered(5, deadlineMs)
    const length = this.#joined().readInt32BE(1)
    if (length < 4) throw new Error(`a message with the length ${length}`)
    await this.#untilBuffered(length + 1, deadlineMs)
    const bytes = this.#take(length + 1)
    return { type: bytes.toString('latin1', 0, 1), body: bytes.subarray(5) }
  }

  /** All messages up to and including the next one of this type. */
  async until(type: string, deadlineMs = this.#deadlineMs): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (;;) {
      const message = await this.next(deadlineMs).catch((error: unknown) => {
        throw new Error(`waiting for ${type} after ${summary(messages)}`, { cause: error })
      })
      messages.push(message)
      if (message.type === type) return messages
    }
  }

  /** One byte without a header: the answer to an SSLRequest or GSSENCRequest. */
  async nextByte(deadlineMs = this.#deadlineMs): Promise<string> {
    await this.#untilBuffered(1, deadlineMs)
    return this.#take(1).toString('latin1')
  }

  /** Waits until the other side closes; says how ('end', 'ECONNRESET', …). */
  async closed(deadlineMs = this.#deadlineMs): Promise<string> {
    const deadline = performance.now() + deadlineMs
    while (this.#ended === undefined) await this.#arrival(deadline)
    return this.#ended
  }

  /** Whether something arrived that was not yet read. */
  get pending(): boolean {
    return this.#size > 0
  }

  /** Goes on over TLS; call after the answer 'S'. */
  async startTls(options: ConnectionOptions = {}): Promise<void> {
    this.#socket.removeAllListeners('data')
    const secure = connectTls({ rejectUnauthorized: false, ...options, socket: this.#socket })
    await new Promise<void>((resolve, reject) => {
      secure.once('error', reject)
      secure.once('secureConnect', () => {
        secure.off('error', reject)
        resolve()
      })
    })
    this.#socket = secure
    this.#listen(secure)
  }

  /** Says goodbye with FIN. */
  end(): void {
    this.#socket.end()
  }

  /** Goes away without a word; `reset` with RST instead of FIN. */
  destroy(reset = false): void {
    if (reset) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  #listen(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.received.push(bytes)
      this.#chunks.push(bytes)
      this.#size += bytes.length
      this.#wake()
    })
    const end = (reason: string): void => {
      if (socket !== this.#socket) return
      this.#ended ??= reason
      this.#wake()
    }
    socket.on('end', () => end('end'))
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.on('close', () => end('close'))
  }

  #take(length: number): Buffer {
    const all = this.#joined()
    this.#chunks = [all.subarray(length)]
    this.#size -= length
    return all.subarray(0, length)
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    if (first !== undefined && this.#chunks.length === 1) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  async #untilBuffered(length: number, deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (this.#size < length) {
      if (this.#ended !== undefined) throw new Error(`connection ended: ${this.#ended}`)
      await this.#arrival(deadline)
    }
  }

  async #arrival(deadline: number): Promise<void> {
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) throw new Error('nothing came before the deadline')
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.ceil(leftMs))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** The fields of an ErrorResponse or NoticeResponse by their letters: C is SQLSTATE, M the text. */
export function errorFields(message: BackendMessage): Record<string, string> {
  if (message.type !== 'E' && message.type !== 'N') {
    throw new Error(`${message.type} is neither an error nor a notice`)
  }
  const fields: Record<string, string> = {}
  for (const field of message.body.toString('utf8').split('\0')) {
    if (field !== '') fields[field.charAt(0)] = field.slice(1)
  }
  return fields
}

/** The values of a DataRow as text, null for NULL. */
export function rowValues(message: BackendMessage): (string | null)[] {
  const values: (string | null)[] = []
  let offset = 2
  for (let left = message.body.readInt16BE(0); left > 0; left -= 1) {
    const length = message.body.readInt32BE(offset)
    offset += 4
    if (length < 0) values.push(null)
    else values.push(message.body.toString('utf8', offset, offset + length))
    offset += Math.max(0, length)
  }
  return values
}

/** The types in order, 'TDDCZ': what most tests want to say about an answer. */
export function summary(messages: readonly BackendMessage[]): string {
  return messages.map((message) => message.type).join('')
}
