/**
 * What is said where a switch cannot begin, or cannot end, because a side is out of reach: to
 * somebody at night who has never read docs/cutover.md. Neighbour: forced-guards.ts, the conditions
 * of the way that is named here.
 */
import { toPontoonError, type ErrorCode } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import type { SwitchRecord } from '../../../store/switch-record.ts'
import { readMark } from '../control-schema.ts'
import { afterwardsOf } from '../left-side-words.ts'
import { missedText, readMissed } from '../missed.ts'
import { directionFrom } from '../names.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { answerOf, isSilence } from './forced-guards.ts'
import { switchTask } from './switch-sides.ts'

/** What helps, and when it must not be used. `lost` is the side that takes the writes. */
export function lostPrimaryAdvice(service: string, lost: Side): string {
  const kind = lost === 'source' ? 'cutover' : 'rollback'
  return (
    `Bring the ${lost} back, or the way to it: that loses nothing. Only where it is lost for good: ` +
    `pontoon ${kind} ${service} --primary-lost says which writes would be missing, and leaves it ` +
    `with --yes. Not while it may come back by itself (a restart, a failover, a network) or others ` +
    'still reach it: see docs/runbooks.md, "The primary is lost"'
  )
}

/** The side without which a switch that is decided cannot end; it takes the writes. */
export function awaitedSide({
  state,
  from,
  to,
}: Pick<SwitchRecord, 'state' | 'from' | 'to'>): Side {
  return state === 'committed' ? to : from
}

const brokenOff: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['SERVER_LOST', 'SQL_TIMEOUT'])

/** The words of what has ended a switch, with that advice where the side it comes from is silent. */
export async function wordsOf(
  context: MigrationContext,
  from: Side,
  thrown: unknown,
): Promise<string> {
  const { code, message } = toPontoonError(thrown)
  if (!isSilence(thrown) && !brokenOff.has(code)) return message
  const answers = await Promise.all([answerOf(context, from), answerOf(context, otherSide(from))])
  const [isThere, isOtherThere] = answers.map((answer) => answer !== null)
  if (isThere === true && isOtherThere === true) return message
  if (isThere === true) {
    const other = otherSide(from)
    const text = `the ${other} cannot be reached, and a switch needs both sides: ${message}`
    // It may go as well meanwhile; what is known already is said all the same.
    const inVain = await whyInVain(context, from).catch(() => null)
    return inVain === null ? text : `${text}. Nor could one begin with it: ${inVain}`
  }
  return (
    `the ${from}, which takes the writes, cannot be reached: ${message}. ` +
    (isOtherThere === true
      ? lostPrimaryAdvice(context.service, from)
      : `Nor can the ${otherSide(from)}, so nothing can be done before one of them is back`)
  )
}

/** What the side that takes the writes knows: that the other one gets none of them any more. */
async function whyInVain(context: MigrationContext, from: Side): Promise<string | null> {
  const other = otherSide(from)
  const client = await connectAs(context, { side: from, purpose: 'control', task: switchTask })
  try {
    const isParted = (await readMark(client))?.parted === other
    if (isParted) return `a forced switch has left the ${other}; ${afterwardsOf(other)}`
    const missed = await readMissed(client, directionFrom(from))
    return missed === null ? null : missedText(missed, context.service)
  } finally {
    client.close()
  }
}
