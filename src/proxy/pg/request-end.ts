/**
 * Where the first request of the bytes that a session holds ends: whoever cancels a request that
 * waits for a server takes it out whole (session-wait.ts).
 */
import { frontend, headerBytes } from '../../wire/pg/protocol.ts'

/** 0 when the end is not there yet, or when it cannot be told where the server would stop. */
export function requestEnd(bytes: Buffer): number {
  let offset = 0
  while (bytes.length - offset >= headerBytes) {
    const type = bytes[offset]
    const end = offset + 1 + bytes.readInt32BE(offset + 1)
    if (end > bytes.length || end < offset + headerBytes) return 0
    const isSimple = type === frontend.query || type === frontend.functionCall
    if (isSimple) return offset === 0 ? end : 0
    if (type === frontend.sync) return end
    offset = end
  }
  return 0
}
