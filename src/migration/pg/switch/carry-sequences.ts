/**
 * Sequences, which replication does not carry (C6). Most of the work is done ahead of the pause,
 * which then has to set only what was drawn from or set since, and reads them in a session that
 * knows them.
 *
 * Something of them travels all the same: a TRUNCATE … RESTART IDENTITY restarts them where it is
 * applied, too. So nothing may be set for good before every restart that was made until it was
 * read has come.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { travelMs } from '../beats.ts'
import { readSequenceStates, setSequencesSql, type SequenceRead } from '../sequences.ts'
import type { PauseOptions, PausePlan } from './pause.ts'

type Carrying = Pick<PausePlan, 'sides' | 'sequences' | 'stream'>

/** Gives them as they were read: what the pause compares with. Rejects as travelMs() does. */
export async function carryAhead(
  { sides, sequences, stream }: Carrying,
  options: PauseOptions,
): Promise<readonly SequenceRead[]> {
  const { from, to } = sides
  const states = await readSequenceStates(from.control, sequences, options)
  // Behind it all restarts that were made before have come.
  if (sequences.length > 0) await travelMs(from.control, to.control, stream.direction, options)
  await setSequences(to.watch, states, options)
  return states
}

/** Behind the fence. Gives those that were restarted since: their restart may still be on its way. */
export async function carryDrawn(
  { sides, sequences }: Carrying,
  carried: readonly SequenceRead[],
  options: SqlOptions,
): Promise<readonly SequenceRead[]> {
  const { from, to } = sides
  const states = await readSequenceStates(from.control, sequences, options)
  const before = new Map(carried.map((state) => [state.sequence, state]))
  const isRestarted = (state: SequenceRead): boolean =>
    before.get(state.sequence)?.file !== state.file
  const isDrawn = (state: SequenceRead): boolean => {
    const known = before.get(state.sequence)
    return known?.last !== state.last || known.isCalled !== state.isCalled
  }
  const drawn = states.filter((state) => !isRestarted(state) && isDrawn(state))
  await setSequences(to.watch, drawn, options)
  return states.filter(isRestarted)
}

/** Once everything of the old side has been applied; what carryDrawn() has given. */
export async function carryRestarted(
  { sides }: Carrying,
  restarted: readonly SequenceRead[],
  options: SqlOptions,
): Promise<void> {
  await setSequences(sides.to.watch, restarted, options)
}

async function setSequences(
  client: SqlClient,
  states: readonly SequenceRead[],
  options: SqlOptions,
): Promise<void> {
  const sql = setSequencesSql(states)
  if (sql !== null) await client.query(sql, undefined, options)
}
