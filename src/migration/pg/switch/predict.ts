/**
 * What the pause of a switch would be: what it consists of, measured one by one without a pause.
 * What is done ahead of it (connections, the subscription of the way back, most of the work on
 * sequences) is no part of it. Neighbour: pause.ts, which does it.
 */
import { sendMarker, travelMs } from '../beats.ts'
import { catalogStamp } from '../catalog-stamp.ts'
import { directionFrom } from '../names.ts'
import { readSequenceStates } from '../sequences.ts'
import type { Sequence } from '../tables.ts'
import type { ArmParts } from './arm.ts'

const samples = 5
/** Of what may be slow, where there is much of it; the first time is not as in the pause. */
const slowSamples = 3
const timeoutMs = 5_000
const slowTimeoutMs = 30_000
/** The store's fsyncs, backends that end, and our own work between the steps. */
const ownMs = 20

export interface Measured {
  readonly sequences: readonly Sequence[]
  /** As proveReverse() gives it. */
  readonly proofMs: number
}

export async function predictPauseMs(
  { sides, mode, signal }: ArmParts,
  { sequences, proofMs }: Measured,
): Promise<number> {
  const { from, to } = sides
  const wait = { timeoutMs, signal }
  const out = directionFrom(from.side)
  const back = directionFrom(to.side)
  const fromRtt = await median(() => elapsed(() => from.control.query('SELECT 1')))
  const toRtt = await median(() => elapsed(() => to.control.query('SELECT 1')))
  const fromCommit = await median(() => elapsed(() => sendMarker(from.control, out, 'probe', wait)))
  const toCommit = await median(() => elapsed(() => sendMarker(to.control, back, 'probe', wait)))
  const forth = await median(() => travelMs(from.control, to.control, out, wait))
  const slow = { timeoutMs: slowTimeoutMs, signal }
  const again = (): Promise<unknown> =>
    Promise.all([catalogStamp(from.watch, slow), readSequenceStates(from.control, sequences, slow)])
  const checks = (await median(() => elapsed(again), slowSamples)) + fromRtt
  // That of a way that is there; one that is turned round stops the old one, then does as the proof.
  const turn =
    mode === 'both'
      ? await median(() => travelMs(to.control, from.control, back, wait))
      : toCommit + toRtt + proofMs
  // Ending others, and looking whether the way back runs.
  const fence = 2 * fromCommit + 2 * fromRtt
  const applied = forth + toCommit + toRtt
  const unfence = toRtt + toCommit
  const row = fromCommit
  return Math.round(
    fence + row + Math.max(applied, checks) + toRtt + turn + fromRtt + unfence + ownMs,
  )
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now()
  await work()
  return performance.now() - beganMs
}

async function median(measure: () => Promise<number>, times = samples): Promise<number> {
  const found: number[] = []
  for (let index = 0; index < times; index += 1) found.push(await measure())
  return found.toSorted((a, b) => a - b)[Math.floor(times / 2)] ?? 0
}
