/**
 * What has to hold so that changing sides loses nothing, each condition by itself, each read from
 * the databases. They are about the direction that carries the writes of the primary side to the
 * other one: forward before a cutover, reverse after it.
 */
import { condition, list, type Condition } from './condition.ts'
import type { SchemaPicture } from './drift-of.ts'
import type { SyncHealth } from './health.ts'
import { schemaConditions } from './schema-conditions.ts'
import { sideConditions, type SidesInput } from './side-conditions.ts'
import type { Surroundings } from './surroundings.ts'

export interface ConditionInput {
  readonly health: SyncHealth
  readonly schemas: SchemaPicture
  /** Of both sides. */
  readonly surroundings: readonly Surroundings[]
  readonly sides: SidesInput
}

const lagMsMax = 5_000

export function syncConditions(input: ConditionInput): readonly Condition[] {
  const { health, schemas, surroundings, sides } = input
  return [
    stream(health),
    lag(health),
    slot(health),
    ...sideConditions(sides),
    ...schemaConditions(schemas),
    transactions(surroundings),
  ]
}

function stream({ direction, state, problem, notReadyCount }: SyncHealth): Condition {
  const why =
    notReadyCount > 0 && problem === null
      ? `${notReadyCount} tables are still copied: wait for them`
      : `${problem?.cause ?? `it is ${state}`}. To do: ${problem?.fix ?? 'run pontoon sync'}`
  return condition(
    'stream',
    state === 'streaming',
    `${direction} sync runs`,
    `${direction} sync does not run: ${why}`,
  )
}

function lag({ lagMs }: SyncHealth): Condition {
  if (lagMs === null)
    return {
      name: 'lag',
      ok: false,
      text: 'the lag is not known, since no beat has arrived: see stream',
    }
  return condition(
    'lag',
    lagMs <= lagMsMax,
    `behind by ${Math.round(lagMs)} ms`,
    `behind by ${Math.round(lagMs / 1_000)} s, more than ${lagMsMax / 1_000} s: let it catch up; docs/runbooks.md says what slows it`,
  )
}

function slot({ slot: state }: SyncHealth): Condition {
  const ok = state !== null && state.walStatus !== 'lost' && state.walStatus !== 'unreserved'
  return condition(
    'slot',
    ok,
    'the slot keeps all WAL it needs',
    state === null
      ? 'there is no slot that keeps the WAL: run pontoon sync'
      : state.walStatus === 'lost'
        ? `the slot ${state.name} was given up by its server, and the WAL that it kept is gone: see stream`
        : `the slot ${state.name} is about to lose WAL: raise max_slot_wal_keep_size`,
  )
}

function transactions(surroundings: readonly Surroundings[]): Condition {
  const prepared = surroundings.reduce((sum, one) => sum + one.preparedTransactions, 0)
  const long = surroundings
    .flatMap(({ longTransactions }) => longTransactions)
    .map(({ pid, user, database }) => `${user} in ${database} (pid ${pid})`)
  return condition(
    'transactions',
    prepared === 0 && long.length === 0,
    'no long or prepared transactions are open',
    `open: ${prepared} prepared, long ones of ${list(long) || 'nobody'}. End them: a switch would wait`,
  )
}
