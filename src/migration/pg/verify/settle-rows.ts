/**
 * Rows that seemed to differ, read again until each is known to be equal or known to differ.
 *
 * A round reads the rows on the primary side, follows the other side until it has applied all that
 * was committed by then, and reads the primary side again. A row is
 * - equal, when the other side was seen with the same content as the primary side at any moment of
 *   the round: changes arrive in the order of commits, so a copy in order passes through it;
 * - different, when it did not change on the primary side meanwhile, the other side had caught up
 *   and still had something else, and the same was so in the round before: a server counts a
 *   transaction as applied a moment before others see it;
 * - read again otherwise, up to `roundsMax` times, and then unsettled.
 */
import { wait } from '../../../shared/wait.ts'
import { onOther, onPrimary, type BothSides } from './both-sides.ts'
import { isSameDigest, keyId, type RowState } from './row-digest.ts'
import { lookupKeysMax, type RowReader } from './row-reader.ts'

export const roundsMax = 12
const firstPauseMs = 10
const pauseMaxMs = 1_000

export interface Differing {
  readonly key: readonly string[]
  readonly primary: RowState | undefined
  readonly other: RowState | undefined
}

export interface Settled {
  readonly differing: readonly Differing[]
  readonly unsettled: readonly (readonly string[])[]
}

type States = ReadonlyMap<string, RowState>

/** What the last round saw of a row that stood still. */
interface Suspicion {
  readonly primary: string
  readonly other: string
}

type Keys = readonly (readonly string[])[]

/** How the rows of keys are looked at; at most `lookupKeysMax` of them at once. */
export interface RowLooks {
  primary(keys: Keys): Promise<States>
  other(keys: Keys): Promise<States>
  /** Ends when the other side has applied what the primary side has committed by now. */
  readonly caughtUp: (() => Promise<void>) | null
  readonly signal: AbortSignal | undefined
}

export function looksAt(sides: BothSides, reader: RowReader): RowLooks {
  const { alignment, statement } = sides
  return {
    primary: (keys) => onPrimary(sides, (client, options) => reader.lookup(client, keys, options)),
    other: (keys) => onOther(sides, (client, options) => reader.lookup(client, keys, options)),
    caughtUp: alignment === null ? null : () => alignment.caughtUp(),
    signal: statement.signal,
  }
}

export async function settleRows(looks: RowLooks, keys: Keys): Promise<Settled> {
  const differing: Differing[] = []
  const unsettled: (readonly string[])[] = []
  for (let at = 0; at < keys.length; at += lookupKeysMax) {
    const part = await settlePart(looks, keys.slice(at, at + lookupKeysMax))
    differing.push(...part.differing)
    unsettled.push(...part.unsettled)
  }
  return { differing, unsettled }
}

async function settlePart(looks: RowLooks, keys: Keys): Promise<Settled> {
  const differing: Differing[] = []
  const suspicions = new Map<string, Suspicion>()
  let open = keys
  for (let round = 0; round < roundsMax && open.length > 0; round += 1) {
    if (round > 1) await wait(pauseOf(round), looks.signal)
    const seen = await observe(looks, open)
    const next: (readonly string[])[] = []
    for (const key of open) {
      const id = keyId(key)
      const { before, after, other } = seen
      if (seen.equal.has(id) || isSameDigest(other.get(id), after.get(id))) continue
      const suspicion = { primary: mark(before.get(id)), other: mark(other.get(id)) }
      const last = suspicions.get(id)
      const stoodStill = suspicion.primary === mark(after.get(id))
      const again = last?.primary === suspicion.primary && last.other === suspicion.other
      if (stoodStill && again) {
        differing.push({ key, primary: after.get(id), other: other.get(id) })
        continue
      }
      if (stoodStill) suspicions.set(id, suspicion)
      else suspicions.delete(id)
      next.push(key)
    }
    open = next
  }
  return { differing, unsettled: open }
}

interface Observation {
  readonly before: States
  readonly other: States
  readonly after: States
  /** Keys that the other side was seen with as they were before. */
  readonly equal: ReadonlySet<string>
}

async function observe(looks: RowLooks, keys: Keys): Promise<Observation> {
  const before = await looks.primary(keys)
  const equal = new Set<string>()
  const compare = (other: States): States => {
    for (const key of keys) {
      const id = keyId(key)
      if (isSameDigest(other.get(id), before.get(id))) equal.add(id)
    }
    return other
  }
  const progress = { isAligned: looks.caughtUp === null }
  const aligned = (looks.caughtUp?.() ?? Promise.resolve()).finally(() => {
    progress.isAligned = true
  })
  // The failure is thrown where it is awaited.
  aligned.catch(() => undefined)
  // A row that changes all the time has the content of before only for a moment on its way.
  while (!progress.isAligned && equal.size < keys.length) compare(await looks.other(keys))
  await aligned
  const other = compare(await looks.other(keys))
  return { before, other, after: await looks.primary(keys), equal }
}

function pauseOf(round: number): number {
  return Math.min(pauseMaxMs, firstPauseMs * 2 ** round)
}

function mark(state: RowState | undefined): string {
  return state === undefined ? 'absent' : `${state.rows} ${state.sum} ${state.version}`
}
