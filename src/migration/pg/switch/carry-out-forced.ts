/**
 * What follows the commit of a forced switch, to the end and as often as it takes, as carry-out.ts
 * does it for others: from what the database says, so that the next process does the same. Only the
 * side that is there is asked. The lost one is told when it comes back, by tell-left-side.ts.
 */
import type { Route } from '../../../routing/route.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { detach } from '../attached.ts'
import { ensurePartedColumn, writePartedSql } from '../control-schema.ts'
import { raiseSequences } from '../lost-sequences.ts'
import { directionFrom } from '../names.ts'
import { ensurePublication } from '../publication.ts'
import { readTables } from '../tables.ts'
import {
  forgetSwitch,
  openNewSide,
  lettingOn,
  retried,
  type Decided,
  type SwitchContext,
} from './carry-out.ts'
import { endEarlier } from './earlier.ts'
import { closeSide, openSide, type SwitchSide } from './switch-sides.ts'

export interface CarryOutOptions {
  /** Connections to the side that is there, as long as they last. */
  readonly open?: SwitchSide
  /** How long clients have waited for the commit. */
  readonly waitedMs?: number
}

export async function carryOutForced(
  context: SwitchContext,
  decided: Decided,
  route: Route,
  { open, waitedMs = 0 }: CarryOutOptions = {},
): Promise<void> {
  const { participant } = context
  const { record, gate, steps } = decided
  const letOn = (): void => {
    participant.applyRoute(route)
    gate.release({ gradually: true })
  }
  // All steps together: one that takes long does not begin the waiting of clients anew.
  await lettingOn(context, letOn, () => untilOpen(context, decided, route, open), waitedMs)
  await steps.run('cleanup', async () => {
    await publish(context, record.to, open)
    await forgetSwitch(context, record.id)
  })
}

async function untilOpen(
  context: SwitchContext,
  decided: Decided,
  route: Route,
  open: SwitchSide | undefined,
): Promise<void> {
  const { config, service, log } = context
  const { record, steps } = decided
  const onNewSide = (work: (side: SwitchSide) => Promise<void>): Promise<void> =>
    retried(context, Number.POSITIVE_INFINITY, 'a step of the switch', () =>
      onSide(context, record.to, open, work),
    )
  await steps.run('detach', () => onNewSide((side) => detach(service, side)))
  await steps.run('sequences', () =>
    onNewSide(async ({ control, watch }) => {
      await ensurePartedColumn(control)
      const unseen = await raiseSequences(control, watch, config.migration.exclude)
      if (unseen.length > 0)
        log.warn(
          { service, tables: unseen },
          'their rows are on another server that does not show them, so their sequences may give values again',
        )
    }),
  )
  const isOpen = open?.control.isOpen === true
  await openNewSide(
    context,
    decided,
    route,
    writePartedSql(record.from),
    isOpen ? open.control : undefined,
  )
}

/**
 * At the start of a process, as recover(): what was not committed is taken back, and what it had
 * taken the place of is in the store again.
 */
export async function recoverForced(
  context: SwitchContext,
  decided: Decided,
): Promise<'done' | 'aborted'> {
  const { store, service, log } = context
  const { record, gate } = decided
  log.warn({ service, switch: record }, `a forced ${record.kind} was interrupted`)
  const route = store.get(service)
  if (record.state === 'committed' && route !== undefined) {
    await carryOutForced(context, decided, route)
    return 'done'
  }
  const letOn = (): void => gate.release({ gradually: true })
  await lettingOn(context, letOn, () =>
    retried(
      context,
      Number.POSITIVE_INFINITY,
      'the end of a forced switch is written',
      async () => {
        // A write that fails after its rename is there all the same.
        if (store.switchOf(service)?.id === record.id)
          await store.withdrawForced(service, record.id)
      },
    ),
  )
  if (record.over === null) letOn()
  return 'aborted'
}

/** For `pontoon status`, which follows a direction that is published. */
async function publish(
  context: SwitchContext,
  side: SwitchSide['side'],
  open: SwitchSide | undefined,
): Promise<void> {
  const { service, config, log } = context
  try {
    await onSide(context, side, open, async ({ control }) => {
      const tables = await readTables(control, config.migration.exclude)
      const direction = directionFrom(side)
      await ensurePublication(control, { service, direction, tables, receiverMajor: control.major })
    })
  } catch (error) {
    const { code, message } = toPontoonError(error)
    log.warn({ service, code }, `the ${side} publishes nothing yet: ${message}`)
  }
}

async function onSide(
  context: SwitchContext,
  name: SwitchSide['side'],
  open: SwitchSide | undefined,
  work: (side: SwitchSide) => Promise<void>,
): Promise<void> {
  const isOpen = open?.control.isOpen === true && open.replication.isOpen && open.watch.isOpen
  if (isOpen) {
    await work(open)
    return
  }
  const side = await openSide(context, name)
  try {
    const ours = [side.control.pid, side.watch.pid, side.replication.pid]
    for (const client of [side.control, side.replication]) await endEarlier(client, ours)
    await work(side)
  } finally {
    closeSide(side)
  }
}
