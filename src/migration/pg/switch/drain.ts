/** C2: the gate is shut; what runs ends, and what cannot move is dealt with as the operator said. */
import { setTimeout as delay } from 'node:timers/promises'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import type { HeldGate, Holder, Participant, PinnedPolicy } from './model.ts'

export interface DrainOptions {
  readonly policy: PinnedPolicy
  readonly waitMs: number
  readonly signal: AbortSignal
}

const pollMs = 5
/** Told to end, sessions are gone within moments. */
const endMs = 1_000

/** Rejects with SWITCH_ABORTED and the list of who is in the way. */
export async function drain(
  participant: Participant,
  gate: HeldGate,
  { policy, waitMs, signal }: DrainOptions,
): Promise<void> {
  const deadlineMs = performance.now() + waitMs
  const report = await Promise.race([gate.drained(waitMs), aborted(signal)])
  if (!report.drained) {
    if (policy !== 'terminate') throw inTheWay('still at work', report.waitingFor)
    await endAll(participant, gate, report.waitingFor)
  }
  for (;;) {
    const held = participant.immovable()
    if (held.length === 0) return
    if (policy === 'terminate') await endAll(participant, gate, held)
    else if (policy === 'abort' || performance.now() > deadlineMs)
      throw inTheWay('cannot follow to the other side', held)
    await delay(pollMs, undefined, { signal })
  }
}

/** Clients wait at the gate: an operator's abort is not to wait for those who are at work. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(toPontoonError(signal.reason, 'ABORTED'))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

async function endAll(
  participant: Participant,
  gate: HeldGate,
  holders: readonly Holder[],
): Promise<void> {
  for (const { id } of holders) participant.end(id)
  const { drained, waitingFor } = await gate.drained(endMs)
  if (!drained) throw inTheWay('do not end', waitingFor)
}

function inTheWay(what: string, holders: readonly Holder[]): PontoonError {
  const who = holders.slice(0, 10).map(({ id, user, address, work, workAgeMs, pinReason }) => {
    const why = pinReason === '' ? work : `${work === '' ? '' : `${work}, `}${pinReason}`
    return `client ${id} of ${user} from ${address} (${why}, ${Math.round(workAgeMs)} ms)`
  })
  const more = holders.length > 10 ? ` and ${holders.length - 10} more` : ''
  return new PontoonError(
    'SWITCH_ABORTED',
    `${holders.length} sessions ${what}: ${who.join('; ')}${more}`,
  )
}
