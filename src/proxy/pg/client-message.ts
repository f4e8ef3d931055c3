/** What is told from the header and first bytes of a client's message. */
import { PontoonError } from '../../shared/errors.ts'
import { frontend, headerBytes } from '../../wire/pg/protocol.ts'

export function isCopyMessage(type: number): boolean {
  return type === frontend.copyData || type === frontend.copyDone || type === frontend.copyFail
}

export function isRequest(type: number): boolean {
  switch (type) {
    case frontend.query:
    case frontend.parse:
    case frontend.bind:
    case frontend.describe:
    case frontend.execute:
    case frontend.close:
    case frontend.functionCall:
    case frontend.sync:
    case frontend.flush:
      return true
    default:
      return isCopyMessage(type)
  }
}

export function bindNamesIn(bytes: Buffer, offset: number, end: number): boolean {
  const portalEnd = bytes.indexOf(0, offset + headerBytes)
  if (portalEnd < 0 || portalEnd >= end) return false
  const nameEnd = bytes.indexOf(0, portalEnd + 1)
  return nameEnd >= 0 && nameEnd < end
}

/** In the server's own words (postgres.c, SocketBackend). */
export function unknownType(type: number): PontoonError {
  return new PontoonError('CLIENT_PROTOCOL', `invalid frontend message type ${type}`)
}

export function tooLong(type: number, total: number): PontoonError {
  if (total < headerBytes) return new PontoonError('CLIENT_PROTOCOL', 'invalid message length')
  return new PontoonError(
    'MESSAGE_TOO_LARGE',
    `a message of type ${String.fromCharCode(type)} with ${total} bytes is longer than limits.messageBytesMax`,
  )
}
