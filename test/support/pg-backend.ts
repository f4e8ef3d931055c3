/**
 * What a PostgreSQL server sends, built by hand, for mock-postgres.ts and for codec tests.
 */
import { int16, int32, message, text } from './pg-frontend.ts'

export const authenticationOk = (): Buffer => message('R', int32(0))
export const authenticationCleartext = (): Buffer => message('R', int32(3))
export const authenticationMd5 = (salt: Buffer): Buffer => message('R', int32(5), salt)
export const authenticationSasl = (...mechanisms: readonly string[]): Buffer =>
  message('R', int32(10), ...mechanisms.map(text), Buffer.from([0]))

export const parameterStatus = (name: string, value: string): Buffer =>
  message('S', text(name), text(value))

export const backendKeyData = (pid: number, secret: Buffer): Buffer =>
  message('K', int32(pid), secret)

export type TransactionStatus = 'I' | 'T' | 'E'

export const readyForQuery = (status: TransactionStatus = 'I'): Buffer =>
  message('Z', Buffer.from(status))

export const commandComplete = (tag: string): Buffer => message('C', text(tag))
export const parseComplete = (): Buffer => message('1')
export const bindComplete = (): Buffer => message('2')
export const closeComplete = (): Buffer => message('3')
export const noData = (): Buffer => message('n')
export const emptyQueryResponse = (): Buffer => message('I')

/** Columns of type text. */
export const rowDescription = (...names: readonly string[]): Buffer =>
  message(
    'T',
    int16(names.length),
    ...names.flatMap((name) => [
      text(name),
      int32(0),
      int16(0),
      int32(25),
      int16(-1),
      int32(-1),
      int16(0),
    ]),
  )

export const dataRow = (...values: readonly (string | null)[]): Buffer =>
  message(
    'D',
    int16(values.length),
    ...values.flatMap((value) => {
      if (value === null) return [int32(-1)]
      return [int32(Buffer.byteLength(value)), Buffer.from(value)]
    }),
  )

export const errorResponse = (sqlstate: string, words: string, severity = 'ERROR'): Buffer =>
  notice('E', sqlstate, words, severity)

export const noticeResponse = (sqlstate: string, words: string, severity = 'NOTICE'): Buffer =>
  notice('N', sqlstate, words, severity)

export const notificationResponse = (pid: number, channel: string, payload: string): Buffer =>
  message('A', int32(pid), text(channel), text(payload))

/** What a server says after a login without a password. */
export const welcome = (pid = 1, secret: Buffer = Buffer.alloc(4)): Buffer =>
  Buffer.concat([
    authenticationOk(),
    parameterStatus('server_version', '15.0'),
    parameterStatus('client_encoding', 'UTF8'),
    backendKeyData(pid, secret),
    readyForQuery(),
  ])

function notice(type: string, sqlstate: string, words: string, severity: string): Buffer {
  const fields = [`S${severity}`, `V${severity}`, `C${sqlstate}`, `M${words}`]
  return message(type, ...fields.map(text), Buffer.from([0]))
}
