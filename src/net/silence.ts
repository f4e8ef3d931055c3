/**
 * How long servers have said nothing that somebody has, and how often their host did not answer
 * when it was asked over another connection. What is asked there is the protocol's
 * (proxy/pg/suspects.ts, proxy/redis/silent-servers.ts).
 */
import type { PontoonError } from '../shared/errors.ts'
import type { Transport } from './transport.ts'

export interface Silence<Server> {
  readonly server: Server
  bytesRead: number
  /** Since when nothing came (clock milliseconds). */
  silentSinceMs: number
  checkedAtMs: number
  /** Checks in a row that its host did not answer. */
  unanswered: number
}

/** So many of them mean that the host is gone. */
export const unansweredMax = 2

export class Silences<Server extends { readonly transport: Transport }> {
  readonly #known = new WeakMap<Server, Silence<Server>>()

  /** Reads that we hold back ourselves are no silence. */
  of(server: Server, nowMs: number): Silence<Server> {
    const { bytesRead } = server.transport.socket
    let silence = this.#known.get(server)
    if (silence === undefined) {
      const checkedAtMs = Number.NEGATIVE_INFINITY
      silence = { server, bytesRead, silentSinceMs: nowMs, checkedAtMs, unanswered: 0 }
      this.#known.set(server, silence)
    } else if (silence.bytesRead !== bytesRead || server.transport.isPaused) {
      silence.bytesRead = bytesRead
      silence.silentSinceMs = nowMs
      silence.unanswered = 0
    }
    return silence
  }

  /** It is open, and has not spoken since it was last looked at. */
  isStill({ server: { transport }, bytesRead }: Silence<Server>): boolean {
    return !transport.isClosed && transport.socket.bytesRead === bytesRead
  }
}

/** Nothing came back, not even a refusal. */
export function isUnanswered({ code, cause }: PontoonError): boolean {
  if (code === 'CONNECT_TIMEOUT') return true
  const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return (
    code === 'CONNECT_FAILED' &&
    (errno === 'ETIMEDOUT' || errno === 'EHOSTUNREACH' || errno === 'ENETUNREACH')
  )
}
