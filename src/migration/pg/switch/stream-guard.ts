/** Whether the sync that a switch waits for has brought, and will bring, every change. */
import { wait } from '../../../shared/wait.ts'
import { readMark } from '../control-schema.ts'
import { lostSlotFix, missedText, readMissed } from '../missed.ts'
import { directionFrom } from '../names.ts'
import { readable } from '../quote.ts'
import { readSlot } from '../slot.ts'
import type { GuardParts } from './guards.ts'
import { blocker, ok, type Guard } from './model.ts'
import type { Stream } from '../stream.ts'
import type { SwitchSide, SwitchSides } from './switch-sides.ts'

/**
 * One that was switched on a moment ago, or has lost its connection, has no worker yet: before 16
 * the launcher starts them 5 s apart.
 */
const workerWaitMs = 6_000
const workerPollMs = 100

export async function streamGuard({ context, sides, stream }: GuardParts): Promise<Guard> {
  const { from, to } = sides
  const fix = lostSlotFix(directionFrom(from.side), context.service)
  if (stream === null)
    return blocker(
      'sync',
      from.side === 'source'
        ? `no sync from source to target: run pontoon copy ${context.service}`
        : `no sync from target to source${(await isParted(sides)) ? '' : `: ${fix}`}`,
    )
  const state = await stream.state(to.replication)
  if (state === undefined) return blocker('sync', `subscription ${stream.name} is gone: ${fix}`)
  // Before the subscription itself, whose worker is started again and again and says nothing of it.
  const slot = await readSlot(from.watch, state.slot ?? stream.name)
  if (slot === undefined || slot.walStatus === 'lost') {
    const why =
      slot === undefined
        ? `the slot ${state.slot ?? stream.name} is gone from the ${from.side}`
        : `the ${from.side} has given up the slot ${slot.name} (max_slot_wal_keep_size)`
    return blocker('sync', `${why}, so changes are missing on the ${to.side}: ${fix}`)
  }
  const unready = state.tables.filter((table) => table.state !== 'ready')
  if (!state.isEnabled)
    return blocker('sync', `subscription ${stream.name} is disabled; pontoon sync says why`)
  if (state.workerPid === null && !(await getsWorker(stream, to)))
    return blocker('sync', `subscription ${stream.name} has no worker`)
  return unready.length === 0
    ? ok('sync', `sync from ${from.side} to ${to.side} runs, ${state.tables.length} tables ready`)
    : blocker('sync', `tables not yet synced: ${unready.map(readable).join(', ')}`)
}

/** A forced switch has left the other side, which no sync brings back: partedGuard says what does. */
export async function isParted({ from, to }: SwitchSides): Promise<boolean> {
  const marks = [await readMark(from.watch), await readMark(to.watch)]
  return marks.some((mark) => mark?.parted === to.side)
}

async function getsWorker(stream: Stream, { replication }: SwitchSide): Promise<boolean> {
  const deadlineMs = performance.now() + workerWaitMs
  while (performance.now() < deadlineMs) {
    await wait(workerPollMs)
    const state = await stream.state(replication)
    if (state?.isEnabled !== true) return false
    if (state.workerPid !== null) return true
  }
  return false
}

export async function missedGuard({ context, sides }: GuardParts): Promise<Guard> {
  const missed = await readMissed(sides.from.watch, directionFrom(sides.from.side))
  return missed === null
    ? ok('missed', 'no change was missed by the sync')
    : blocker('missed', missedText(missed, context.service))
}
