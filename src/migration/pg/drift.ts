/**
 * Where the schemas of the sending and the receiving side have grown apart: DDL that replication
 * does not carry. Told before the first row that would stop the stream, each with the way out.
 */
import type { QualifiedName } from './quote.ts'
import { qualified, readable } from './quote.ts'
import { isPublishable } from './publication.ts'
import { identityFault } from './identity.ts'
import type { MixedTable } from './table-pairs.ts'
import { hasIdentity, type Column, type Sequence, type Table } from './tables.ts'

export interface Drift {
  readonly table: string
  /** `stops`: a change of the table stops the stream; `loses`: its changes do not travel. */
  readonly effect: 'stops' | 'loses' | 'differs'
  readonly text: string
  readonly fix: string
}

export interface DriftInput {
  readonly sender: readonly Table[]
  readonly receiver: readonly Table[]
  /** Members of the publication, undefined while there is none. */
  readonly published: readonly QualifiedName[] | undefined
  /** Tables that the subscription knows, undefined while there is none. */
  readonly subscribed: readonly QualifiedName[] | undefined
  /** Of the sending side, whose names have meant others: see table-pairs.ts. */
  readonly mixed: readonly MixedTable[]
  readonly senderSequences: readonly Sequence[]
  readonly receiverSequences: readonly Sequence[]
}

export function findDrift(input: DriftInput): readonly Drift[] {
  const there = new Map(input.receiver.map((table) => [qualified(table), table]))
  const here = new Set(input.sender.map(qualified))
  const published = input.published && new Set(input.published.map(qualified))
  const subscribed = input.subscribed && new Set(input.subscribed.map(qualified))
  return [
    ...input.sender.flatMap((table) => {
      const isPublished = published?.has(qualified(table)) ?? true
      return [
        ...unpublished(table, isPublished),
        ...(isPublished && subscribed?.has(qualified(table)) === false ? unknown(table) : []),
        ...apart(table, there.get(qualified(table)), isPublished),
        ...parentDrift(table, there.get(qualified(table)), here, there),
      ]
    }),
    ...input.mixed.map(mixedDrift),
    ...missingSequences(input),
  ]
}

function mixedDrift(table: MixedTable): Drift {
  const text =
    table.columns.length === 0
      ? 'has a name that has meant another table since both sides were known to be equal: it was made ' +
        'anew, or changed its name with another one. Changes go by names, so rows may be in the wrong table'
      : `has columns (${table.columns.join(', ')}) whose names have meant others since both sides were ` +
        'known to be equal: made anew, or with names changed among them. Changes go by names, so ' +
        'values may be in the wrong column'
  const fix =
    'pontoon verify --repair, and a whole one has to find all rows equal; where there are many, ' +
    'rename there first what was renamed here'
  return { table: readable(table), effect: 'loses', text, fix }
}

function unpublished(table: Table, isPublished: boolean): readonly Drift[] {
  if (isPublished || table.kind === 'partitioned') return []
  const name = readable(table)
  if (table.isUnlogged) {
    const fix = `ALTER TABLE ${name} SET LOGGED, or list it in migration.exclude`
    return [{ table: name, effect: 'loses', text: 'is unlogged: its rows never travel', fix }]
  }
  const fault = identityFault(table)
  if (fault !== null) {
    const text = `is not synced: it ${fault.text}`
    return [{ table: name, effect: 'loses', text, fix: `${fault.fix}; then pontoon sync` }]
  }
  const fix = 'make it on the other side too, then run pontoon sync'
  return [{ table: name, effect: 'loses', text: 'is new and not synced yet', fix }]
}

/** The receiving server passes its changes by without a word. */
function unknown(table: Table): readonly Drift[] {
  if (!isPublishable(table)) return []
  const text = 'is published, but the subscription does not know it: its changes are passed by'
  return [{ table: readable(table), effect: 'loses', text, fix: 'run pontoon sync' }]
}

function apart(table: Table, other: Table | undefined, isPublished: boolean): readonly Drift[] {
  const name = readable(table)
  const effect = isPublished && isPublishable(table) ? 'stops' : 'differs'
  if (other === undefined) {
    const fix = 'make it on the receiving side with the same DDL'
    return [{ table: name, effect, text: 'is missing on the receiving side', fix }]
  }
  const theirs = new Map(other.columns.map((column) => [column.name, column]))
  const ours = new Set(table.columns.map((column) => column.name))
  return [
    ...unloggedDrift(table, other),
    ...table.columns.flatMap((column) => {
      const same = theirs.get(column.name)
      if (same !== undefined) return columnDrift(name, column, same, effect)
      const renamed = other.columns.find(
        ({ name: old, type }) => !ours.has(old) && type === column.type,
      )
      return missingColumn(name, column, renamed, effect)
    }),
    ...other.columns.flatMap((column) => surplusDrift(name, column, ours, effect)),
    ...keyDrift(table, other, effect),
  ]
}

/**
 * Attached or detached on one side only: its rows travel all the same, and who reads the parent sees
 * them on one side only. A parent that the other side does not have at all is meant to be so.
 */
function parentDrift(
  table: Table,
  other: Table | undefined,
  here: ReadonlySet<string>,
  there: ReadonlyMap<string, Table>,
): readonly Drift[] {
  if (other === undefined) return []
  const name = readable(table)
  const [ours, theirs] = [table.parent, other.parent]
  if ((ours && qualified(ours)) === (theirs && qualified(theirs))) return []
  const drift: Drift[] = []
  if (ours !== null && there.has(qualified(ours))) {
    const text = `belongs to ${readable(ours)}, but not on the receiving side: who reads that one would miss its rows`
    drift.push({ table: name, effect: 'loses', text, fix: 'attach it there as it is here' })
  }
  if (theirs !== null && here.has(qualified(theirs))) {
    const text = `belongs to ${readable(theirs)} on the receiving side only: who reads that one would find its rows there`
    drift.push({ table: name, effect: 'loses', text, fix: 'detach it there as it was here' })
  }
  return drift
}

/** Its rows arrive, and are gone after a crash; once that side is primary, none of them travels back. */
function unloggedDrift(table: Table, other: Table): readonly Drift[] {
  if (table.isUnlogged || !other.isUnlogged) return []
  const name = readable(table)
  const text = 'is unlogged on the receiving side: its rows would never travel back'
  return [{ table: name, effect: 'loses', text, fix: `ALTER TABLE ${name} SET LOGGED there` }]
}

const computed = 'GENERATED ALWAYS AS (…) STORED'

/** `renamed`: only the receiving side has it, and its type is the same. */
function missingColumn(
  table: string,
  { name, type, isGenerated, hasDefault, identity }: Column,
  renamed: Column | undefined,
  effect: Drift['effect'],
): readonly Drift[] {
  if (isGenerated) {
    const text = `column ${name} (${type}), which is generated, is missing on the receiving side`
    const fix = `ALTER TABLE ${table} ADD COLUMN ${name} ${type} ${computed} there, as it is here`
    return [{ table, effect: 'loses', text, fix }]
  }
  const text = `column ${name} (${type}) is missing on the receiving side`
  const added = `ALTER TABLE ${table} ADD COLUMN ${name} ${type} there`
  const filled =
    hasDefault || identity !== null
      ? `${added}, with the default that it has here; pontoon verify tells which rows got another value`
      : added
  const fix =
    renamed === undefined
      ? filled
      : `ALTER TABLE ${table} RENAME ${renamed.name} TO ${name} there, if that was done here; otherwise ${filled}`
  return [{ table, effect, text, fix }]
}

function columnDrift(
  table: string,
  column: Column,
  other: Column,
  effect: Drift['effect'],
): readonly Drift[] {
  const { name, type } = column
  if (other.isGenerated && !column.isGenerated) {
    const text = `column ${name} is generated on the receiving side only`
    return [
      { table, effect, text, fix: `ALTER TABLE ${table} ALTER ${name} DROP EXPRESSION there` },
    ]
  }
  if (column.isGenerated && !other.isGenerated) {
    const text = `column ${name} is generated here only, so nobody sends its values`
    const fix = `ALTER TABLE ${table} DROP COLUMN ${name}, ADD COLUMN ${name} ${type} ${computed} there, as it is here`
    return [{ table, effect: 'loses', text, fix }]
  }
  if (other.type !== type) {
    const text = `column ${name} is ${type}, and ${other.type} on the receiving side`
    return [
      {
        table,
        effect: 'differs',
        text,
        fix: `ALTER TABLE ${table} ALTER ${name} TYPE ${type} there`,
      },
    ]
  }
  if (other.notNull && !column.notNull) {
    const text = `column ${name} may be null here, but not on the receiving side`
    return [
      {
        table,
        effect: 'differs',
        text,
        fix: `ALTER TABLE ${table} ALTER ${name} DROP NOT NULL there`,
      },
    ]
  }
  return []
}

/** A column that nobody sends gets its default; without one it must be allowed to be null. */
function surplusDrift(
  table: string,
  column: Column,
  ours: ReadonlySet<string>,
  effect: Drift['effect'],
): readonly Drift[] {
  if (ours.has(column.name) || column.isGenerated || column.identity !== null) return []
  const text = `column ${column.name} is on the receiving side only`
  const fix = `make it on the sending side too, or ALTER TABLE ${table} DROP COLUMN ${column.name} there`
  const isFilled = !column.notNull || column.hasDefault
  return [{ table, effect: isFilled ? 'differs' : effect, text, fix }]
}

function keyDrift(table: Table, other: Table, effect: Drift['effect']): readonly Drift[] {
  const name = readable(table)
  if (table.kind === 'partitioned' || table.replicaIdentity === 'full') return []
  const isFound = other.primaryKey.length > 0 || other.identityColumns.length > 0
  if (!hasIdentity(table) || isFound) return []
  const columns = table.identityColumns.join(', ')
  const text = `the key (${columns}) is missing on the receiving side: changed rows are not found there`
  const fix = `make the primary key of ${name} there: pontoon schema --post-data does`
  return [{ table: name, effect, text, fix }]
}

function missingSequences({ senderSequences, receiverSequences }: DriftInput): readonly Drift[] {
  const there = new Set(receiverSequences.map(qualified))
  return senderSequences.flatMap((sequence) =>
    there.has(qualified(sequence))
      ? []
      : [
          {
            table: readable(sequence),
            effect: 'loses' as const,
            text: 'is a sequence that the receiving side has not: a cutover could not carry it over',
            fix: 'make it there with the same DDL',
          },
        ],
  )
}
