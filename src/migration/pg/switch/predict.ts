/** What the pause of a switch would be, from the steps measured one by one without a pause. */
import { sendMarker, travelMs } from '../beats.ts'
import { directionFrom } from '../names.ts'
import { connectAs } from '../side-login.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { ArmParts } from './arm.ts'
import type { StepReport } from './model.ts'
import { switchTask } from './switch-sides.ts'

const samples = 5
const timeoutMs = 5_000
/** The store's fsyncs and our own work between the steps. */
const ownMs = 15

/** Round trips one after the other on each side, beside those that are measured as a whole. */
const roundTrips = { from: 6, to: 7 } as const

export async function predictPauseMs(
  parts: ArmParts,
  steps: readonly StepReport[],
): Promise<number> {
  const { context, sides, mode, signal } = parts
  const { from, to } = sides
  const wait = { timeoutMs, signal }
  const out = directionFrom(from.side)
  const back = directionFrom(to.side)
  const fromRtt = await median(() => elapsed(() => from.control.query('SELECT 1')))
  const toRtt = await median(() => elapsed(() => to.control.query('SELECT 1')))
  const fromCommit = await median(() => elapsed(() => sendMarker(from.control, out, 'probe', wait)))
  const toCommit = await median(() => elapsed(() => sendMarker(to.control, back, 'probe', wait)))
  const forth = await median(() => travelMs(from.control, to.control, out, wait))
  const turn =
    mode === 'both'
      ? await median(() => travelMs(to.control, from.control, back, wait))
      : (steps.find(({ step }) => step === 'reverse')?.tookMs ?? 0)
  const connect = await elapsed(async () => {
    const options = { side: to.side, purpose: 'control', task: switchTask } as const
    const client: SqlClient = await connectAs(context, options)
    client.close()
  })
  return Math.round(
    roundTrips.from * fromRtt +
      roundTrips.to * toRtt +
      2 * fromCommit +
      2 * toCommit +
      forth +
      turn +
      connect +
      ownMs,
  )
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now()
  await work()
  return performance.now() - beganMs
}

async function median(measure: () => Promise<number>): Promise<number> {
  const found: number[] = []
  for (let index = 0; index < samples; index += 1) found.push(await measure())
  return found.toSorted((a, b) => a - b)[Math.floor(samples / 2)] ?? 0
}
