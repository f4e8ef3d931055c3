/**
 * A question of Pontoon's own to a server that no client has: one simple Query, its rows read
 * whole. The sign of life of an idle server, and what a new one has to be asked before it serves.
 */
import { PontoonError } from '../../shared/errors.ts'
import { backend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { readError, readParameterStatus, readTextRow } from '../../wire/pg/read.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { TransportHandler } from '../transport.ts'
import type { PgServer } from './server.ts'

/** Longer answers are not asked for. */
const answerBytesMax = 1024 * 1024

type Row = readonly (string | null)[]

/**
 * Rejects with SERVER_LOST when the server goes, says what it should not, or is silent for
 * `timeoutMs`; after that it serves nobody. Rejects with SERVER_REJECTED when it refuses the query.
 */
export async function askServer(
  server: PgServer,
  sql: string,
  timeoutMs: number,
): Promise<readonly Row[]> {
  const rows = await new Promise<readonly Row[]>((resolve, reject) => {
    const timer = setTimeout(
      () => handler.fail(`the server was silent for ${timeoutMs} ms`),
      timeoutMs,
    )
    const handler = new AnswerHandler(
      server,
      (answer) => {
        clearTimeout(timer)
        resolve(answer)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
    server.transport.handler = handler
    // A simple Query drops the unnamed statement.
    server.unnamedOwner = null
    server.replies.push(owed.query | owed.injected)
    server.transport.sendOwned(queryMessage(sql))
  })
  server.rest()
  return rows
}

class AnswerHandler implements TransportHandler {
  readonly #server: PgServer
  readonly #done: (rows: readonly Row[]) => void
  readonly #failed: (error: PontoonError) => void
  readonly #rows: Row[] = []
  #buffer: Buffer = Buffer.alloc(0)
  #refusal: PontoonError | null = null

  constructor(
    server: PgServer,
    done: (rows: readonly Row[]) => void,
    failed: (error: PontoonError) => void,
  ) {
    this.#server = server
    this.#done = done
    this.#failed = failed
  }

  onBytes(bytes: Buffer, end: number): void {
    this.#buffer = Buffer.concat([this.#buffer, bytes.subarray(0, end)])
    try {
      this.#read()
    } catch {
      this.fail('the server broke the protocol')
    }
  }

  #read(): void {
    while (this.#buffer.length >= headerBytes) {
      const total = this.#buffer.readInt32BE(1) + 1
      if (total < headerBytes || total > answerBytesMax) throw new Error('bad length')
      if (this.#buffer.length < total) return
      const message = this.#buffer.subarray(0, total)
      this.#buffer = this.#buffer.subarray(total)
      this.#message(message, total)
    }
  }

  #message(message: Buffer, total: number): void {
    switch (message[0]) {
      case backend.dataRow:
        this.#rows.push(readTextRow(message, headerBytes, total))
        return
      case backend.errorResponse:
        this.#refusal = new PontoonError(
          'SERVER_REJECTED',
          readError(message, headerBytes, total).message,
        )
        return
      case backend.parameterStatus:
        this.#server.report(...readParameterStatus(message, headerBytes, total))
        return
      case backend.readyForQuery:
        if (message[headerBytes] !== txStatus.idle || this.#buffer.length > 0)
          throw new Error('not at rest')
        this.#server.replies.shift()
        if (this.#refusal === null) this.#done(this.#rows)
        else this.#failed(this.#refusal)
        return
      default:
    }
  }

  fail(text: string): void {
    this.#server.spoil()
    this.#server.transport.destroy()
    this.#failed(new PontoonError('SERVER_LOST', text))
  }

  onCongested(): void {
    this.fail('the server reads nothing')
  }

  onDrained(): void {
    // One small query is under way.
  }

  onClosed(): void {
    this.#failed(new PontoonError('SERVER_LOST', 'the server went away'))
  }
}
