/**
 * Gives the way back up, after a cutover: the operator has decided that there is no rollback, or the
 * source is gone for good. Nothing replicates any more in either direction, and no WAL is kept for
 * it. What there is of the source is left as it is, and fenced; the target has to be there, the
 * source need not. Neighbour: drop.ts, which takes away the way forward.
 */
import { toPontoonError } from '../../../shared/errors.ts'
import { findAttached } from '../attached.ts'
import { readMark } from '../control-schema.ts'
import { isFenced } from '../fence.ts'
import { missedTableSql, noteGivenUp, noteGivenUpSql, readMissed } from '../missed.ts'
import type { MigrationContext } from '../side-login.ts'
import { lockSide } from '../switch/lock.ts'
import { closeSide, openSide, type SwitchSide } from '../switch/switch-sides.ts'
import { slotStep, subscriptionStep } from './detach-steps.ts'
import { switchUnderWayText } from './job.ts'
import type { SyncPlan, SyncStep } from './plan.ts'

export interface GivingUp {
  readonly plan: SyncPlan
  /** Until then no switch begins. */
  close(): void
}

/** Rejects as login() does where the target cannot be reached. */
export async function planGiveUp(context: MigrationContext): Promise<GivingUp> {
  const [there, here] = await Promise.allSettled([
    openSide(context, 'source'),
    openSide(context, 'target'),
  ])
  const source = there.status === 'fulfilled' ? there.value : null
  const close = (): void => {
    for (const one of [there, here]) if (one.status === 'fulfilled') closeSide(one.value)
  }
  try {
    if (here.status === 'rejected') throw here.reason
    const target = here.value
    const away = there.status === 'rejected' ? toPontoonError(there.reason).message : null
    const { signal } = new AbortController()
    for (const side of source === null ? [target] : [source, target]) await lockSide(side, signal)
    const refusal = await refusalOf(context.service, source, target)
    const plan =
      refusal === null
        ? { steps: await stepsOf(context.service, source, target, away), refusals: [] }
        : { steps: [], refusals: [refusal] }
    return { plan, close }
  } catch (error) {
    close()
    throw error
  }
}

async function refusalOf(
  service: string,
  source: SwitchSide | null,
  target: SwitchSide,
): Promise<string | null> {
  const mark = await readMark(target.control)
  if (mark?.primary !== 'target')
    return `the source takes the writes, so there is no way back yet: pontoon sync ${service} --drop takes the way forward away`
  if (mark.parted === 'source')
    return 'a forced switch has left the source: there is no way back already, and nothing is kept for one'
  const theirs = source === null ? undefined : await readMark(source.control)
  const differ = theirs !== undefined && theirs.primary !== 'target'
  return differ || (await isFenced(target.control)) ? switchUnderWayText : null
}

/** What is noted first is true from then on, whatever becomes of the steps behind it. */
async function stepsOf(
  service: string,
  source: SwitchSide | null,
  target: SwitchSide,
  away: string | null,
): Promise<readonly SyncStep[]> {
  const sides = source === null ? [target] : [source, target]
  const attached = await Promise.all(
    sides.map(async (at) => ({ at, ...(await findAttached(service, at)) })),
  )
  const isNoted = (await readMissed(target.control, 'reverse'))?.isGivenUp === true
  return [
    ...(isNoted ? [] : [noteStep(sides, away)]),
    ...attached.flatMap(({ at, subscriptions }) =>
      subscriptions.map((name) => subscriptionStep(at, name)),
    ),
    ...attached.flatMap(({ at, slots }) => slots.map((name) => slotStep(at, name))),
  ]
}

function noteStep(sides: readonly SwitchSide[], away: string | null): SyncStep {
  const left = away === null ? '' : `; the source cannot be reached and is left as it is (${away})`
  return {
    what: `note that there is no rollback any more${left}`,
    sql: [missedTableSql.replace(/;$/, ''), noteGivenUpSql('reverse')],
    run: async () => {
      for (const { control } of sides.toReversed()) await noteGivenUp(control, 'reverse')
    },
  }
}
