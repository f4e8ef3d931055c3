/**
 * A connection of Pontoon's own for a few simple queries: the catalog, probes. Uses pg-protocol's
 * parser, since nothing here is relayed and results are small.
 */
import { PassThrough } from 'node:stream'
import { parse, serialize } from 'pg-protocol'
import { DatabaseError, DataRowMessage, type BackendMessage } from 'pg-protocol/dist/messages.js'
import { PontoonError } from '../../shared/errors.ts'
import { queryMessage, terminateMessage } from '../../wire/pg/write.ts'
import { login, type LoginOptions } from './login.ts'

export type Rows = readonly (readonly (string | null)[])[]

export interface QueryConnection {
  readonly serverVersion: string
  /** As the server, or a pooler before it, has told at the login. */
  readonly pid: number
  /** False once the server has closed it. */
  readonly isOpen: boolean
  /**
   * Rejects with SERVER_REJECTED and the server's words, or CONNECT_TIMEOUT. With values, the
   * extended protocol is used and they are bound to $1, $2, ….
   */
  query(sql: string, timeoutMs: number, values?: readonly string[]): Promise<Rows>
  close(): void
}

const ignore = (): void => undefined

/** pg-protocol gives strings and nulls for results in text format. */
function text(field: unknown): string | null {
  return typeof field === 'string' ? field : null
}

export async function openQueryConnection(options: LoginOptions): Promise<QueryConnection> {
  const { socket, dialled, reported, pid } = await login(options)
  const input = new PassThrough()
  let onMessage: (message: BackendMessage) => void = ignore
  if (dialled === null) socket.on('data', (bytes: Buffer) => input.write(bytes))
  else
    dialled.deliverTo({ receive: (bytes, end) => input.write(Buffer.from(bytes.subarray(0, end))) })
  let onLost: (error: Error) => void = ignore
  socket.on('error', (error) => onLost(error))
  socket.on('close', () =>
    onLost(new PontoonError('SERVER_LOST', 'the server closed the connection')),
  )
  void parse(input, (message) => onMessage(message)).catch(() => undefined)

  const query: QueryConnection['query'] = (sql, timeoutMs, values) =>
    new Promise((resolve, reject) => {
      const rows: (string | null)[][] = []
      let failure: PontoonError | null = null
      const fail = (error: Error): void => {
        clearTimeout(timer)
        reject(error)
      }
      const timer = setTimeout(() => {
        socket.destroy()
        fail(new PontoonError('CONNECT_TIMEOUT', `the query took longer than ${timeoutMs} ms`))
      }, timeoutMs)
      onLost = fail
      onMessage = (message) => {
        if (message instanceof DataRowMessage) rows.push(message.fields.map(text))
        else if (message instanceof DatabaseError)
          failure = new PontoonError('SERVER_REJECTED', message.message)
        else if (message.name === 'readyForQuery') {
          clearTimeout(timer)
          if (failure === null) resolve(rows)
          else reject(failure)
        }
      }
      if (socket.destroyed) onLost(new PontoonError('SERVER_LOST', 'the connection is closed'))
      else socket.write(values === undefined ? queryMessage(sql) : boundQuery(sql, values))
    })

  return {
    serverVersion: reported.get('server_version') ?? '',
    pid,
    get isOpen() {
      return !socket.destroyed
    },
    query,
    close: () => {
      onLost = ignore
      socket.end(terminateMessage)
      socket.setTimeout(5_000, () => socket.destroy())
    },
  }
}

function boundQuery(sql: string, values: readonly string[]): Buffer {
  return Buffer.concat([
    serialize.parse({ text: sql }),
    serialize.bind({ values: [...values] }),
    serialize.execute(),
    serialize.sync(),
  ])
}
