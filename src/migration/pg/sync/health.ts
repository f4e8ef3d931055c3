/**
 * How sync is in one direction: whether it runs, how far it is behind, and what is the matter. Two
 * plain connections, nothing locked: cheap enough for once a second.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { byHand, type ReceivingPlace } from '../by-hand.ts'
import { lostSlotFix } from '../missed.ts'
import { publicationName, subscriptionName, type Direction } from '../names.ts'
import { readable } from '../quote.ts'
import { fullForWorker, fullText } from '../server-limits.ts'
import { readSlot, type SlotState } from '../slot.ts'
import {
  readSubscription,
  type SubscriptionErrors,
  type SubscriptionState,
} from '../subscription-state.ts'
import { beatLagMs, readBeat, type Beat } from './beat.ts'
import { explain, unknownStop, type Explanation } from './explain.ts'
import { receivingSide } from './job.ts'
import { lastWorkerError } from './server-log.ts'

/**
 * - `absent`: there is no subscription.
 * - `unreachable`: a side does not answer.
 * - `copying`: it runs, and tables are still being copied by the server.
 * - `streaming`: it runs.
 * - `stopped`: it should run, and has no worker or no WAL sender at present, or one that has only
 *   begun after others have ended with errors, and has brought nothing yet.
 * - `disabled`: it was switched off, by somebody or by an error.
 * - `lost`: its slot is gone or was given up, so changes are missing; only a new copy helps.
 */
export type SyncState =
  'absent' | 'unreachable' | 'copying' | 'streaming' | 'stopped' | 'disabled' | 'lost'

/** Positions are left out: health is shown as JSON. */
export type SyncSlot = Omit<SlotState, 'confirmedFlushLsn' | 'restartLsn'>

export interface SyncHealth {
  readonly direction: Direction
  readonly state: SyncState
  readonly subscription: string | null
  readonly slot: SyncSlot | null
  /** WAL of the sending side that was not sent yet; null while nobody can tell. */
  readonly unsentBytes: number | null
  /** WAL of the sending side that was not applied yet. */
  readonly lagBytes: number | null
  /** By the beat; null where none has arrived. */
  readonly lagMs: number | null
  /** Tables whose copy is not done, at most `listedMax` by name. */
  readonly notReady: readonly string[]
  readonly notReadyCount: number
  /** Null before 15, which counts nothing. */
  readonly errors: SubscriptionErrors | null
  /** What is the matter and what to do; null when nothing is. */
  readonly problem: Explanation | null
}

export interface SyncSides {
  readonly sender: SqlClient
  readonly receiver: SqlClient
}

export interface SyncPlace {
  readonly service: string
  readonly direction: Direction
}

const listedMax = 20

/** Rejects as SqlClient.query does; see `unreachable` for what is shown then. */
export async function readHealth(
  { sender, receiver }: SyncSides,
  { service, direction }: SyncPlace,
  options?: SqlOptions,
): Promise<SyncHealth> {
  // The sending side first: what has arrived is compared with what was sent before.
  const sent = await readSender(sender, direction, options)
  const name = await findSubscription(receiver, { service, direction }, options)
  const found = name === undefined ? undefined : await readSubscription(receiver, name, options)
  const slotName = found?.slot ?? subscriptionName(service, direction)
  const slot = (await readSlot(sender, slotName, options)) ?? null
  const common = { direction, slot: shownSlot(slot), subscription: found?.name ?? null }
  if (found === undefined)
    return { ...nothingKnown, ...common, state: 'absent', problem: absentProblem(direction, slot) }
  const sending = await readWalSender(sender, slot, options)
  const arrived = await readBeat(receiver, direction, options)
  const notReady = found.tables.filter(({ state }) => state !== 'ready').map(readable)
  const known = stateOf(slot, found, notReady.length)
  const isRunning = known === 'copying' || known === 'streaming'
  const state = isRunning && isUnproven(found, arrived, sent.nowMs) ? 'stopped' : known
  return {
    ...common,
    state,
    unsentBytes: sending?.unsentBytes ?? null,
    lagBytes: sending?.unappliedBytes ?? slot?.unconfirmedBytes ?? null,
    lagMs: beatLagMs(sent.beat, arrived, sent.nowMs),
    notReady: notReady.slice(0, listedMax),
    notReadyCount: notReady.length,
    errors: found.errors,
    problem: await problemOf(state, { service, direction, sender, receiver }, found, options),
  }
}

/** What is shown of a direction while a side does not answer. */
export function unreachable(direction: Direction, cause: string): SyncHealth {
  const fix = 'see that the side is up and can be reached; sync goes on by itself'
  return { ...nothingKnown, direction, state: 'unreachable', problem: { cause, fix } }
}

/** What is shown of a direction that was not set up. */
export function absent(direction: Direction): SyncHealth {
  const problem = { cause: 'it was not set up', fix: 'run pontoon sync' }
  return { ...nothingKnown, direction, state: 'absent', problem }
}

/** By its publication: the names of later ones carry an epoch. The newest counts. */
export async function findSubscription(
  receiver: SqlClient,
  { service, direction }: SyncPlace,
  options?: SqlOptions,
): Promise<string | undefined> {
  const name = await receiver.value(
    `SELECT s.subname FROM pg_catalog.pg_subscription s
     WHERE $1 = ANY (s.subpublications) AND s.subdbid = (
       SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
     ORDER BY pg_catalog.length(s.subname) DESC, s.subname DESC LIMIT 1`,
    [publicationName(service, direction)],
    options,
  )
  return name ?? undefined
}

/** Without the positions. */
export function shownSlot(slot: SlotState | null): SyncSlot | null {
  if (slot === null) return null
  const { confirmedFlushLsn: _confirmed, restartLsn: _restart, ...rest } = slot
  return rest
}

const nothingKnown = {
  subscription: null,
  slot: null,
  unsentBytes: null,
  lagBytes: null,
  lagMs: null,
  notReady: [],
  notReadyCount: 0,
  errors: null,
} as const

async function readSender(
  sender: SqlClient,
  direction: Direction,
  options?: SqlOptions,
): Promise<{ readonly beat: Beat | null; readonly nowMs: number }> {
  const beat = await readBeat(sender, direction, options)
  const now = await sender.value(
    'SELECT extract(epoch FROM pg_catalog.clock_timestamp()) * 1000',
    undefined,
    options,
  )
  return { beat, nowMs: Number(now) }
}

/** Null without a WAL sender, or without the privilege to see it (pg_read_all_stats). */
async function readWalSender(
  sender: SqlClient,
  slot: SlotState | null,
  options?: SqlOptions,
): Promise<{ readonly unsentBytes: number; readonly unappliedBytes: number } | null> {
  if (slot?.activePid === null || slot === null) return null
  const { rows } = await sender.query(
    `SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.sent_lsn),
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn)
     FROM pg_catalog.pg_stat_replication r WHERE r.pid = $1::int`,
    [String(slot.activePid)],
    options,
  )
  const [unsent, unapplied] = rows[0] ?? []
  if (unsent === null || unsent === undefined) return null
  if (unapplied === null || unapplied === undefined) return null
  return { unsentBytes: Number(unsent), unappliedBytes: Number(unapplied) }
}

function stateOf(
  slot: SlotState | null,
  found: { readonly isEnabled: boolean; readonly workerPid: number | null },
  notReady: number,
): SyncState {
  if (slot === null || slot.walStatus === 'lost') return 'lost'
  if (!found.isEnabled) return 'disabled'
  if (found.workerPid === null || !slot.isActive) return 'stopped'
  return notReady > 0 ? 'copying' : 'streaming'
}

/** The server starts a worker anew 5 s after it has ended with an error, whatever the error. */
const workerProvenAfterMs = 6_000

/** One that begins after others have ended with errors proves itself by a beat, or by its age. */
function isUnproven(
  { isEnabled, errors, workerAgeMs }: SubscriptionState,
  arrived: Beat | null,
  senderNowMs: number,
): boolean {
  if (!isEnabled || workerAgeMs === null || (errors?.apply ?? 0) === 0) return false
  const hasBroughtBeat = arrived !== null && Number(arrived.value) > senderNowMs - workerAgeMs
  return workerAgeMs < workerProvenAfterMs && !hasBroughtBeat
}

function absentProblem(direction: Direction, slot: SlotState | null): Explanation | null {
  // Where writes go to the source it is as it should be, and nobody looks at it.
  if (direction === 'reverse')
    return { cause: 'there is no subscription', fix: lostSlotFix(direction, 'SERVICE') }
  if (slot === null) return null
  return {
    cause: `slot ${slot.name} keeps WAL and no subscription reads it: a copy is under way, or was given up`,
    fix: 'run pontoon copy to its end, or pontoon sync SERVICE --drop --yes',
  }
}

/** Who gets no worker waits without a word, for as long as that lasts. */
async function noWorkerLeft(
  state: SyncState,
  { direction, receiver }: ReceivingPlace,
  { oid }: SubscriptionState,
  options?: SqlOptions,
): Promise<Explanation | null> {
  const copies = await receiver.value(
    `SELECT pg_catalog.count(w.pid) FROM pg_catalog.pg_stat_subscription w
     WHERE w.subid = $1::oid AND w.relid IS NOT NULL`,
    [String(oid)],
    options,
  )
  if (copies !== '0') return null
  // While it copies, a worker for a table is wanted beside the one that it has.
  const full = await fullForWorker(receiver, state === 'copying' ? [] : [oid], options)
  const known = full.filter(({ isGuess }) => !isGuess)
  if (known.length === 0) return null
  const names = known.map(({ parameter }) => parameter).join(', ')
  return {
    cause: `no worker can begin: ${fullText(receivingSide(direction), known)}`,
    fix: `raise ${names} there and restart it, or drop subscriptions that nobody needs`,
  }
}

/** What keeps the worker of a subscription that should run from it. */
export async function explainStopped(
  place: ReceivingPlace,
  subscriber: SubscriptionState,
): Promise<Explanation | null> {
  return await problemOf('stopped', place, subscriber)
}

async function problemOf(
  state: SyncState,
  place: ReceivingPlace,
  subscriber: SubscriptionState,
  options?: SqlOptions,
): Promise<Explanation | null> {
  const { direction, receiver } = place
  if (state === 'lost') {
    return {
      cause: 'the slot is gone or was given up by the sending side, so changes are missing',
      fix: `raise max_slot_wal_keep_size if it was that; ${lostSlotFix(direction, 'SERVICE')}`,
    }
  }
  if (state === 'streaming' || state === 'absent' || state === 'unreachable') return null
  const full = state === 'disabled' ? null : await noWorkerLeft(state, place, subscriber, options)
  if (full !== null || state === 'copying') return full
  const error = await lastWorkerError(receiver, subscriber, options)
  const byHandText = error === null ? '' : await byHand(place, 'DELETE …', options)
  const known = error === null ? undefined : explain(error.message, byHandText)
  if (error !== null) {
    const words = [error.message, error.detail]
      .filter(Boolean)
      .join(' (')
      .concat(error.detail === '' ? '' : ')')
    const { cause, fix } = known ?? { cause: 'it stopped', fix: 'mend it, then pontoon sync' }
    return { cause: `${cause}. The server says: ${words}`, fix }
  }
  if (state === 'disabled') return unknownStop
  const failed = subscriber.errors?.apply ?? 0
  if (failed > 0) {
    return {
      cause: `its worker ends with an error whenever the server starts it (${failed} so far): most likely a row cannot be applied`,
      fix: "the log of the receiving server has the words ('logical replication apply worker'), and pontoon sync shows them where it may read that log (docs/migration.md)",
    }
  }
  return {
    cause:
      'no worker runs: the receiving server is starting one, or does not get to the sending one',
    fix: "its log has the words ('logical replication apply worker'); pontoon sync renews password and way",
  }
}
