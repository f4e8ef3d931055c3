/**
 * The two sides of a switch as seen from where it goes: `from` takes the writes now, `to` will.
 * Opens the connections that a switch works with, and knows the roles of each side.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Side } from '../../../shared/side.ts'
import type { FenceSpec } from '../fence.ts'
import { connectAs, databaseOf, purposes, roleOf, type MigrationContext } from '../side-login.ts'

/** What the server shows for our connections, after `pontoon `. */
export const switchTask = 'switch'

/** One side with its connections: `control` leads, `watch` looks beside it, `replication` owns subscriptions. */
export interface SwitchSide {
  readonly side: Side
  readonly control: SqlClient
  readonly watch: SqlClient
  readonly replication: SqlClient
}

export interface SwitchSides {
  readonly from: SwitchSide
  readonly to: SwitchSide
  close(): void
}

/** Rejects as login() does; then nothing stays open. */
export async function openSides(
  context: MigrationContext,
  from: Side,
  to: Side,
): Promise<SwitchSides> {
  const opened: SqlClient[] = []
  let isClosed = false
  const close = (): void => {
    isClosed = true
    for (const client of opened) client.close()
  }
  const open = async (side: Side): Promise<SwitchSide> => {
    const connect = async (purpose: 'control' | 'replication'): Promise<SqlClient> => {
      const client = await connectAs(context, { side, purpose, task: switchTask })
      opened.push(client)
      // Another one has failed meanwhile.
      if (isClosed) client.close()
      return client
    }
    const [control, watch, replication] = await Promise.all([
      connect('control'),
      connect('control'),
      connect('replication'),
    ])
    return { side, control, watch, replication }
  }
  const both = await Promise.allSettled([open(from), open(to)])
  const [first, second] = both
  if (first.status === 'fulfilled' && second.status === 'fulfilled')
    return { from: first.value, to: second.value, close }
  close()
  throw first.status === 'rejected' ? first.reason : second.status === 'rejected' && second.reason
}

/** Roles of Pontoon on a side, and those that the configuration says are to be let be. */
export function ownRoles({ config }: MigrationContext, side: Side): readonly string[] {
  const own = purposes.map((purpose) => roleOf(config, side, purpose).user)
  const asks = config.clientAuth.query?.user
  return [
    ...new Set([...own, ...config.migration.keepRoles, ...(asks === undefined ? [] : [asks])]),
  ]
}

/** Roles that clients of the service go out as on a side. */
export function applicationRoles({ config }: MigrationContext, side: Side): readonly string[] {
  const common = config[side].user
  const users = Object.entries(config.users ?? {}).map(
    ([name, entry]) => entry[side]?.user ?? common ?? name,
  )
  return [...new Set(users.length === 0 && common !== undefined ? [common] : users)]
}

export function fenceSpec(context: MigrationContext, side: Side): FenceSpec {
  const own = ownRoles(context, side)
  return {
    database: databaseOf(context, side),
    ownRoles: own,
    applicationRoles: applicationRoles(context, side).filter((role) => !own.includes(role)),
  }
}
