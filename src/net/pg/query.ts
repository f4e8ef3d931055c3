/**
 * A connection of Pontoon's own for a few simple queries: the catalog, probes. Uses pg-protocol's
 * parser, since nothing here is relayed and results are small.
 */
import { PassThrough } from 'node:stream'
import { parse } from 'pg-protocol'
import { DatabaseError, DataRowMessage, type BackendMessage } from 'pg-protocol/dist/messages.js'
import { PontoonError } from '../../shared/errors.ts'
import { queryMessage, terminateMessage } from '../../wire/pg/write.ts'
import { login, type LoginOptions } from './login.ts'

export type Rows = readonly (readonly (string | null)[])[]

export interface QueryConnection {
  readonly serverVersion: string
  /** Rejects with SERVER_REJECTED and the server's words, or CONNECT_TIMEOUT. */
  query(sql: string, timeoutMs: number): Promise<Rows>
  close(): void
}

const ignore = (): void => undefined

/** pg-protocol gives strings and nulls for results in text format. */
function text(field: unknown): string | null {
  return typeof field === 'string' ? field : null
}

export async function openQueryConnection(options: LoginOptions): Promise<QueryConnection> {
  const { socket, dialled, reported } = await login(options)
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

  const query = (sql: string, timeoutMs: number): Promise<Rows> =>
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
      socket.write(queryMessage(sql))
    })

  return {
    serverVersion: reported.get('server_version') ?? '',
    query,
    close: () => {
      onLost = ignore
      socket.end(terminateMessage)
      socket.setTimeout(5_000, () => socket.destroy())
    },
  }
}
