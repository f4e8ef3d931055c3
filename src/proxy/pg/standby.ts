/**
 * Never writes to a standby: after a failover the name of a side may lead to the old primary, or
 * to one that is not promoted yet, for a while.
 */
import { askServer } from '../../net/pg/ask.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { PontoonError } from '../../shared/errors.ts'

/** From this version on a server reports `in_hot_standby`, and each change of it. */
const reportsSince = 14

/**
 * Rejects with SERVER_IN_RECOVERY and closes the server when it is a standby. A role that is
 * read-only by its settings is not looked at: that is its owner's wish.
 */
export async function refuseStandby(server: PgServer, timeoutMs: number): Promise<void> {
  if (!(await isStandby(server, timeoutMs))) return
  server.close()
  throw new PontoonError(
    'SERVER_IN_RECOVERY',
    `the server at ${server.address ?? 'the Unix socket'} of the ${server.side} is a standby, it cannot take writes`,
  )
}

async function isStandby(server: PgServer, timeoutMs: number): Promise<boolean> {
  const reported = server.reported.get('in_hot_standby')
  if (reported !== undefined) return reported === 'on'
  const major = Number.parseInt(server.reported.get('server_version') ?? '', 10)
  if (!(major < reportsSince)) return false
  const [row] = await askServer(server, 'SELECT pg_catalog.pg_is_in_recovery()', timeoutMs)
  return row?.[0] === 't'
}
