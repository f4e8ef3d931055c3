/**
 * A connection of Pontoon's own for a few simple queries: the catalog, probes. Uses pg-protocol's
 * parser, since nothing here is relayed and results are small.
 */
import { PassThrough } from 'node:stream'
import { parse } from 'pg-protocol'
import type { BackendMessage, DataRowMessage, DatabaseError } from 'pg-protocol/dist/messages.js'
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

export async function openQueryConnection(options: LoginOptions): Promise<QueryConnection> {
  const { socket, dialled, reported } = await login(options)
  const input = new PassThrough()
  let onMessage: (message: BackendMessage) => void = () => undefined
  if (dialled === null) socket.on('data', (bytes: Buffer) => input.write(bytes))
  else
    dialled.deliverTo({ receive: (bytes, end) => input.write(Buffer.from(bytes.subarray(0, end))) })
  let onLost: (error: Error) => void = () => undefined
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
        if (message.name === 'dataRow')
          rows.push((message as DataRowMessage).fields as (string | null)[])
        else if (message.name === 'error')
          failure = new PontoonError(
            'SERVER_REJECTED',
            (message as unknown as DatabaseError).message,
          )
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
      onLost = () => undefined
      socket.end(terminateMessage)
      socket.setTimeout(5_000, () => socket.destroy())
    },
  }
}
