/**
 * What is said where `pontoon sync --drop` cannot begin because a side does not let it in: that
 * nothing was dropped, and what can be done without that side. Neighbour: drop.ts.
 */
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { findAttached } from '../attached.ts'
import { readMark } from '../control-schema.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { dropSlotSql } from '../slot.ts'
import { answerOf, isSilence } from '../switch/forced-guards.ts'
import { lostPrimaryAdvice } from '../switch/out-of-reach.ts'

export async function dropFailure(
  context: MigrationContext,
  thrown: unknown,
): Promise<PontoonError> {
  const { code, message } = toPontoonError(thrown)
  // What was said by a server is to be mended there.
  const advice = isSilence(thrown) ? await adviceOf(context).catch(() => null) : null
  const words = [message, 'Nothing was dropped', ...(advice === null ? [] : [advice])]
  return new PontoonError(code, words.join('. '), { cause: thrown })
}

async function adviceOf(context: MigrationContext): Promise<string | null> {
  const [source, target] = await Promise.all([
    answerOf(context, 'source'),
    answerOf(context, 'target'),
  ])
  if (source !== null && target !== null) return 'Both sides answer again: run it once more'
  if (source === null && target === null)
    return 'Nor can the target be reached, so nothing can be done before one of them is back'
  return await withoutSide(context, source === null ? 'source' : 'target')
}

async function withoutSide(context: MigrationContext, lost: Side): Promise<string> {
  const { service } = context
  const side = otherSide(lost)
  const task = `sync ${service}`
  const replication = await connectAs(context, { side, purpose: 'replication', task })
  try {
    const primary = (await readMark(replication))?.primary ?? 'source'
    if (primary === lost)
      return `The ${lost} takes the writes, and cannot be reached. ${lostPrimaryAdvice(service, lost)}`
    if (lost === 'source')
      return (
        `The target takes the writes, and keeps WAL for the source until the way back is given up. ` +
        `Bring the source back, and all goes on by itself. Where it is gone for good, or the disk of ` +
        `the target would be full before: pontoon sync ${service} --drop --no-rollback, which needs ` +
        'the target only'
      )
    const { slots } = await findAttached(service, { side, replication })
    const back = `Bring the target back, then run it again`
    if (slots.length === 0) return `${back}; the source keeps no WAL for it meanwhile`
    const sql = slots.map((name) => `${dropSlotSql(name)};`).join(' ')
    return (
      `${back}; until then the source keeps WAL for it. Where the target is gone for good, or the ` +
      `disk of the source would be full before, run on the source: ${sql} The target then needs a ` +
      `new copy: pontoon sync ${service} --drop --yes, pontoon copy ${service} --restart`
    )
  } finally {
    replication.close()
  }
}
