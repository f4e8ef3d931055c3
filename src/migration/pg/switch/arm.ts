/**
 * What is made ready before the pause (P2 to P4): the fence, marks and publication of the side
 * that is to take the writes, and a way back for its changes that is proven to work.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { PontoonError } from '../../../shared/errors.ts'
import type { Route } from '../../../routing/route.ts'
import { forgetArrived, travelMs } from '../beats.ts'
import { conninfo } from '../conninfo.ts'
import { controlSchemaSql, readMark, writeMarkSql } from '../control-schema.ts'
import { fence, isFenced } from '../fence.ts'
import { forgetMissed } from '../missed.ts'
import {
  directionFrom,
  probePublicationName,
  probeSubscriptionName,
  publicationName,
  subscriptionName,
} from '../names.ts'
import { ensureProbePublication, ensurePublication, readPublishedTables } from '../publication.ts'
import { qualified, type QualifiedName } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { dropIdleSlot, findOrphanSlots } from '../orphan-slots.ts'
import { createSlot, dropSlot, readSlot } from '../slot.ts'
import { subscribe } from '../subscribe.ts'
import {
  createSubscription,
  dropSubscription,
  enableSubscription,
  refreshSubscription,
  setSubscriptionConnection,
} from '../subscription.ts'
import { readSubscription } from '../subscription-state.ts'
import { explainStopped } from '../sync/health.ts'
import { readTables } from '../tables.ts'
import { carriesTruncate, noteFilesSql } from '../truncations.ts'
import { findStreams, makeStream, type Stream, type StreamMode } from '../stream.ts'
import { fenceSpec, switchTask, type SwitchSide, type SwitchSides } from './switch-sides.ts'

export interface ArmParts {
  readonly context: MigrationContext
  readonly sides: SwitchSides
  readonly mode: StreamMode
  readonly signal: AbortSignal
}

/** Before 16 the launcher starts workers so far apart, in milliseconds. */
const launcherSpacingSql =
  "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_retrieve_retry_interval'"
const launcherMarginMs = 100
const proofTimeoutMs = 15_000
const slotTimeoutMs = 60_000
const workerPollMs = 20

/** P2, and what `pontoon schema` has made already where it was used. */
export async function makeReady({ context, sides, signal }: ArmParts, route: Route): Promise<void> {
  const { from, to } = sides
  for (const { control } of [from, to]) {
    await control.run(controlSchemaSql(), { signal })
    if ((await readMark(control))?.primary !== route.primary)
      await control.query(writeMarkSql({ epoch: route.epoch, primary: route.primary }))
  }
  // What it has to send begins with the switch.
  for (const { control } of [from, to]) await forgetMissed(control, directionFrom(to.side))
  const spec = fenceSpec(context, to.side)
  if (!(await isFenced(to.control))) await fence(to.control, spec, { signal })
  const { service, config } = context
  const tables = await readTables(to.control, config.migration.exclude)
  const direction = directionFrom(to.side)
  const receiverMajor = from.control.major
  await ensurePublication(to.control, { service, direction, tables, receiverMajor })
  // What was truncated while it took the writes before has been carried over since.
  if (!carriesTruncate(to.control.major, receiverMajor)) await to.control.run(noteFilesSql)
}

/** P3: the sync back; null where it is made in the pause. */
export async function armReverse(parts: ArmParts): Promise<Stream | null> {
  const { context, sides, mode } = parts
  const { from, to } = sides
  const direction = directionFrom(to.side)
  const found = await findStreams(from.replication, context.service, direction)
  const newest = mode === 'both' ? found.at(-1) : undefined
  // One that has lost its slot is made anew: what was written until now is on both sides.
  const current = newest !== undefined && (await keepsWal(to, newest)) ? newest : undefined
  for (const stale of found) if (stale !== current) await dropStream(sides, stale)
  if (current === undefined) await forgetArrived(from.control, direction, { signal: parts.signal })
  if (mode === 'turns') {
    await makeProbe(parts)
    return null
  }
  if (current !== undefined) {
    // As it is configured now: nobody else renews it, as pontoon sync does that in force.
    await setSubscriptionConnection(from.replication, current.name, await wayBack(parts, 'sync'))
    const state = await current.state(from.replication)
    if (state?.isEnabled === false) await enableSubscription(from.replication, current.name)
    await takeInNew(parts, current, state?.tables ?? [])
    return current
  }
  const name = subscriptionName(context.service, direction)
  await dropSlot(to.replication, name)
  return await subscribeBack(parts, { name, task: 'sync', hasSlot: true })
}

/**
 * Tables that have come since it was made: what is published to it and it does not know, it passes
 * by. Their rows are on both sides already, and what is written to them from now on travels.
 */
async function takeInNew(
  { context, sides }: ArmParts,
  { name, direction }: Stream,
  known: readonly QualifiedName[],
): Promise<void> {
  const { from, to } = sides
  const publication = publicationName(context.service, direction)
  const published = (await readPublishedTables(to.control, publication)) ?? []
  const names = new Set(known.map(qualified))
  if (published.every((table) => names.has(qualified(table)))) return
  await refreshSubscription(from.replication, name, { copyData: false })
}

async function keepsWal({ watch }: SwitchSide, { slot }: Stream): Promise<boolean> {
  const state = await readSlot(watch, slot)
  return state !== undefined && state.walStatus !== 'lost'
}

/**
 * Makes a subscription of `from` to `to`, which carries nothing but what is written from now on.
 * Rejects as createSubscription().
 */
async function subscribeBack(
  { context, sides }: Pick<ArmParts, 'context' | 'sides'>,
  spec: {
    readonly name: string
    /** `sync`: all tables; `probe`: the markers alone. */
    readonly task: 'sync' | 'probe'
    /** Without a slot it is not switched on either. */
    readonly hasSlot: boolean
  },
): Promise<Stream> {
  const { from, to } = sides
  const { name, task, hasSlot } = spec
  const direction = directionFrom(to.side)
  const publicationOf = task === 'sync' ? publicationName : probePublicationName
  const made = {
    name,
    publications: [publicationOf(context.service, direction)],
    conninfo: await wayBack({ context, sides }, task),
    publisherMajor: to.control.major,
    copyData: false,
    enabled: hasSlot,
  }
  if (hasSlot) await subscribe(to.replication, from.replication, made)
  else await createSubscription(from.replication, made)
  return makeStream(direction, name, name)
}

function wayBack(
  { context, sides }: Pick<ArmParts, 'context' | 'sides'>,
  task: 'sync' | 'probe',
): Promise<string> {
  const { from, to } = sides
  return conninfo(context, to.side, {
    task: `${task} ${directionFrom(to.side)}`,
    subscriberMajor: from.replication.major,
  })
}

/**
 * Where the sync is turned round in the pause: the subscription that begins there, so that neither
 * its login nor its list of tables are waited for. Its slot cannot be made yet, since that one is
 * not to send what the old side is still sending here.
 */
export async function subscribeAhead(parts: ArmParts, epoch: number): Promise<Stream> {
  const { context, sides } = parts
  const name = subscriptionName(context.service, directionFrom(sides.to.side), epoch)
  return await subscribeBack(parts, { name, task: 'sync', hasSlot: false })
}

/**
 * P4: a row of the new side has come to the old one. Leaves no probe behind, however it ends. Gives
 * how long that took, where the sync is turned round with all that the pause does for it.
 */
export async function proveReverse(parts: ArmParts): Promise<number> {
  const { context, sides, mode, signal } = parts
  const { from, to } = sides
  const direction = directionFrom(to.side)
  const beganMs = performance.now()
  let arrivedMs = 0
  if (mode === 'turns') await giveProbeSlot(parts)
  try {
    if (mode === 'turns')
      await enableSubscription(from.replication, probeSubscriptionName(context.service, direction))
    await travelMs(to.control, from.control, direction, {
      timeoutMs: proofTimeoutMs,
      signal,
    })
    // The worker that brought it was started before; the launcher counts from then.
    arrivedMs = performance.now()
  } catch (error) {
    if (!(error instanceof PontoonError) || error.code !== 'SYNC_BEHIND') throw error
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `the way back does not work: a row of ${to.side} has not come to ${from.side} within ` +
        `${proofTimeoutMs} ms${await whyNoRow(parts)}. The log of ${from.side} says why its ` +
        `subscription does not reach ${to.side} (address, pg_hba.conf, TLS, password of replicationUser)`,
      { cause: error },
    )
  } finally {
    if (mode === 'turns') await dropProbe(context, sides)
  }
  const tookMs = arrivedMs - beganMs
  if (mode === 'both' || from.control.major > 15) return tookMs
  const spacingMs = Number(await from.control.value(launcherSpacingSql)) + launcherMarginMs
  const spentMs = performance.now() - arrivedMs
  await delay(Math.max(0, spacingMs - spentMs), undefined, { signal })
  return tookMs
}

/**
 * The slot waits for all transactions that are open on the new side. Who gives that up has lost the
 * connection, and the slot may be there by then: another connection takes it away.
 */
async function giveProbeSlot(parts: ArmParts): Promise<void> {
  const { context, sides, signal } = parts
  const { from, to } = sides
  const name = probeSubscriptionName(context.service, directionFrom(to.side))
  try {
    await createSlot(to.replication, name, { timeoutMs: slotTimeoutMs, signal })
  } catch (error) {
    // The first error tells more; the next switch drops what is left.
    await dropSubscription(from.replication, name, { keepSlot: true }).catch(() => undefined)
    await dropSlotAnew(parts, name).catch(() => undefined)
    throw error
  }
}

async function dropSlotAnew({ context, sides }: ArmParts, name: string): Promise<void> {
  const { side } = sides.to
  const client = await connectAs(context, { side, purpose: 'replication', task: switchTask })
  try {
    await dropSlot(client, name)
  } finally {
    client.close()
  }
}

/** What the receiving server tells of it, which is little where Pontoon may not read its log. */
async function whyNoRow({ context, sides, mode }: ArmParts): Promise<string> {
  const { from, to } = sides
  const direction = directionFrom(to.side)
  const nameOf = mode === 'turns' ? probeSubscriptionName : subscriptionName
  const state = await readSubscription(from.replication, nameOf(context.service, direction))
  if (state === undefined || state.workerPid !== null) return ''
  const place = { service: context.service, direction, sender: to.watch, receiver: from.watch }
  const stopped = await explainStopped(place, state)
  return stopped === null ? '' : `: ${stopped.cause}`
}

/** How long sync takes; settles once it was fast enough three times in a row. */
export async function awaitLowLag(
  { context, sides, signal }: ArmParts,
  waitMs: number,
): Promise<number> {
  const { from, to } = sides
  const { lagMaxMs } = context.config.migration
  const direction = directionFrom(from.side)
  const deadlineMs = performance.now() + waitMs
  let good = 0
  for (;;) {
    const tookMs = await travelMs(from.control, to.control, direction, {
      timeoutMs: waitMs,
      signal,
    })
    good = tookMs <= lagMaxMs ? good + 1 : 0
    if (good === 3) return tookMs
    if (performance.now() > deadlineMs)
      throw new PontoonError(
        'MIGRATION_REFUSED',
        `sync takes ${Math.round(tookMs)} ms to carry a row over, migration.lagMaxMs allows ` +
          `${lagMaxMs}: wait until it has caught up`,
      )
    await delay(workerPollMs, undefined, { signal })
  }
}

/** The subscription where it is received and its slot where it is sent from. */
export async function dropStream({ from, to }: SwitchSides, stream: Stream): Promise<void> {
  const toward = stream.direction === directionFrom(from.side) ? to : from
  const sender = toward === to ? from : to
  // One that was made ahead has no slot: both servers would log that as an error.
  const hasSlot =
    stream.slot !== '' && (await readSlot(sender.replication, stream.slot)) !== undefined
  const dropped = await dropSubscription(toward.replication, stream.name, { keepSlot: !hasSlot })
  const isSlotLeft = hasSlot && (!dropped.existed || dropped.slotLeft !== null)
  if (isSlotLeft) await dropSlot(sender.replication, stream.slot)
}

/**
 * Slots of the changes that leave `sender` which no subscription of `receiver` uses: what ends
 * between the two that make a stream leaves one, and it would keep WAL for ever.
 */
export async function dropOrphanSlots(
  service: string,
  sender: SwitchSide,
  receiver: SwitchSide,
): Promise<void> {
  const place = { service, direction: directionFrom(sender.side) }
  for (const slot of await findOrphanSlots(sender.replication, receiver.replication, place))
    await dropIdleSlot(sender.replication, slot)
}

async function dropProbe({ service }: MigrationContext, sides: SwitchSides): Promise<void> {
  const direction = directionFrom(sides.to.side)
  const name = probeSubscriptionName(service, direction)
  await dropStream(sides, makeStream(direction, name, name))
}

/**
 * A subscription of the heartbeat alone: proves network, TLS, pg_hba.conf and password. As that of the
 * way back it is made without a slot, which comes with the proof.
 */
async function makeProbe(parts: ArmParts): Promise<void> {
  const { context, sides } = parts
  const { from, to } = sides
  const { service } = context
  const direction = directionFrom(to.side)
  const receiverMajor = from.replication.major
  await ensureProbePublication(to.control, { service, direction, receiverMajor })
  await dropProbe(context, sides)
  const name = probeSubscriptionName(service, direction)
  await subscribeBack(parts, { name, task: 'probe', hasSlot: false })
}
