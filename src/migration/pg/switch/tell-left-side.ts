/**
 * A side that a forced switch has left, and that is back: it is fenced, carries the mark of the
 * primary, and neither sends nor receives any more. What was written there and has not come over is
 * left as it is, for people to look at.
 */
import type { Route } from '../../../routing/route.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { otherSide } from '../../../shared/side.ts'
import type { RouteStore } from '../../../store/route-store.ts'
import { detach } from '../attached.ts'
import { ensurePartedColumn, readMark, writeMarkSql, writePartedSql } from '../control-schema.ts'
import { endOthers, fenceSql, readPrior } from '../fence.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { endEarlier } from './earlier.ts'
import { lockSide } from './lock.ts'
import { closeSide, fenceSpec, openSide, switchTask, type SwitchSide } from './switch-sides.ts'

/** Whether the primary side says that the other one was left. Rejects as connectAs() does. */
export async function isOtherLeft(context: MigrationContext, { primary }: Route): Promise<boolean> {
  const client = await connectAs(context, { side: primary, purpose: 'control', task: switchTask })
  try {
    return (await readMark(client))?.parted === otherSide(primary)
  } finally {
    client.close()
  }
}

/**
 * - `told`: it is as it should be now.
 * - `known`: it was before, or it is another database, which was never part of this.
 */
export type Telling = 'told' | 'known'

/** Rejects while it cannot be reached, or a switch is under way there. */
export async function tellLeftSide(
  context: MigrationContext,
  store: RouteStore,
  route: Route,
  signal: AbortSignal,
): Promise<Telling> {
  const side = await openSide(context, otherSide(route.primary))
  try {
    // No switch can begin to move the writes there while this is held.
    await lockSide(side, signal)
    const isCurrent = (): boolean =>
      store.get(context.service)?.epoch === route.epoch &&
      store.switchOf(context.service) === undefined
    signal.throwIfAborted()
    if (!isCurrent()) throw new PontoonError('SWITCH_RUNNING', 'a switch is under way')
    const mark = await readMark(side.control)
    if (mark === undefined || mark.parted === side.side || mark.epoch > route.epoch) return 'known'
    await tell(context, side, route)
    return 'told'
  } finally {
    closeSide(side)
  }
}

/** The mark comes last: it says that all of it is done. */
async function tell(context: MigrationContext, side: SwitchSide, route: Route): Promise<void> {
  const { control, watch, replication } = side
  const ours = [control.pid, watch.pid, replication.pid]
  for (const client of [control, replication]) await endEarlier(client, ours)
  const spec = fenceSpec(context, side.side)
  // With the fence goes the mark of the primary, so that no server of ours is opened there for it.
  const fence = fenceSql(spec, await readPrior(control, spec))
  await control.run([fence, writeMarkSql(route)].join(';\n'))
  await endOthers(control, spec)
  await detach(context.service, side)
  await ensurePartedColumn(control)
  await control.run(writePartedSql(side.side))
}
