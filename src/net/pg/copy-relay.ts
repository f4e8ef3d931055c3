/**
 * COPY from one server into another: the source's CopyData goes to the target as it came, in
 * pieces joined to `pieceBytes`, with back-pressure both ways. Both connections are ready for the
 * next statement when it is done, and closed when it failed.
 */
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { backend, headerBytes } from '../../wire/pg/protocol.ts'
import { cstringEnd, readError } from '../../wire/pg/read.ts'
import type { ServerError } from '../../wire/pg/read.ts'
import { copyDoneMessage, queryMessage } from '../../wire/pg/write.ts'
import { CopyOutReader } from './copy-out.ts'
import type { SqlClient } from './sql-client.ts'
import { SqlError } from './sql-error.ts'

export interface CopyRelayOptions {
  readonly from: SqlClient
  readonly to: SqlClient
  /** `COPY … TO STDOUT`. */
  readonly copyOut: string
  /** `COPY … FROM STDIN`, of the same format and columns. */
  readonly copyIn: string
  /** Told of what has come: bytes and messages since it was last told. */
  readonly onProgress: (bytes: number, messages: number) => void
  /** Asked before more is read; a promise holds the source until it resolves. */
  readonly pace: (bytes: number) => Promise<void> | null
  readonly signal: AbortSignal
  /** Nothing moved for this long although it was not held: given up with SQL_TIMEOUT. */
  readonly stallMs: number
}

export interface CopyCount {
  /** As the target counted them. */
  readonly rows: number
  readonly bytes: number
}

const pieceBytes = 128 * 1024
/** Pieces on their way to the target; beyond it the source is not read. */
const piecesMax = 3

/** Rejects with SqlError of either side, SERVER_LOST, SQL_TIMEOUT, or the reason of the signal. */
export async function relayCopy(options: CopyRelayOptions): Promise<CopyCount> {
  options.signal.throwIfAborted()
  const relay = new CopyRelay(options)
  try {
    return await relay.run()
  } catch (thrown) {
    // Either may be amid a COPY, which only its end or a closed connection ends.
    void options.from.cancel()
    options.from.destroy()
    options.to.destroy()
    throw thrown
  }
}

class CopyRelay {
  readonly #options: CopyRelayOptions
  readonly #reader: CopyOutReader
  readonly #free: Buffer[] = []
  #piece: Buffer = Buffer.allocUnsafeSlow(pieceBytes)
  #pieceUsed = 0
  #underWay = 0
  #bytes = 0
  /** As either has counted them at its end. */
  #sentRows = 0
  #rows = 0
  #isHeld = false
  #isReading = true
  #sourceIsDone = false
  #targetIsDone = false
  #targetFailure: ServerError | null = null
  #lastMovedMs = performance.now()
  #release: (() => void)[] = []
  #resolve: (count: CopyCount) => void = () => undefined
  #reject: (error: Error) => void = () => undefined

  constructor(options: CopyRelayOptions) {
    this.#options = options
    this.#reader = new CopyOutReader({
      data: (bytes, start, end) => this.#take(bytes, start, end),
      control: (type, body) => this.#sourceSays(type, body),
    })
  }

  async run(): Promise<CopyCount> {
    const { signal, stallMs, from, to, copyIn } = this.#options
    const onAbort = (): void => this.#reject(toPontoonError(signal.reason, 'ABORTED'))
    const watch = setInterval(() => {
      if (this.#isHeld) this.#moved()
      if (performance.now() - this.#lastMovedMs < stallMs) return
      const ends = `${from.where} and ${to.where}`
      this.#reject(new PontoonError('SQL_TIMEOUT', `COPY between ${ends} stood still`))
    }, 1_000)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await new Promise<CopyCount>((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
        const sink = {
          message: (type: number, bytes: Buffer, start: number, end: number) =>
            this.#targetSays(type, bytes, start + headerBytes, end),
          // What the server said last (FATAL) tells more than that it is gone.
          closed: (error: PontoonError) =>
            reject(
              this.#targetFailure === null ? error : new SqlError(to.where, this.#targetFailure),
            ),
        }
        this.#release.push(to.takeOver(queryMessage(copyIn), sink))
      })
    } finally {
      clearInterval(watch)
      signal.removeEventListener('abort', onAbort)
      for (const release of this.#release) release()
    }
  }

  /** Begun only when the target takes data, so that nothing waits in between. */
  #startSource(): void {
    const { from, copyOut, onProgress } = this.#options
    const sink = {
      receive: (bytes: Buffer, start: number, end: number) => {
        const before = this.#reader.messages
        this.#reader.receive(bytes, start, end)
        this.#moved()
        this.#bytes += end - start
        onProgress(end - start, this.#reader.messages - before)
        this.#keepPace(end - start)
      },
      closed: this.#reject,
    }
    this.#release.push(from.takeOverRaw(queryMessage(copyOut), sink))
  }

  #sourceSays(type: number, body: Buffer): void {
    switch (type) {
      case backend.errorResponse:
        this.#reject(new SqlError(this.#options.from.where, readError(body, 0, body.length)))
        return
      case backend.copyDone:
        this.#send()
        this.#options.to.write(copyDoneMessage)
        return
      case backend.commandComplete:
        this.#sentRows = rowsOf(body, 0, body.length)
        return
      case backend.readyForQuery:
        this.#sourceIsDone = true
        this.#settle()
        return
      default:
    }
  }

  #targetSays(type: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case backend.copyInResponse:
        this.#startSource()
        return
      case backend.errorResponse:
        this.#targetFailure ??= readError(bytes, start, end)
        this.#reject(new SqlError(this.#options.to.where, this.#targetFailure))
        return
      case backend.commandComplete:
        this.#rows = rowsOf(bytes, start, end)
        return
      case backend.readyForQuery:
        this.#targetIsDone = true
        this.#settle()
        return
      default:
    }
  }

  #settle(): void {
    if (!this.#sourceIsDone || !this.#targetIsDone) return
    if (this.#rows === this.#sentRows) this.#resolve({ rows: this.#rows, bytes: this.#bytes })
    else this.#reject(this.#rowsAreMissing())
  }

  /** A trigger that is enabled ALWAYS or REPLICA can drop rows in silence. */
  #rowsAreMissing(): PontoonError {
    const { from, to } = this.#options
    return new PontoonError(
      'SQL_FAILED',
      `${from.where} sent ${this.#sentRows} rows, ${to.where} has taken ${this.#rows}: ` +
        'a trigger of the target leaves some out',
    )
  }

  #take(bytes: Buffer, from: number, end: number): void {
    let start = from
    while (start < end) {
      const copied = bytes.copy(this.#piece, this.#pieceUsed, start, end)
      start += copied
      this.#pieceUsed += copied
      if (this.#pieceUsed === pieceBytes) this.#send()
    }
  }

  /** The piece is used again once the kernel has it. */
  #send(): void {
    if (this.#pieceUsed === 0) return
    const piece = this.#piece
    const filled = piece.subarray(0, this.#pieceUsed)
    this.#pieceUsed = 0
    this.#underWay += 1
    this.#options.to.write(filled, () => {
      this.#underWay -= 1
      this.#free.push(piece)
      this.#moved()
      this.#readOrNot()
    })
    this.#piece = this.#free.pop() ?? Buffer.allocUnsafeSlow(pieceBytes)
  }

  #keepPace(bytes: number): void {
    const hold = this.#options.pace(bytes)
    if (hold !== null && !this.#isHeld) {
      this.#isHeld = true
      void hold.finally(() => {
        this.#isHeld = false
        this.#readOrNot()
      })
    }
    this.#readOrNot()
  }

  #readOrNot(): void {
    const shall = !this.#isHeld && this.#underWay < piecesMax
    if (shall === this.#isReading) return
    this.#isReading = shall
    if (shall) this.#options.from.resumeReading()
    else this.#options.from.pauseReading()
  }

  #moved(): void {
    this.#lastMovedMs = performance.now()
  }
}

/** Of a tag like `COPY 12`. */
function rowsOf(bytes: Buffer, start: number, end: number): number {
  const tag = bytes.toString('latin1', start, cstringEnd(bytes, start, end, 'SERVER_PROTOCOL'))
  return Number(tag.split(' ').at(-1))
}
