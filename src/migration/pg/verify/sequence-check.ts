/**
 * Compares where the sequences of both sides are. The side that is not primary may be ahead: a
 * switch draws a margin. Behind it is until the switch, which sets every sequence.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { readable } from '../quote.ts'
import { readSequenceStates, type SequenceState } from '../sequences.ts'
import { readSequences } from '../tables.ts'

export interface SequenceBehind {
  readonly sequence: string
  readonly primary: string
  readonly other: string
}

/** Those on both sides whose next value on the other one has been drawn on the primary side. */
export async function sequencesBehind(
  primary: SqlClient,
  other: SqlClient,
  exclude: readonly string[],
): Promise<readonly SequenceBehind[]> {
  // The other side first, so that what is drawn meanwhile counts against it.
  const there = await statesOf(other, exclude)
  const here = await statesOf(primary, exclude)
  const behind: SequenceBehind[] = []
  for (const [name, own] of here) {
    const opposite = there.get(name)
    if (opposite === undefined || own.sequence.isCycle || !isBehind(opposite, own)) continue
    behind.push({ sequence: name, primary: String(own.last), other: String(opposite.last) })
  }
  return behind
}

async function statesOf(
  client: SqlClient,
  exclude: readonly string[],
): Promise<ReadonlyMap<string, SequenceState>> {
  const states = await readSequenceStates(client, await readSequences(client, exclude))
  return new Map(states.map((state) => [readable(state.sequence), state]))
}

function isBehind(other: SequenceState, primary: SequenceState): boolean {
  const ahead = next(other) - next(primary)
  return primary.sequence.increment > 0n ? ahead < 0n : ahead > 0n
}

function next({ last, isCalled, sequence }: SequenceState): bigint {
  return isCalled ? last + sequence.increment : last
}
