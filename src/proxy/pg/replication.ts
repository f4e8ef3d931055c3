/**
 * Replication connections: who sends the startup parameter `replication` speaks to a WAL sender.
 * Such a client gets a server of its own in either pool mode, opened with its own parameters on the
 * primary side, and its bytes pass unaltered (welcome.ts). The server is in no pool limit and no
 * cap, as a server counts WAL senders apart from other connections.
 */
import { PontoonError } from '../../shared/errors.ts'

export type ReplicationKind = 'physical' | 'logical'

/** What hides behind `database` in pg_hba.conf and, here, in `databases`. */
export const physicalDatabase = 'replication'

/** As ProcessStartupPacket reads it; null: an ordinary connection. Throws STARTUP_PARAMETER. */
export function replicationKind(parameters: ReadonlyMap<string, string>): ReplicationKind | null {
  const value = parameters.get('replication')
  if (value === undefined) return null
  if (value === 'database') return 'logical'
  const asked = parseBoolean(value)
  if (asked === null) {
    throw new PontoonError(
      'STARTUP_PARAMETER',
      `invalid value for parameter "replication": "${value}"`,
    )
  }
  return asked ? 'physical' : null
}

/** parse_bool of the server: any beginning of a word that tells which one it is. */
function parseBoolean(value: string): boolean | null {
  const text = value.toLowerCase()
  if (text === '') return null
  if ('true'.startsWith(text) || 'yes'.startsWith(text) || text === 'on' || text === '1')
    return true
  const isOff = text === 'of' || text === 'off'
  if ('false'.startsWith(text) || 'no'.startsWith(text) || isOff || text === '0') return false
  return null
}

/** Counts the replication clients of a service, those who log in included. */
export class ReplicationClients {
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Throws REPLICATION_LIMIT, in the words of the server. */
  enter(max: number): void {
    if (this.#count >= max) {
      throw new PontoonError(
        'REPLICATION_LIMIT',
        `number of requested standby connections exceeds limits.replicationClientsMax (currently ${max})`,
      )
    }
    this.#count += 1
  }

  leave(): void {
    this.#count -= 1
  }
}
