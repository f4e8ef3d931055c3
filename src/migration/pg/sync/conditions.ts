/**
 * What has to hold so that changing sides loses nothing, each condition by itself. They are about
 * the direction that carries the writes of the primary side to the other one: forward before a
 * cutover, reverse after it. Whoever made the switch adds the conditions that only it knows.
 */
import { hasIdentity, tableName } from '../tables.ts'
import type { SchemaPicture } from './drift-of.ts'
import type { SyncHealth } from './health.ts'
import type { Surroundings } from './surroundings.ts'

export interface Condition {
  /** Stable, e.g. `lag`. */
  readonly name: string
  readonly ok: boolean
  /** One sentence for people. */
  readonly text: string
}

export interface ConditionInput {
  readonly health: SyncHealth
  /** Null while it was not read yet. */
  readonly schemas: SchemaPicture | null
  /** Of both sides. */
  readonly surroundings: readonly Surroundings[]
  /** Whether the side that is not primary refuses application writers. */
  readonly isFenced: boolean
}

const lagMsMax = 5_000
const listedMax = 5

export function syncConditions(input: ConditionInput): readonly Condition[] {
  const { health, surroundings, isFenced } = input
  const prepared = surroundings.reduce(
    (sum, { preparedTransactions }) => sum + preparedTransactions,
    0,
  )
  const long = surroundings.flatMap(({ longTransactions }) => longTransactions)
  return [
    streaming(health),
    lag(health),
    condition(
      'fence',
      isFenced,
      'the other side refuses application writers',
      'application writers may write to the other side',
    ),
    ...schemaConditions(input.schemas),
    condition(
      'transactions',
      prepared === 0 && long.length === 0,
      'no long or prepared transactions are open',
      `open: ${prepared} prepared, long ones of ${list(long.map(({ pid, user }) => `${user} (pid ${pid})`)) || 'nobody'}`,
    ),
    slot(health),
  ]
}

function streaming({ state, problem, notReadyCount }: SyncHealth): Condition {
  const why =
    problem?.cause ?? (notReadyCount > 0 ? `${notReadyCount} tables are still copied` : state)
  return condition('stream', state === 'streaming', `sync runs`, `sync does not run: ${why}`)
}

function lag({ lagMs }: SyncHealth): Condition {
  if (lagMs === null)
    return { name: 'lag', ok: false, text: 'the lag is not known: no beat has arrived' }
  return condition(
    'lag',
    lagMs <= lagMsMax,
    `behind by ${lagMs} ms`,
    `behind by ${lagMs} ms, more than ${lagMsMax}`,
  )
}

function schemaConditions(schemas: SchemaPicture | null): readonly Condition[] {
  if (schemas === null) return []
  const stops = schemas.drift.filter(({ effect }) => effect === 'stops')
  const loses = schemas.drift.filter(({ effect }) => effect === 'loses')
  const keyless = schemas.tables.filter((table) => table.kind === 'table' && !hasIdentity(table))
  const unlogged = schemas.tables.filter((table) => table.isUnlogged)
  const told = (drift: SchemaPicture['drift']): string =>
    list(drift.map(({ table, text }) => `${table} ${text}`))
  return [
    condition('schema', stops.length === 0, 'the schemas fit', told(stops)),
    condition('tables', loses.length === 0, 'every table is synced', told(loses)),
    condition(
      'identity',
      keyless.length === 0,
      'every table has an identity',
      list(keyless.map(tableName)),
    ),
    condition(
      'unlogged',
      unlogged.length === 0,
      'there are no unlogged tables',
      list(unlogged.map(tableName)),
    ),
    condition(
      'large-objects',
      !schemas.hasLargeObjects,
      'there are no large objects',
      'there are large objects, which replication does not carry',
    ),
  ]
}

function slot({ slot: state }: SyncHealth): Condition {
  const ok = state !== null && state.walStatus !== 'lost' && state.walStatus !== 'unreserved'
  return condition(
    'slot',
    ok,
    'the slot keeps all WAL it needs',
    'the slot has lost WAL, or is about to',
  )
}

function condition(name: string, ok: boolean, good: string, bad: string): Condition {
  return { name, ok, text: ok ? good : bad }
}

function list(texts: readonly string[]): string {
  const more = texts.length - listedMax
  return [...texts.slice(0, listedMax), ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
}
