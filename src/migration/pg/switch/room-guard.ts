/** For the way back, whether or not it is there already. All limits are those of the whole server. */
import { directionFrom } from '../names.ts'
import { fullForSlot, fullForWorker, fullText } from '../server-limits.ts'
import { findStreams } from '../stream.ts'
import type { GuardParts } from './guards.ts'
import { blocker, ok, warning, type Guard } from './model.ts'

export async function roomGuard({ context, sides }: GuardParts): Promise<Guard> {
  const { from, to } = sides
  const level = await to.watch.value("SELECT pg_catalog.current_setting('wal_level')")
  if (level !== 'logical')
    return blocker('room', `wal_level of ${to.side} is ${level}: the way back needs logical`)
  const back = await findStreams(from.replication, context.service, directionFrom(to.side))
  const states = await Promise.all(back.map((stream) => stream.state(from.replication)))
  const own = states.flatMap((state) => (state === undefined ? [] : [state.oid]))
  const sending = await fullForSlot(
    to.watch,
    back.map(({ slot }) => slot),
  )
  const receiving = await fullForWorker(from.watch, own)
  if (sending.length + receiving.length === 0)
    return ok('room', `there is room for a slot on ${to.side} and for its worker on ${from.side}`)
  const text = [fullText(to.side, sending), fullText(from.side, receiving)].filter(Boolean)
  const words = `${text.join(', ')}; raise it and restart that server`
  return sending.length === 0 && receiving.every(({ isGuess }) => isGuess)
    ? warning('room', `the way back may find no room: ${words}`)
    : blocker('room', `the way back finds no room: ${words}`)
}
