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
  const both = await Promise.allSettled([openSide(context, from), openSide(context, to)])
  const [first, second] = both
  if (first.status === 'fulfilled' && second.status === 'fulfilled') {
    const close = (): void => {
      closeSide(first.value)
      closeSide(second.value)
    }
    return { from: first.value, to: second.value, close }
  }
  for (const one of both) if (one.status === 'fulfilled') closeSide(one.value)
  throw first.status === 'rejected' ? first.reason : second.status === 'rejected' && second.reason
}

/** As openSides(), for one of them. */
export async function openSide(context: MigrationContext, side: Side): Promise<SwitchSide> {
  const connect = (purpose: 'control' | 'replication'): Promise<SqlClient> =>
    connectAs(context, { side, purpose, task: switchTask })
  const all = await Promise.allSettled([
    connect('control'),
    connect('control'),
    connect('replication'),
  ])
  const [control, watch, replication] = all
  if (
    control.status === 'fulfilled' &&
    watch.status === 'fulfilled' &&
    replication.status === 'fulfilled'
  )
    return { side, control: control.value, watch: watch.value, replication: replication.value }
  for (const one of all) if (one.status === 'fulfilled') one.value.close()
  throw all.find((one) => one.status === 'rejected')?.reason
}

export function closeSide({ control, watch, replication }: SwitchSide): void {
  for (const client of [control, watch, replication]) client.close()
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
