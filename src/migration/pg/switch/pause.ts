/**
 * The steps in the pause, each against the databases only (C3 to C8). The engine (switch.ts) runs
 * them in order; whatever rejects here leads to the undo.
 */
import type { RestingBackend } from '../../../net/pg/held-backends.ts'
import type { SqlOptions } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { awaitMarker, sendMarker, type Marker } from '../beats.ts'
import { catalogStamp } from '../catalog-stamp.ts'
import { endOthers, fenceHoles, fenceSql, type FencePrior, type FenceSpec } from '../fence.ts'
import { directionFrom, publicationName } from '../names.ts'
import { readable } from '../quote.ts'
import { readPublishedTables } from '../publication.ts'
import type { MigrationContext } from '../side-login.ts'
import { createSlot } from '../slot.ts'
import { disableSubscription, enableSubscription, terminateApplyWorker } from '../subscription.ts'
import { readSequences, readTables, type Sequence, type Table } from '../tables.ts'
import { truncatedTables, truncatedText } from '../truncations.ts'
import type { Stream } from '../stream.ts'
import type { SwitchSides } from './switch-sides.ts'

/** What was read before the pause, so that the pause need not. */
export interface PausePlan {
  readonly context: MigrationContext
  readonly sides: SwitchSides
  readonly fence: FenceSpec
  readonly prior: FencePrior
  readonly tables: readonly Table[]
  readonly sequences: readonly Sequence[]
  /** Of the catalogues of the old side, from before these were read. */
  readonly stamp: string
  readonly stream: Stream
  /** apply_error_count of the stream before; null before 15. */
  readonly errors: number | null
}

export interface PauseOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * C3. `resting` are servers of ours that the shut gate keeps everybody from: they need not end
 * before the pause goes on, and are there for their clients at once when it is undone.
 */
export async function fenceOldSide(
  plan: PausePlan,
  options: PauseOptions,
  resting: readonly RestingBackend[] = [],
): Promise<void> {
  const { control } = plan.sides.from
  await control.run(fenceSql(plan.fence, plan.prior), options)
  await endOthers(control, plan.fence, options, resting)
}

/** DDL may have slipped in since the guards looked; runs beside the other steps. */
export async function checkAgain(plan: PausePlan, options: PauseOptions): Promise<void> {
  const { watch } = plan.sides.from
  const holes = await fenceHoles(watch, plan.fence, options)
  if (holes.length > 0)
    throw new PontoonError('MIGRATION_REFUSED', `roles pass the fence: ${holes.join(', ')}`)
  const truncated = await truncatedTables(watch, plan.sides.to.watch.major, options)
  if (truncated.length > 0)
    throw new PontoonError('MIGRATION_REFUSED', truncatedText(truncated, plan.context.service))
  if ((await catalogStamp(watch, options)) !== plan.stamp) await checkTables(plan, options)
}

/** That tables and sequences are still those of the plan, and that all changes of them travel. */
export async function checkTables(plan: PausePlan, options: SqlOptions): Promise<void> {
  const { watch } = plan.sides.from
  const { exclude } = plan.context.config.migration
  const tables = await readTables(watch, exclude, options)
  const sequences = await readSequences(watch, exclude, options)
  const name = publicationName(plan.context.service, plan.stream.direction)
  const published = (await readPublishedTables(watch, name, options)) ?? []
  const members = new Set(published.map(readable))
  const unpublished = tables.filter(
    (table) => table.kind === 'table' && !table.isUnlogged && !members.has(readable(table)),
  )
  if (shapeOf(tables, sequences) !== shapeOf(plan.tables, plan.sequences))
    throw new PontoonError('MIGRATION_REFUSED', 'tables or sequences were changed since the check')
  if (unpublished.length > 0)
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `not in publication ${name} any more: ${unpublished.map(readable).join(', ')}`,
    )
}

/** C4: after this row, nothing of the old side's application is in its log. */
export async function sendFenceRow(plan: PausePlan, options: PauseOptions): Promise<Marker> {
  return await sendMarker(plan.sides.from.control, plan.stream.direction, 'fence', options)
}

/**
 * C5. Seeing the row is not enough: the apply worker commits asynchronously, and a crash would lose
 * what it has not flushed. One commit that waits for its flush takes all earlier ones along. It is
 * the probe of the way back as well, and is given back.
 */
export async function awaitApplied(
  plan: PausePlan,
  fenceRow: Marker,
  options: PauseOptions,
): Promise<Marker> {
  const { from, to } = plan.sides
  await awaitMarker(to.control, fenceRow, options)
  const probe = await sendMarker(to.control, directionFrom(to.side), 'probe', options)
  const state = await plan.stream.state(to.watch, options)
  if ((state?.errors?.apply ?? null) !== plan.errors)
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `sync from ${from.side} to ${to.side} has met an error`,
    )
  return probe
}

/** C7, where only one direction may run at a time: the old one stops, the new one begins here. */
export async function turnRound(
  { sides, stream }: Pick<PausePlan, 'sides' | 'stream'>,
  ahead: Stream,
  options: PauseOptions,
): Promise<void> {
  const { from, to } = sides
  await disableSubscription(to.replication, stream.name, options)
  await terminateApplyWorker(to.replication, stream.name, options)
  await createSlot(to.replication, ahead.slot, options)
  await enableSubscription(from.replication, ahead.name, options)
}

const roundTripMs = 1_000

/** C8: hard gate. A row that was written behind everything else has come back. */
export async function proveBack(
  { sides }: Pick<PausePlan, 'sides'>,
  back: Stream,
  sent: Marker | null,
  { signal }: PauseOptions,
): Promise<void> {
  const { from, to } = sides
  const options = { timeoutMs: roundTripMs, signal }
  const marker = sent ?? (await sendMarker(to.control, back.direction, 'probe', options))
  await awaitMarker(from.control, marker, options)
  const state = await back.state(from.watch, options)
  if (state?.isEnabled !== true || state.workerPid === null)
    throw new PontoonError('MIGRATION_REFUSED', `the sync back (${back.name}) does not run`)
}

/** All that tells of a table or sequence but what changes by itself. */
function shapeOf(tables: readonly Table[], sequences: readonly Sequence[]): string {
  return JSON.stringify(
    [tables.map((table) => ({ ...table, bytes: 0, rows: 0 })), sequences],
    (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
  )
}
