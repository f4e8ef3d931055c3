/**
 * What follows a decision of the store, to the end and as often as it takes: `carryOut` after the
 * commit point, `undo` after an abort. Both begin from what the databases say and not from memory,
 * so the process that took the decision and one that starts after its death do the same.
 *
 * Only here the gate opens again. A database that is down is waited for while the gate is shut;
 * after `gateHeldMsMax` the gate opens all the same, so that clients get errors instead of waiting,
 * and the work goes on behind it. The old side is fenced as long as it is not known to be the one
 * that takes the writes, so nobody writes to the wrong one meanwhile.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Route } from '../../../routing/route.ts'
import { assert } from '../../../shared/assert.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import type { Log } from '../../../shared/log.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import type { RouteStore } from '../../../store/route-store.ts'
import { isPending, type SwitchRecord } from '../../../store/switch-record.ts'
import { writeMarkSql } from '../control-schema.ts'
import { unfence, unfenceSql } from '../fence.ts'
import { directionFrom } from '../names.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { enableSubscription } from '../subscription.ts'
import { dropOrphanSlots, dropStream } from './arm.ts'
import { endEarlier } from './earlier.ts'
import { lockSwitch } from './lock.ts'
import type { HeldGate, Participant } from './model.ts'
import type { StepLog } from './step-log.ts'
import { findStreams, streamMode } from '../stream.ts'
import { fenceSpec, openSides, switchTask, type SwitchSides } from './switch-sides.ts'

export interface SwitchContext extends MigrationContext {
  readonly store: RouteStore
  readonly participant: Participant
  readonly log: Log
  /** Ends retries when the process stops, or a forced switch takes the place of this one. */
  readonly stopping: AbortSignal
}

type Retrying = Pick<SwitchContext, 'store' | 'service' | 'stopping' | 'log'>

/** How long clients may wait for a database that is down before they are told so. */
export const gateHeldMsMax = 15_000
const warmMs = 1_000
const retryFirstMs = 50
const retryMsMax = 2_000
const forEver = Number.POSITIVE_INFINITY
/** Of each statement of them; one that hangs is tried on another connection. */
const statementMs = 5_000
/** The end of a switch does not wait longer for what may also be done later. */
const settleMsMax = 60_000
const laterMs = 10_000

export interface Decided {
  readonly record: SwitchRecord
  readonly gate: HeldGate
  readonly steps: StepLog
}

/** The record says `committed`: forward only. */
export async function carryOut(
  context: SwitchContext,
  { record, gate, steps }: Decided,
  route: Route,
  /** A connection to the new side that is open already. */
  open?: SqlClient,
): Promise<void> {
  await openNewSide(context, { record, gate, steps }, route, '', open)
  await steps.run('cleanup', () => endSettled(context, record, record.to))
}

/** Unfences and marks the side that the writes go to, then opens the gate. */
export async function openNewSide(
  context: SwitchContext,
  { record, gate, steps }: Decided,
  route: Route,
  /** SQL that is run in one transaction behind the mark. */
  alsoSql: string,
  open?: SqlClient,
): Promise<void> {
  const { participant } = context
  const mark = { epoch: route.epoch, primary: route.primary }
  const letOn = (): void => {
    // Whoever is let on early meets the new side, not the fence of the old one.
    participant.applyRoute(route)
    gate.release({ gradually: true })
  }
  await steps.run('unfence', () =>
    withGateHeld(context, letOn, async () => {
      await onSide(context, record.to, open, async (client) => {
        const sql = await unfenceSql(client, fenceSpec(context, record.to), {
          timeoutMs: statementMs,
        })
        const all = [writeMarkSql(mark), alsoSql, sql ?? ''].filter((one) => one !== '')
        await client.run(all.join(';\n'), { timeoutMs: statementMs })
      })
    }),
  )
  await steps.run('open', async () => {
    participant.applyRoute(route)
    // Those who waited longest take the first servers that are up; nobody waits for the last one.
    const warming = participant.warm(record.to, warmMs)
    gate.release({ gradually: true, settlesDoubt: true })
    await warming
  })
}

/** The record says `aborting`: everything as it was. */
export async function undo(
  context: SwitchContext,
  { record, gate, steps }: Decided,
): Promise<void> {
  const letOn = (): void => gate.release({ gradually: true })
  await steps.run('undo', async () => {
    await withGateHeld(context, letOn, async () => {
      await writeAbort(context, record.id)
      await onSide(context, record.from, undefined, (client) =>
        unfence(client, fenceSpec(context, record.from), { timeoutMs: statementMs }),
      )
    })
    letOn()
    await endSettled(context, record, record.from)
  })
}

/** Nothing of it is left to do. Until it is written no other one can begin. */
export async function forgetSwitch(context: Retrying, id: string): Promise<void> {
  const { store, service } = context
  await retried(context, forEver, 'the end of the switch is written', async () => {
    // A write that fails after its rename is there all the same.
    if (isPending(store.switchOf(service), id)) await store.endSwitch(service, id)
  })
}

/**
 * `started → aborting`; false when the commit was first. A store that cannot be written does not
 * keep clients waiting for ever: after `gateHeldMsMax` the undo begins without that, since the
 * record says `started` still and only the switch that has just failed could have committed it.
 */
export async function decideAbort(context: SwitchContext, id: string): Promise<boolean> {
  const { store, service, log } = context
  try {
    await retried(context, gateHeldMsMax, 'the abort of the switch is written', async () => {
      if (store.switchOf(service)?.state !== 'committed') await store.abortSwitch(service, id)
    })
  } catch (thrown) {
    if (context.stopping.aborted || store.switchOf(service)?.state !== 'started') throw thrown
    const { code, message } = toPontoonError(thrown)
    log.error({ service, code }, `undone although the store cannot be written: ${message}`)
  }
  return store.switchOf(service)?.state !== 'committed'
}

/**
 * Where the store could not be written when the abort was decided: only a decided switch may be
 * followed by a forced one, which the operator needs when the side never comes back.
 */
async function writeAbort({ store, service }: SwitchContext, id: string): Promise<void> {
  const record = store.switchOf(service)
  if (record?.id !== id || record.state !== 'started') return
  // As before it is undone all the same.
  await store.abortSwitch(service, id).catch(() => undefined)
}

/** Runs it until it succeeds or the process stops; clients are let on meanwhile when that takes too long. */
export async function withGateHeld(
  context: SwitchContext,
  letOn: () => void,
  work: () => Promise<void>,
): Promise<void> {
  await lettingOn(context, letOn, () => retried(context, forEver, 'a step of the switch', work))
}

/** Runs it once, and lets clients on meanwhile when they have waited too long. */
export async function lettingOn(
  { log, service }: SwitchContext,
  letOn: () => void,
  work: () => Promise<void>,
  /** How long they have waited already. */
  waitedMs = 0,
): Promise<void> {
  const timer = setTimeout(
    () => {
      log.error(
        { service },
        'a database or the state file is out of reach in the middle of a switch; waiting clients are let on and get errors (docs/runbooks.md, PontoonPausedLong)',
      )
      letOn()
    },
    Math.max(0, gateHeldMsMax - waitedMs),
  )
  try {
    await work()
  } finally {
    clearTimeout(timer)
  }
}

/** The other side hears who takes the writes, sync is put straight; that may also be done later. */
async function endSettled(
  context: SwitchContext,
  record: SwitchRecord,
  primary: Side,
): Promise<void> {
  const { service, stopping, log } = context
  const settle = async (): Promise<void> => {
    const sides = await openSides(context, primary, otherSide(primary))
    try {
      await settleSides(context, sides)
    } finally {
      sides.close()
    }
  }
  let isSettled = true
  try {
    await retried(context, settleMsMax, 'the end of a switch', settle)
  } catch (error) {
    // The next process is to find the record and go on.
    if (stopping.aborted) throw error
    const { code, message } = toPontoonError(error)
    log.warn({ service, code }, `marks and sync are not yet as they are to be: ${message}`)
    isSettled = false
  }
  await forgetSwitch(context, record.id)
  if (!isSettled) void settleLater(context, primary)
}

/**
 * Behind an ended switch, for a database that was away too long; nobody else would make sync run
 * again. The lock keeps it out of any later switch, which does the same itself.
 */
async function settleLater(context: SwitchContext, primary: Side): Promise<void> {
  const { store, service, stopping, log } = context
  const isCurrent = (): boolean => store.get(service)?.primary === primary
  while (!stopping.aborted && isCurrent()) {
    try {
      await delay(laterMs, undefined, { signal: stopping })
      const sides = await openSides(context, primary, otherSide(primary))
      try {
        await lockSwitch(sides, stopping)
        if (!isCurrent() || store.switchOf(service) !== undefined) continue
        await settleSides(context, sides)
      } finally {
        sides.close()
      }
      log.warn({ service }, 'marks and sync are as they are to be after the last switch')
      return
    } catch {
      // Still away, or a switch has the lock: it was said that this is not so yet.
    }
  }
}

async function settleSides(context: SwitchContext, sides: SwitchSides): Promise<void> {
  const route = context.store.get(context.service)
  assert(route?.primary === sides.from.side, 'only a switch that was decided is settled')
  const mark = { epoch: route.epoch, primary: route.primary }
  await sides.to.control.run(writeMarkSql(mark), { timeoutMs: statementMs })
  await straighten(context, sides)
}

export async function retried(
  { stopping, log, service }: Retrying,
  forMs: number,
  what: string,
  work: () => Promise<void>,
): Promise<void> {
  const deadlineMs = performance.now() + forMs
  for (let waitMs = retryFirstMs; ; waitMs = Math.min(retryMsMax, waitMs * 2)) {
    try {
      await work()
      return
    } catch (thrown) {
      const { code, message } = toPontoonError(thrown)
      if (stopping.aborted || performance.now() > deadlineMs) throw thrown
      log.warn({ service, code }, `${what} is tried again: ${message}`)
    }
    await delay(waitMs, undefined, { signal: stopping })
  }
}

async function onSide(
  context: SwitchContext,
  side: Side,
  open: SqlClient | undefined,
  work: (client: SqlClient) => Promise<void>,
): Promise<void> {
  if (open?.isOpen === true) {
    await work(open)
    return
  }
  const client = await connectAs(context, { side, purpose: 'control', task: switchTask })
  try {
    await endEarlier(client)
    await work(client)
  } finally {
    client.close()
  }
}

/**
 * Where only one direction may run: no sync back, and the one from the side that takes the writes
 * runs. Also before a switch, since the one before it may have ended without that.
 */
export async function straighten(context: MigrationContext, sides: SwitchSides): Promise<void> {
  const { from, to } = sides
  if (streamMode(from.control, to.control) === 'both') return
  for (const { control, watch, replication } of [from, to])
    await endEarlier(replication, [control.pid, watch.pid])
  const backward = await findStreams(from.replication, context.service, directionFrom(to.side))
  for (const stream of backward) await dropStream(sides, stream)
  await dropOrphanSlots(context.service, to, from)
  const forward = await findStreams(to.replication, context.service, directionFrom(from.side))
  const forth = forward.at(-1)
  if (forth === undefined) return
  const state = await forth.state(to.replication)
  if (state?.isEnabled === false) await enableSubscription(to.replication, forth.name)
}

/**
 * What a switch has made ahead that has not come to its pause. On connections of its own: those that
 * it had may be closed, and with them its lock.
 */
export async function takeBack(context: SwitchContext, primary: Side): Promise<void> {
  const { store, service } = context
  const sides = await openSides(context, primary, otherSide(primary))
  try {
    await lockSwitch(sides, new AbortController().signal)
    // Behind a commit the same subscription is the way back.
    if (store.get(service)?.primary !== primary || store.switchOf(service) !== undefined) return
    await straighten(context, sides)
  } finally {
    sides.close()
  }
}

/** At the start of a process: finishes what an earlier one has begun. */
export async function recover(
  context: SwitchContext,
  decided: Decided,
): Promise<'done' | 'aborted'> {
  const { store, service, log } = context
  const { record } = decided
  log.warn({ service, switch: record }, `a ${record.kind} was interrupted and is finished now`)
  const route = store.get(service)
  if (record.state === 'committed' && route !== undefined) {
    await carryOut(context, decided, route)
    return 'done'
  }
  await decideAbort(context, record.id)
  await undo(context, decided)
  return 'aborted'
}
