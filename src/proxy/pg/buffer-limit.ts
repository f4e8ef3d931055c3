/**
 * Bounds what a service holds in memory for its clients altogether: incomplete messages, what
 * waits for a server, and what a client has not read yet. Each of these is bounded per client
 * already; with ten thousand clients that alone would not do. Measured at each sweep: what may
 * come in between is bounded by what the network delivers in that time.
 */
import { PontoonError } from '../../shared/errors.ts'
import type { ClientLogin } from './client-login.ts'
import type { Session } from './session.ts'

interface Holder {
  readonly bytes: number
  end(error: PontoonError): void
}

/** Ends those who hold most until the rest holds no more than `bytesMax`. */
export function holdBuffersTo(
  bytesMax: number,
  sessions: Iterable<Session>,
  logins: Iterable<ClientLogin>,
): void {
  let total = 0
  for (const session of sessions) total += heldFor(session)
  for (const login of logins) total += login.heldBytes
  if (total <= bytesMax) return
  const error = new PontoonError(
    'BUFFER_LIMIT',
    `out of memory for clients: they hold more than limits.bufferBytesMax (${bytesMax} bytes), this one most`,
  )
  const holders: Holder[] = []
  for (const session of sessions)
    holders.push({ bytes: heldFor(session), end: (why) => endSession(session, why) })
  for (const login of logins)
    holders.push({ bytes: login.heldBytes, end: (why) => login.refuse(why) })
  holders.sort((one, other) => other.bytes - one.bytes)
  for (const holder of holders) {
    if (total <= bytesMax) return
    total -= holder.bytes
    holder.end(error)
  }
}

function heldFor({ client, server, frontend, backend }: Session): number {
  const unsentToServer = server?.transport.unwrittenBytes ?? 0
  return frontend.heldBytes + backend.heldBytes + client.unwrittenBytes + unsentToServer
}

/** One that does not read would not get the error, and would keep what it holds. */
function endSession(session: Session, error: PontoonError): void {
  if (session.client.isCongested) session.abandon(error)
  else session.fail(error)
}
