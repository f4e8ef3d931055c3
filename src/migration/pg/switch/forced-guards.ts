/**
 * The conditions of a forced switch: the side that is left cannot be reached, the side to go to has
 * had all of its data, and the operator hears what may be lost. One side alone tells all of it.
 */
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { wait } from '../../../shared/wait.ts'
import type { SwitchRecord } from '../../../store/switch-record.ts'
import type { Route } from '../../../routing/route.ts'
import { readMark } from '../control-schema.ts'
import { isFenced } from '../fence.ts'
import { afterwardsOf } from '../left-side-words.ts'
import {
  foreignPlaces,
  freeSequences,
  sequencesOutOfReach,
  unindexedColumns,
} from '../lost-sequences.ts'
import { readMissed } from '../missed.ts'
import { directionFrom, heartbeatTable } from '../names.ts'
import { qualified, readable } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { ownSubscriptionsSql } from '../subscription.ts'
import type { SubscriptionState } from '../subscription-state.ts'
import { readTables } from '../tables.ts'
import { blocker, ok, warning, type Guard } from './model.ts'
import { findStreams, type Stream } from '../stream.ts'
import { switchTask, type SwitchSide } from './switch-sides.ts'

export interface ForcedGuardParts {
  readonly context: MigrationContext
  /** Where the writes are to go. */
  readonly side: SwitchSide
  /** As the store has it; it names the lost side as primary. */
  readonly route: Route
  /** The switch that cannot be carried out without the lost side. */
  readonly pending: SwitchRecord | null
  /** Of a pending switch that is committed: this process has seen that its new side never opened. */
  readonly neverOpened: boolean
  readonly signal: AbortSignal
}

/** A side that restarts, or a network that is mended, is to show within all attempts together. */
const attempts = 4
const betweenMs = 1_000
const statementMs = 10_000

export async function checkForced(parts: ForcedGuardParts): Promise<readonly Guard[]> {
  const { context, side, route, pending } = parts
  const streams = await findStreams(side.replication, context.service, directionFrom(route.primary))
  const stream = streams.at(-1) ?? null
  const before = await lastHeard(side, stream)
  const [marks, lost] = await Promise.all([marksGuard(parts), lostGuard(parts)])
  const state = await stream?.state(side.watch)
  return [
    marks,
    await standbyGuard(side),
    lost,
    hearsGuard(parts, before, await lastHeard(side, stream)),
    completeGuard(parts, state),
    ...(await unsyncedGuard(parts, state)),
    await lossGuard(parts, state),
    ...(await missedGuard(parts)),
    await sequencesGuard(parts),
    await searchGuard(parts),
    ...(await foreignGuard(parts)),
    warning('afterwards', afterwardsOf(route.primary)),
    ...(pending === null ? [] : [pendingGuard(pending)]),
  ]
}

/** One more look, without patience: a side that is back meanwhile is not to be left. */
export async function answerOf(context: MigrationContext, side: Side): Promise<string | null> {
  try {
    const client = await connectAs(context, { side, purpose: 'control', task: switchTask })
    const { serverVersion } = client
    client.close()
    return `PostgreSQL ${serverVersion} lets us in`
  } catch (thrown) {
    return isSilence(thrown) ? null : toPontoonError(thrown).message
  }
}

const silence: ReadonlySet<string> = new Set(['CONNECT_FAILED', 'CONNECT_TIMEOUT', 'DNS_FAILED'])

/** Whatever else a login meets was said by somebody. */
export function isSilence(thrown: unknown): boolean {
  return silence.has(toPontoonError(thrown).code)
}

async function lostGuard({ context, route, signal }: ForcedGuardParts): Promise<Guard> {
  const side = route.primary
  const beganMs = performance.now()
  for (let attempt = 1; ; attempt += 1) {
    const answer = await answerOf(context, side)
    if (answer !== null)
      return blocker(
        'lost',
        `the ${side} answers (${answer}): a switch is forced only while it cannot be reached; ` +
          `mend it, or make the ordinary switch`,
      )
    if (attempt === attempts) break
    await wait(betweenMs, signal)
  }
  const tookMs = Math.round(performance.now() - beganMs)
  return warning(
    'lost',
    `the ${side} has not answered this sidecar ${attempts} times in ${tookMs} ms. If it lives all the ` +
      'same, others may be writing there, and that stays behind: try it from another host, and shut ' +
      'it off first',
  )
}

async function marksGuard({ side, route, pending }: ForcedGuardParts): Promise<Guard> {
  const mark = await readMark(side.control)
  if (mark === undefined)
    return blocker('marks', `the ${side.side} has no mark: pontoon schema has not been there`)
  const isLater =
    mark.epoch > route.epoch || (mark.epoch === route.epoch && mark.primary !== route.primary)
  if (isLater)
    return blocker(
      'marks',
      `which side takes the writes is in doubt: the ${side.side} says ${mark.primary} since epoch ` +
        `${mark.epoch}, the route says ${route.primary} in epoch ${route.epoch}`,
    )
  if (mark.parted === side.side)
    return blocker('marks', `the ${side.side} was left by a forced switch before: it is no copy`)
  // A switch fences before it moves the writes away, whatever has kept the mark from coming.
  const isUntold = mark.epoch < route.epoch && mark.primary === side.side
  if (isUntold && pending === null && !(await isFenced(side.control)))
    return blocker(
      'marks',
      `the ${side.side} has no fence and does not know that the ${route.primary} takes the writes ` +
        `since epoch ${route.epoch}: it was left by a forced switch, or is of a backup, and no copy`,
    )
  return ok('marks', `the ${side.side} knows of no later epoch than ${route.epoch}`)
}

/** Beside what the last heartbeat tells: it has come by the sync that was made anew. */
async function missedGuard({ side, route }: ForcedGuardParts): Promise<readonly Guard[]> {
  const missed = await readMissed(side.watch, directionFrom(route.primary))
  if (missed === null) return []
  const { since, isGivenUp } = missed
  if (isGivenUp) return [blocker('missed', givenUpText(since))]
  const text =
    `its sync was made anew at ${since}: what the lost slot had still to send is missing on the ` +
    `${side.side}, since no pontoon verify --repair has brought it`
  return [warning('missed', text)]
}

/** Who asks for a forced rollback has lost the only side that has everything. */
function givenUpText(since: string): string {
  return (
    `the way back was given up at ${since} by pontoon sync --drop --no-rollback: the source has ` +
    'nothing that was written on the target since then. Bring the target back, or restore it from ' +
    'a backup; where the old rows are better than nothing: docs/runbooks.md, "The primary is lost", 9'
  )
}

async function standbyGuard({ side, watch }: SwitchSide): Promise<Guard> {
  return (await watch.value('SELECT pg_catalog.pg_is_in_recovery()')) === 'f'
    ? ok('standby', `the ${side} takes writes`)
    : blocker('standby', `the ${side} is a standby: promote it first`)
}

interface Heard {
  readonly pid: string
  readonly at: string
}

async function lastHeard({ watch }: SwitchSide, stream: Stream | null): Promise<Heard | null> {
  if (stream === null) return null
  const { rows } = await watch.query(
    `SELECT w.pid, w.last_msg_receipt_time FROM pg_catalog.pg_stat_subscription w
     WHERE w.subname = $1 AND w.subid IN (${ownSubscriptionsSql(watch.major)}) AND w.relid IS NULL
       AND pg_catalog.to_jsonb(w)->>'leader_pid' IS NULL`,
    [stream.name],
  )
  const [pid, at] = rows[0] ?? []
  return typeof pid === 'string' && typeof at === 'string' ? { pid, at } : null
}

/** A primary that only we cannot reach still sends. A worker counts its own start as a message. */
function hearsGuard(
  { side, route }: ForcedGuardParts,
  before: Heard | null,
  after: Heard | null,
): Guard {
  const lost = route.primary
  if (after === null || after.pid !== before?.pid)
    return ok('silent', `no replication from the ${lost} to the ${side.side} holds`)
  return after.at === before.at
    ? warning(
        'silent',
        `the replication from the ${lost} to the ${side.side} is not broken off, and has heard nothing ` +
          `since ${after.at}: one that lives answers within half of wal_receiver_timeout (30 s by ` +
          'default), so ask again then to be sure that it does not',
      )
    : blocker(
        'silent',
        `the ${side.side} still receives from the ${lost} (last at ${after.at}): it lives, so mend ` +
          'what keeps this sidecar from it',
      )
}

function completeGuard(
  { side, route, pending }: ForcedGuardParts,
  state: SubscriptionState | undefined,
): Guard {
  // Until that commit everything was written there.
  if (pending?.state === 'committed' && pending.from === side.side)
    return ok('sync', `the ${side.side} took the writes until the ${pending.kind} was committed`)
  if (state === undefined)
    return blocker(
      'sync',
      `the ${side.side} has no subscription to the ${route.primary}: it is no copy of it`,
    )
  const unready = state.tables.filter((table) => table.state !== 'ready')
  return unready.length === 0
    ? ok('sync', `all ${state.tables.length} tables of the ${side.side} were in sync`)
    : blocker('sync', `never copied whole to the ${side.side}: ${unready.map(readable).join(', ')}`)
}

/** Those that the subscription does not know: the lost side alone can tell whether it has them. */
async function unsyncedGuard(
  { context, side, pending }: ForcedGuardParts,
  state: SubscriptionState | undefined,
): Promise<readonly Guard[]> {
  if (state === undefined || (pending?.state === 'committed' && pending.from === side.side))
    return []
  const known = new Set(state.tables.map(qualified))
  const tables = await readTables(side.watch, context.config.migration.exclude)
  const unknown = tables
    .filter((table) => table.kind === 'table' && !known.has(qualified(table)))
    .map(readable)
  if (unknown.length === 0) return []
  const text =
    `no sync has brought these tables to the ${side.side}, so whatever they had on the ` +
    `${otherSide(side.side)} is missing: ${unknown.join(', ')}`
  return [warning('unsynced', text)]
}

/** Changes are applied in the order of their commits, so the last row of Pontoon's own tells. */
async function lossGuard(
  parts: ForcedGuardParts,
  state: SubscriptionState | undefined,
): Promise<Guard> {
  const { side, route, pending, neverOpened } = parts
  const lost = route.primary
  const isBack = pending?.state === 'committed' && pending.to === lost
  if (isBack && neverOpened)
    return ok(
      'loss',
      `nothing is lost as far as this process has seen: the ${pending.kind} was committed, but the ` +
        `${lost} has never confirmed that it is open for writes`,
    )
  const table = `pontoon.${heartbeatTable(directionFrom(lost))}`
  const at = await side.watch.value(`SELECT max(at) FROM ${table}`)
  if (at === null)
    return warning(
      'loss',
      `no heartbeat of the ${lost} has ever arrived on the ${side.side}: nobody can tell how many ` +
        'of its acknowledged writes are missing',
    )
  const lsn = await appliedLsn(side, state)
  const upTo = lsn === null ? '' : `, up to its WAL position ${lsn}`
  const condition = isBack ? ` if the ${lost} has opened at all` : ''
  return warning(
    'loss',
    `acknowledged writes after ${new Date(at).toISOString()} may be missing${condition}: the last ` +
      `heartbeat of the ${lost}, by its own clock, that was applied on the ${side.side}${upTo}`,
  )
}

const insufficientPrivilege = '42501'

/** Only some roles may ask for it. */
async function appliedLsn(
  { replication }: SwitchSide,
  state: SubscriptionState | undefined,
): Promise<string | null> {
  if (state === undefined) return null
  try {
    return await replication.value(
      'SELECT pg_catalog.pg_replication_origin_progress($1, true)',
      [`pg_${state.oid}`],
      { timeoutMs: statementMs },
    )
  } catch (thrown) {
    if (!hasSqlstate(thrown, insufficientPrivilege)) throw thrown
    return null
  }
}

async function sequencesGuard({ context, side }: ForcedGuardParts): Promise<Guard> {
  const { exclude } = context.config.migration
  // Behind the commit it would be tried for ever, with clients in errors.
  const { sequences, columns } = await sequencesOutOfReach(side.watch, exclude)
  if (sequences.length > 0 || columns.length > 0)
    return blocker(
      'sequences',
      `the controlUser of the ${side.side} may not read and set all sequences, as it has to behind ` +
        `the commit (${[...sequences, ...columns].join(', ')}): grant it the roles that own them` +
        (columns.length > 0 ? ', or BYPASSRLS where row security hides rows' : ''),
    )
  const free = await freeSequences(side.watch, exclude)
  return free.length === 0
    ? ok('sequences', 'a column draws from every sequence, and tells how far it was')
    : warning(
        'sequences',
        `no column tells how far these were on the ${otherSide(side.side)}, they go on from what ` +
          `was carried over last, if anything was, with a margin, and may give values again: ` +
          free.join(', '),
      )
}

async function searchGuard({ context, side }: ForcedGuardParts): Promise<Guard> {
  const slow = await unindexedColumns(side.watch, context.config.migration.exclude)
  return slow.length === 0
    ? ok('search', 'how far sequences were is found fast')
    : warning(
        'search',
        'to see how far their sequences were, these tables are read as a whole while clients wait, ' +
          `for want of an index on the column: ${slow.join(', ')}`,
      )
}

async function foreignGuard({ context, side }: ForcedGuardParts): Promise<readonly Guard[]> {
  const places = await foreignPlaces(side.watch, context.config.migration.exclude)
  if (places.length === 0) return []
  const text =
    `how far their sequences were is asked of other servers, too (${places.join(', ')}): from one ` +
    'that does not answer no value is known, and those after the margin may be given again'
  return [warning('foreign', text)]
}

function pendingGuard({ kind, id, state }: SwitchRecord): Guard {
  return warning('pending', `takes the place of ${kind} ${id}, which is ${state} and cannot end`)
}
