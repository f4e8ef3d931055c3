/**
 * Builds protocol messages that Pontoon itself sends, in both directions. Relayed messages are
 * never rebuilt here; they are forwarded as slices.
 */
import { authCode, backend, frontend, startupCode } from './protocol.ts'

/** Assembles one message: the length word is filled in at the end. */
export class MessageWriter {
  #parts: Buffer[] = []

  byte(value: number): this {
    this.#parts.push(Buffer.from([value]))
    return this
  }

  int16(value: number): this {
    const part = Buffer.allocUnsafe(2)
    part.writeInt16BE(value)
    this.#parts.push(part)
    return this
  }

  int32(value: number): this {
    const part = Buffer.allocUnsafe(4)
    part.writeInt32BE(value)
    this.#parts.push(part)
    return this
  }

  cstring(value: string): this {
    this.#parts.push(Buffer.from(`${value}\0`, 'utf8'))
    return this
  }

  bytes(value: Buffer): this {
    this.#parts.push(value)
    return this
  }

  /** The message with its type byte, or a startup packet when the type is null. */
  finish(type: number | null): Buffer {
    const body = Buffer.concat(this.#parts)
    const head = Buffer.allocUnsafe(type === null ? 4 : 5)
    if (type !== null) head[0] = type
    head.writeInt32BE(body.length + 4, head.length - 4)
    return Buffer.concat([head, body])
  }
}

const empty = Buffer.alloc(0)

export const syncMessage = message(frontend.sync, empty)
export const terminateMessage = message(frontend.terminate, empty)
export const copyDoneMessage = message(frontend.copyDone, empty)
export const sslRequest = new MessageWriter().int32(startupCode.ssl).finish(null)
export const authenticationOk = new MessageWriter()
  .int32(authCode.ok)
  .finish(backend.authentication)

export function message(type: number, body: Buffer): Buffer {
  return new MessageWriter().bytes(body).finish(type)
}

export function readyForQuery(status: number): Buffer {
  return new MessageWriter().byte(status).finish(backend.readyForQuery)
}

export function commandComplete(tag: string): Buffer {
  return new MessageWriter().cstring(tag).finish(backend.commandComplete)
}

export function parameterStatus(name: string, value: string): Buffer {
  return new MessageWriter().cstring(name).cstring(value).finish(backend.parameterStatus)
}

export function backendKeyData(pid: number, secret: Buffer): Buffer {
  return new MessageWriter().int32(pid).bytes(secret).finish(backend.backendKeyData)
}

export function queryMessage(sql: string): Buffer {
  return new MessageWriter().cstring(sql).finish(frontend.query)
}

export function startupPacket(parameters: ReadonlyMap<string, string>, minor = 0): Buffer {
  const writer = new MessageWriter().int32(startupCode.protocol3 + minor)
  for (const [name, value] of parameters) writer.cstring(name).cstring(value)
  return writer.byte(0).finish(null)
}

export function cancelRequest(pid: number, secret: Buffer): Buffer {
  return new MessageWriter().int32(startupCode.cancel).int32(pid).bytes(secret).finish(null)
}

export function passwordMessage(password: string): Buffer {
  return new MessageWriter().cstring(password).finish(frontend.password)
}

export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL'
  readonly sqlstate: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  readonly routine?: string
}

/** ErrorResponse ("Error and Notice Message Fields"): S and V are both the severity. */
export function errorResponse(fields: ErrorFields): Buffer {
  const writer = new MessageWriter()
    .byte(0x53)
    .cstring(fields.severity)
    .byte(0x56)
    .cstring(fields.severity)
    .byte(0x43)
    .cstring(fields.sqlstate)
    .byte(0x4d)
    .cstring(fields.message)
  if (fields.detail !== undefined) writer.byte(0x44).cstring(fields.detail)
  if (fields.hint !== undefined) writer.byte(0x48).cstring(fields.hint)
  if (fields.routine !== undefined) writer.byte(0x52).cstring(fields.routine)
  return writer.byte(0).finish(backend.errorResponse)
}

/** NoticeResponse of class 01. */
export function warning(text: string, detail: string): Buffer {
  return new MessageWriter()
    .byte(0x53)
    .cstring('WARNING')
    .byte(0x56)
    .cstring('WARNING')
    .byte(0x43)
    .cstring('01000')
    .byte(0x4d)
    .cstring(text)
    .byte(0x44)
    .cstring(detail)
    .byte(0)
    .finish(backend.noticeResponse)
}

/** NegotiateProtocolVersion: the newest minor version we speak and the options we do not know. */
export function negotiateProtocolVersion(
  version: number,
  unknownOptions: readonly string[],
): Buffer {
  const writer = new MessageWriter().int32(version).int32(unknownOptions.length)
  for (const option of unknownOptions) writer.cstring(option)
  return writer.finish(backend.negotiateProtocolVersion)
}
