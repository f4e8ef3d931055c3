/**
 * A connection of Pontoon's own for the work of a migration: statements with values, several
 * statements at once, replication commands. Statements run one after the other in the order they
 * were asked for. Its neighbour query.ts is for the few small questions of the data plane.
 *
 * Results are text and gathered whole, up to `resultBytesMax`; rows of tables go by COPY.
 */
import type { Socket } from 'node:net'
import { serialize } from 'pg-protocol'
import { assert } from '../../shared/assert.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { backend, headerBytes } from '../../wire/pg/protocol.ts'
import { cstringEnd, readColumns, readError, readTextRow } from '../../wire/pg/read.ts'
import type { ServerError } from '../../wire/pg/read.ts'
import { cancelRequest, queryMessage, terminateMessage } from '../../wire/pg/write.ts'
import { endpointName } from '../address.ts'
import { connectSide } from './connect.ts'
import { login } from './login.ts'
import type { LoggedIn, LoginOptions } from './login.ts'
import { SqlError } from './sql-error.ts'

export type SqlRow = readonly (string | null)[]

export interface SqlResult {
  readonly columns: readonly string[]
  readonly rows: readonly SqlRow[]
  /** The command tag, such as `INSERT 0 1`. */
  readonly tag: string
}

export interface SqlOptions {
  /** Default 30,000 ms. The statement is cancelled and the connection closed after it. */
  readonly timeoutMs?: number
  /** Ends the statement the same way. */
  readonly signal?: AbortSignal | undefined
}

/** Takes over what the server says, e.g. while a COPY runs; whole messages, header included. */
export interface MessageSink {
  /** `bytes` is used again after the call: what is to be kept has to be copied. */
  message(type: number, bytes: Buffer, start: number, end: number): void
  closed(error: PontoonError): void
}

/** Takes over the bytes as they come, whatever messages they are part of. */
export interface RawSink {
  /** `bytes` is used again after the call. */
  receive(bytes: Buffer, start: number, end: number): void
  closed(error: PontoonError): void
}

const defaultTimeoutMs = 30_000
const resultBytesMax = 256 * 1024 * 1024
const messageBytesMax = 1024 * 1024 * 1024
const cancelTimeoutMs = 5_000

function ignore(): void {
  return undefined
}

export class SqlClient {
  readonly pid: number
  /** As the server reports it, e.g. `15.18 (Debian 15.18-0+deb12u1)`. */
  readonly serverVersion: string
  /** Host and port, for messages. */
  readonly where: string
  readonly #socket: Socket
  readonly #options: LoginOptions
  readonly #secret: Buffer
  #held: Buffer[] = []
  #heldBytes = 0
  /** How long the message is that `#held` begins. */
  #neededBytes = headerBytes
  #last: Promise<unknown> = Promise.resolve()
  #sink: MessageSink | null = null
  #raw: RawSink | null = null
  #failure: PontoonError | null = null

  private constructor(loggedIn: LoggedIn, options: LoginOptions) {
    const { socket, dialled } = loggedIn
    this.pid = loggedIn.pid
    this.serverVersion = loggedIn.reported.get('server_version') ?? ''
    this.where = endpointName(options.endpoint)
    this.#socket = socket
    this.#options = options
    this.#secret = loggedIn.secret
    if (dialled === null)
      socket.on('data', (bytes: Buffer) => this.#receive(bytes, 0, bytes.length))
    else dialled.deliverTo({ receive: (bytes, end) => this.#receive(bytes, 0, end) })
    socket.on('error', (error) => this.#lost(error.message))
    socket.on('close', () => this.#lost('the server closed the connection'))
  }

  /** Rejects as login() does. */
  static async connect(options: LoginOptions): Promise<SqlClient> {
    return new SqlClient(await login(options), options)
  }

  /** E.g. 15 or 9 (of 9.6). */
  get major(): number {
    return Number.parseInt(this.serverVersion, 10)
  }

  get isOpen(): boolean {
    return this.#failure === null
  }

  /**
   * One statement; with values by the extended protocol, bound to $1, $2, … as text.
   * Rejects with SqlError, SQL_TIMEOUT, SERVER_LOST or the reason of the signal.
   */
  async query(
    sql: string,
    values?: readonly (string | null)[],
    options: SqlOptions = {},
  ): Promise<SqlResult> {
    const message = values === undefined ? queryMessage(sql) : boundQuery(sql, values)
    const results = await this.#inTurn(() => this.#ask(message, options))
    return results.at(-1) ?? { columns: [], rows: [], tag: '' }
  }

  /** Any number of statements, separated by semicolons, as one implicit transaction. */
  run(sql: string, options: SqlOptions = {}): Promise<readonly SqlResult[]> {
    return this.#inTurn(() => this.#ask(queryMessage(sql), options))
  }

  /** The only value of the only row, null when there is no row. */
  async value(
    sql: string,
    values?: readonly (string | null)[],
    options?: SqlOptions,
  ): Promise<string | null> {
    const { rows } = await this.query(sql, values, options)
    return rows[0]?.[0] ?? null
  }

  /**
   * Sends `message` and hands all that comes to `sink` until the returned function is called;
   * for protocols beyond a statement with a result. Nothing else may run meanwhile.
   */
  takeOver(message: Buffer, sink: MessageSink): () => void {
    if (this.#failure !== null) throw this.#failure
    this.#sink = sink
    this.#socket.write(message)
    return () => {
      this.#sink = null
    }
  }

  /** As takeOver, for those who split messages themselves. */
  takeOverRaw(message: Buffer, sink: RawSink): () => void {
    if (this.#failure !== null) throw this.#failure
    assert(this.#heldBytes === 0, 'bytes of the server are left over')
    this.#raw = sink
    this.#socket.write(message)
    return () => {
      this.#raw = null
    }
  }

  /** Whether more may be written at once; else wait for `whenDrained`. `done`: the kernel has it. */
  write(bytes: Buffer, done?: () => void): boolean {
    return this.#socket.write(bytes, done)
  }

  whenDrained(run: () => void): void {
    this.#socket.once('drain', run)
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  /** Asks the server to end what it does for this connection; never rejects. */
  async cancel(): Promise<void> {
    const { endpoint, tls } = this.#options
    try {
      const { socket } = await connectSide(endpoint, tls, cancelTimeoutMs)
      socket.on('error', () => undefined)
      socket.end(cancelRequest(this.pid, this.#secret))
      socket.setTimeout(cancelTimeoutMs, () => socket.destroy())
    } catch {
      // The server is out of reach, and so is what it does.
    }
  }

  /** Says goodbye. What still runs is not waited for. */
  close(): void {
    if (this.#failure !== null) return
    this.#failure = new PontoonError('SERVER_LOST', `${this.where}: the connection is closed`)
    this.#socket.end(terminateMessage)
    this.#socket.setTimeout(cancelTimeoutMs, () => this.#socket.destroy())
  }

  destroy(): void {
    this.#lost('the connection was given up')
    this.#socket.destroy()
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(run, run)
    this.#last = mine.catch(() => undefined)
    return mine
  }

  async #ask(message: Buffer, options: SqlOptions): Promise<readonly SqlResult[]> {
    const { timeoutMs = defaultTimeoutMs, signal } = options
    signal?.throwIfAborted()
    if (this.#failure !== null) throw this.#failure
    let stop = ignore
    const gathered = new Promise<readonly SqlResult[]>((resolve, reject) => {
      const giveUp = (error: Error): void => {
        reject(error)
        void this.#giveUp()
      }
      const late = `${this.where}: a statement took longer than ${timeoutMs} ms`
      const timer = setTimeout(() => giveUp(new PontoonError('SQL_TIMEOUT', late)), timeoutMs)
      const onAbort = (): void => giveUp(toPontoonError(signal?.reason, 'ABORTED'))
      signal?.addEventListener('abort', onAbort, { once: true })
      const release = this.takeOver(message, new Gathering(this.where, resolve, reject))
      stop = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        release()
      }
    })
    try {
      return await gathered
    } finally {
      stop()
    }
  }

  async #giveUp(): Promise<void> {
    await this.cancel()
    this.destroy()
  }

  #receive(bytes: Buffer, from: number, end: number): void {
    try {
      if (this.#raw === null) this.#split(bytes, from, end)
      else this.#raw.receive(bytes, from, end)
    } catch (error) {
      this.#lost(toPontoonError(error).message)
      this.#socket.destroy()
    }
  }

  /** Whole messages of what has come; the rest is kept, in pieces until it is long enough. */
  #split(fresh: Buffer, from: number, freshEnd: number): void {
    let bytes = fresh
    let at = from
    let end = freshEnd
    if (this.#heldBytes > 0) {
      this.#held.push(Buffer.from(fresh.subarray(from, freshEnd)))
      this.#heldBytes += freshEnd - from
      if (this.#heldBytes < this.#neededBytes) return
      bytes = Buffer.concat(this.#held)
      at = 0
      end = bytes.length
    }
    this.#held = []
    this.#neededBytes = headerBytes
    while (end - at >= headerBytes) {
      const length = bytes.readInt32BE(at + 1) + 1
      if (length < headerBytes || length > messageBytesMax)
        throw new PontoonError('SERVER_PROTOCOL', `${this.where}: a message has a wrong length`)
      if (length > end - at) {
        this.#neededBytes = length
        break
      }
      this.#sink?.message(bytes[at] ?? 0, bytes, at, at + length)
      at += length
    }
    this.#heldBytes = end - at
    if (this.#heldBytes > 0) this.#held.push(Buffer.from(bytes.subarray(at, end)))
  }

  #lost(reason: string): void {
    this.#failure ??= new PontoonError('SERVER_LOST', `${this.where}: ${reason}`)
    const sinks = [this.#sink, this.#raw]
    this.#sink = null
    this.#raw = null
    for (const sink of sinks) sink?.closed(this.#failure)
  }
}

/** Gathers the results of one request up to ReadyForQuery. */
class Gathering implements MessageSink {
  readonly #where: string
  readonly #resolve: (results: readonly SqlResult[]) => void
  readonly #reject: (error: PontoonError) => void
  readonly #results: SqlResult[] = []
  #columns: readonly string[] = []
  #rows: SqlRow[] = []
  #bytes = 0
  #failure: ServerError | null = null

  constructor(
    where: string,
    resolve: (results: readonly SqlResult[]) => void,
    reject: (error: PontoonError) => void,
  ) {
    this.#where = where
    this.#resolve = resolve
    this.#reject = reject
  }

  message(type: number, bytes: Buffer, start: number, end: number): void {
    const body = start + headerBytes
    switch (type) {
      case backend.rowDescription:
        this.#columns = readColumns(bytes, body, end).map(({ name }) => name)
        return
      case backend.dataRow:
        this.#bytes += end - start
        if (this.#bytes > resultBytesMax)
          throw new PontoonError(
            'SERVER_PROTOCOL',
            `a result is longer than ${resultBytesMax} bytes`,
          )
        this.#rows.push(readTextRow(bytes, body, end))
        return
      case backend.commandComplete: {
        const tag = bytes.toString('utf8', body, cstringEnd(bytes, body, end, 'SERVER_PROTOCOL'))
        this.#results.push({ columns: this.#columns, rows: this.#rows, tag })
        this.#columns = []
        this.#rows = []
        return
      }
      case backend.errorResponse:
        this.#failure ??= readError(bytes, body, end)
        return
      case backend.readyForQuery:
        if (this.#failure === null) this.#resolve(this.#results)
        else this.#reject(new SqlError(this.#where, this.#failure))
        return
      default:
    }
  }

  closed(error: PontoonError): void {
    // What the server said last (FATAL) tells more than that it is gone.
    this.#reject(this.#failure === null ? error : new SqlError(this.#where, this.#failure))
  }
}

function boundQuery(sql: string, values: readonly (string | null)[]): Buffer {
  return Buffer.concat([
    serialize.parse({ text: sql }),
    serialize.bind({ values: [...values] }),
    serialize.describe({ type: 'P' }),
    serialize.execute(),
    serialize.sync(),
  ])
}
