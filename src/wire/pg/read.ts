/**
 * Decodes the few messages that Pontoon looks into. Every function takes bytes that are already
 * complete and checks its own bounds: malformed input is a PontoonError, never an exception of
 * the runtime.
 */
import { PontoonError, type ErrorCode } from '../../shared/errors.ts'
import { cancelKeyBytes, startupCode } from './protocol.ts'

const nearBytes = 128

/** Index of the NUL that ends the string at `start`; throws when there is none before `end`. */
export function cstringEnd(bytes: Buffer, start: number, end: number, code: ErrorCode): number {
  // Names and most texts are short: a call out of JavaScript would cost more than the search.
  const near = Math.min(end, start + nearBytes)
  for (let at = start; at < near; at += 1) if (bytes[at] === 0) return at
  const index = near < end ? bytes.indexOf(0, near) : -1
  if (index < 0 || index >= end) throw new PontoonError(code, 'a string in a message has no end')
  return index
}

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gss-encryption' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup'
      readonly minor: number
      readonly parameters: ReadonlyMap<string, string>
    }

/** Decodes a startup packet without its length word. */
export function readStartupPacket(body: Buffer): StartupPacket {
  if (body.length < 4) throw invalid('the startup packet is too short')
  const major = body.readUInt16BE(0)
  const minor = body.readUInt16BE(2)
  if (major === 1234) return readRequest(minor, body)
  if (major !== 3) throw unsupportedVersion(major, minor)
  return { kind: 'startup', minor, parameters: readParameters(body) }
}

/** As the server says it, of a version and of a request that it does not take (any more). */
export function unsupportedVersion(major: number, minor: number): PontoonError {
  return new PontoonError(
    'CLIENT_VERSION',
    `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.2`,
  )
}

function readRequest(minor: number, body: Buffer): StartupPacket {
  if (body.readInt32BE(0) === startupCode.ssl) return { kind: 'ssl' }
  if (body.readInt32BE(0) === startupCode.gssEncryption) return { kind: 'gss-encryption' }
  if (body.readInt32BE(0) !== startupCode.cancel) throw unsupportedVersion(1234, minor)
  // 4 bytes of secret in protocol 3.0, up to 256 since 3.2.
  if (body.length < 8 + cancelKeyBytes.short || body.length > 8 + cancelKeyBytes.max)
    throw invalid('the cancel request has a wrong length')
  return { kind: 'cancel', pid: body.readInt32BE(4), secret: Buffer.from(body.subarray(8)) }
}

function readParameters(body: Buffer): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>()
  let offset = 4
  while (offset < body.length && body[offset] !== 0) {
    const nameEnd = cstringEnd(body, offset, body.length, 'CLIENT_PROTOCOL')
    const valueEnd = cstringEnd(body, nameEnd + 1, body.length, 'CLIENT_PROTOCOL')
    parameters.set(
      body.toString('utf8', offset, nameEnd),
      body.toString('utf8', nameEnd + 1, valueEnd),
    )
    offset = valueEnd + 1
  }
  if (offset !== body.length - 1) {
    throw invalid('invalid startup packet layout: expected terminator as last byte')
  }
  return parameters
}

export interface ServerError {
  readonly severity: string
  /** Five characters; XX000 when the server gave none (CVE-2026-6666 class: never trust it is there). */
  readonly sqlstate: string
  readonly message: string
  /** The function of the server that reported it, '' when it does not say. */
  readonly routine: string
}

/**
 * Decodes the body of an ErrorResponse or NoticeResponse, which may be cut off at `end`; unknown
 * fields are passed over.
 */
export function readError(bytes: Buffer, start: number, end: number): ServerError {
  let severity = 'ERROR'
  let sqlstate = 'XX000'
  let text = ''
  let routine = ''
  let offset = start
  while (offset < end && bytes[offset] !== 0) {
    const field = bytes[offset]
    const valueEnd = bytes.indexOf(0, offset + 1)
    if (valueEnd < 0 || valueEnd >= end) break
    if (field === 0x56) severity = bytes.toString('utf8', offset + 1, valueEnd)
    else if (field === 0x43) sqlstate = bytes.toString('latin1', offset + 1, valueEnd)
    else if (field === 0x4d) text = bytes.toString('utf8', offset + 1, valueEnd)
    else if (field === 0x52) routine = bytes.toString('latin1', offset + 1, valueEnd)
    offset = valueEnd + 1
  }
  return { severity, sqlstate: sqlstate.length === 5 ? sqlstate : 'XX000', message: text, routine }
}

export function readParameterStatus(bytes: Buffer, start: number, end: number): [string, string] {
  const nameEnd = cstringEnd(bytes, start, end, 'SERVER_PROTOCOL')
  const valueEnd = cstringEnd(bytes, nameEnd + 1, end, 'SERVER_PROTOCOL')
  return [bytes.toString('utf8', start, nameEnd), bytes.toString('utf8', nameEnd + 1, valueEnd)]
}

/** Minor version of NegotiateProtocolVersion. Throws unless it answers a request for 3.`asked`. */
export function readNegotiatedMinor(body: Buffer, asked: number): number {
  if (body.length < 8) throw wrongNegotiation('it is too short')
  const version = body.readInt32BE(0)
  if (version < startupCode.protocol3 || version > startupCode.protocol3 + asked)
    throw wrongNegotiation(`it offers version ${version >> 16}.${version & 0xffff}`)
  // We never send one, so there is none that the server could not know.
  if (body.readInt32BE(4) !== 0) throw wrongNegotiation('it refuses options that were not sent')
  return version & 0xffff
}

function wrongNegotiation(reason: string): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', `wrong NegotiateProtocolVersion: ${reason}`)
}

/** Decodes the body of a NotificationResponse, without the sender's process id. */
export function readNotification(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly channel: string; readonly payload: string } {
  const channelEnd = cstringEnd(bytes, start + 4, end, 'SERVER_PROTOCOL')
  const payloadEnd = cstringEnd(bytes, channelEnd + 1, end, 'SERVER_PROTOCOL')
  return {
    channel: bytes.toString('utf8', start + 4, channelEnd),
    payload: bytes.toString('utf8', channelEnd + 1, payloadEnd),
  }
}

export interface Column {
  readonly name: string
  readonly type: number
  readonly modifier: number
}

/** Bytes of a field in a RowDescription behind its name. */
const fieldBytes = 18

/** Decodes the body of a RowDescription as far as it tells the type of each column. */
export function readColumns(bytes: Buffer, start: number, end: number): Column[] {
  if (end - start < 2) throw new PontoonError('SERVER_PROTOCOL', 'a RowDescription is too short')
  const count = bytes.readInt16BE(start)
  const columns: Column[] = []
  let offset = start + 2
  for (let index = 0; index < count; index += 1) {
    const nameEnd = cstringEnd(bytes, offset, end, 'SERVER_PROTOCOL')
    const next = nameEnd + 1 + fieldBytes
    if (next > end) throw new PontoonError('SERVER_PROTOCOL', 'a RowDescription is too short')
    columns.push({
      name: bytes.toString('latin1', offset, nameEnd),
      type: bytes.readUInt32BE(nameEnd + 7),
      modifier: bytes.readInt32BE(nameEnd + 13),
    })
    offset = next
  }
  return columns
}

/** Decodes the body of a DataRow in text format; null for SQL NULL. */
export function readTextRow(bytes: Buffer, start: number, end: number): (string | null)[] {
  if (end - start < 2) throw new PontoonError('SERVER_PROTOCOL', 'a DataRow is too short')
  const columns = bytes.readInt16BE(start)
  const row: (string | null)[] = []
  let offset = start + 2
  for (let index = 0; index < columns; index += 1) {
    if (offset + 4 > end) throw new PontoonError('SERVER_PROTOCOL', 'a DataRow is too short')
    const length = bytes.readInt32BE(offset)
    offset += 4
    if (length > end - offset) throw new PontoonError('SERVER_PROTOCOL', 'a DataRow is too short')
    row.push(length < 0 ? null : bytes.toString('utf8', offset, offset + length))
    offset += Math.max(0, length)
  }
  return row
}

function invalid(text: string): PontoonError {
  return new PontoonError('CLIENT_PROTOCOL', text)
}
