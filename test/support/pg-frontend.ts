/**
 * What a PostgreSQL client sends, built by hand from the protocol documentation (chapter "Message
 * Formats"), so that tests of our own codec do not check it against itself. Neighbour: pg-wire.ts.
 */

export type Parameters = Readonly<Record<string, string>>

export interface BindOptions {
  readonly portal?: string
  readonly statement?: string
  readonly values?: readonly (string | Buffer | null)[]
  /** Format codes of the values, 0 text and 1 binary. */
  readonly formats?: readonly number[]
  readonly resultFormats?: readonly number[]
}

const cancelCode = 80_877_102
const sslCode = 80_877_103
const gssCode = 80_877_104

/** 3.0 unless another is given: major in the high half, minor in the low half. */
export function startup(parameters: Parameters, protocol = 196_608): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)])
  return untyped(int32(protocol), ...pairs, Buffer.from([0]))
}

export const sslRequest = (): Buffer => untyped(int32(sslCode))
export const gssEncRequest = (): Buffer => untyped(int32(gssCode))

/** The secret is 4 bytes up to protocol 3.0, longer in 3.2. */
export const cancelRequest = (pid: number, secret: Buffer): Buffer =>
  untyped(int32(cancelCode), int32(pid), secret)

export const query = (sql: string): Buffer => message('Q', text(sql))

export const parse = (sql: string, statement = '', types: readonly number[] = []): Buffer =>
  message('P', text(statement), text(sql), int16(types.length), ...types.map(int32))

export function bind(options: BindOptions = {}): Buffer {
  const values = options.values ?? []
  return message(
    'B',
    text(options.portal ?? ''),
    text(options.statement ?? ''),
    formatCodes(options.formats ?? []),
    int16(values.length),
    ...values.flatMap((value) => {
      if (value === null) return [int32(-1)]
      const bytes = typeof value === 'string' ? Buffer.from(value) : value
      return [int32(bytes.length), bytes]
    }),
    formatCodes(options.resultFormats ?? []),
  )
}

export const describeStatement = (name = ''): Buffer => message('D', Buffer.from('S'), text(name))
export const describePortal = (name = ''): Buffer => message('D', Buffer.from('P'), text(name))
export const closeStatement = (name = ''): Buffer => message('C', Buffer.from('S'), text(name))
export const closePortal = (name = ''): Buffer => message('C', Buffer.from('P'), text(name))

/** rowsMax 0 means all rows. */
export const execute = (portal = '', rowsMax = 0): Buffer =>
  message('E', text(portal), int32(rowsMax))

export const sync = (): Buffer => message('S')
export const flush = (): Buffer => message('H')
export const terminate = (): Buffer => message('X')

export const copyData = (data: string | Buffer): Buffer => message('d', Buffer.from(data))
export const copyDone = (): Buffer => message('c')
export const copyFail = (reason: string): Buffer => message('f', text(reason))

export const password = (secret: string): Buffer => message('p', text(secret))
export const saslResponse = (data: string): Buffer => message('p', Buffer.from(data))
export const saslInitialResponse = (mechanism: string, data: string): Buffer =>
  message('p', text(mechanism), int32(Buffer.byteLength(data)), Buffer.from(data))

/** Any typed message; also for what must not be sent. */
export function message(type: string, ...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(type, 'latin1'), untyped(...parts)])
}

/** A length and a body, as before startup. The length counts itself. */
export function untyped(...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([int32(body.length + 4), body])
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** A string as the protocol has it: UTF-8, ended by a zero byte. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

const formatCodes = (codes: readonly number[]): Buffer =>
  Buffer.concat([int16(codes.length), ...codes.map(int16)])
