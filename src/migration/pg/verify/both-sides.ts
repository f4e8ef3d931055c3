/** The two sides of a verification and how their rows are read at comparable moments. */
import type { SqlOptions } from '../../../net/pg/sql-client.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Alignment } from './alignment.ts'
import type { SidePool } from './side-pool.ts'

export interface BothSides {
  readonly primary: SidePool
  readonly other: SidePool
  /** Null where nothing carries changes: then the sides are compared as they are. */
  readonly alignment: Alignment | null
  /** Of every statement. */
  readonly statement: SqlOptions & { readonly timeoutMs: number }
}

export type Reading<T> = (client: SqlClient, options: SqlOptions) => Promise<T>

export async function onPrimary<T>(sides: BothSides, read: Reading<T>): Promise<T> {
  return await sides.primary.use((client) => read(client, sides.statement), sides.statement.signal)
}

export async function onOther<T>(sides: BothSides, read: Reading<T>): Promise<T> {
  return await sides.other.use((client) => read(client, sides.statement), sides.statement.signal)
}

/** On both at once. */
export async function onBoth<T>(sides: BothSides, read: Reading<T>): Promise<readonly [T, T]> {
  return await Promise.all([onPrimary(sides, read), onOther(sides, read)])
}

/** On the primary side, and on the other one when it has applied what was read. */
export async function onBothAligned<T>(
  sides: BothSides,
  read: Reading<T>,
): Promise<readonly [T, T]> {
  if (sides.alignment === null) return await onBoth(sides, read)
  const primary = await onPrimary(sides, read)
  await sides.alignment.caughtUp()
  return [primary, await onOther(sides, read)]
}
