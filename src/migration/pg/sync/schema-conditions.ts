/** Conditions about what replication does not carry, and about tables that it does not cover. */
import { readable } from '../quote.ts'
import type { Drift } from '../drift.ts'
import { identityFault } from '../identity.ts'
import { missedText } from '../missed.ts'
import { truncatedText } from '../truncations.ts'
import { condition, list, type Condition } from './condition.ts'
import type { SchemaPicture } from './drift-of.ts'

export function schemaConditions(schemas: SchemaPicture): readonly Condition[] {
  const { drift, missingSequences, tables, publication, hasLargeObjects } = schemas
  const { truncated, missed } = schemas
  const ofTables = drift.filter(({ table }) => !missingSequences.includes(table))
  const stops = ofTables.filter(({ effect }) => effect === 'stops')
  const loses = ofTables.filter(({ effect }) => effect === 'loses')
  const differs = ofTables.length - stops.length - loses.length
  const real = tables.filter(({ kind }) => kind === 'table')
  const keyless = real.flatMap((table) => {
    const fault = identityFault(table)
    return fault === null ? [] : [`${readable(table)} ${fault.text}: ${fault.fix}`]
  })
  const unlogged = real.filter(({ isUnlogged }) => isUnlogged).map(readable)
  return [
    condition(
      'schema',
      stops.length === 0,
      differs === 0
        ? 'tables and columns are the same on both sides'
        : `the schemas fit; ${differs} differences stop nothing, see the drift`,
      told(stops),
    ),
    condition('tables', loses.length === 0, 'every table is synced', told(loses)),
    condition(
      'publication',
      publication.isWhole,
      `the publication ${publication.name} sends every change of its tables`,
      `the publication ${publication.name} does not send every change: pontoon sync mends it`,
    ),
    condition(
      'identity',
      keyless.length === 0,
      'every table has an identity',
      `${list(keyless, '; ')}. Then pontoon sync`,
    ),
    condition(
      'sequences',
      missingSequences.length === 0,
      'every sequence is on both sides',
      `sequences that the other side has not: ${list(missingSequences)}. ` +
        'Make them there with the same DDL',
    ),
    condition(
      'unlogged',
      unlogged.length === 0,
      'there are no unlogged tables',
      `unlogged, so their rows do not travel: ${list(unlogged)}. ALTER TABLE … SET LOGGED, or ` +
        'list them in migration.exclude',
    ),
    condition(
      'truncate',
      truncated.length === 0,
      'every TRUNCATE has been carried over',
      truncatedText(truncated, 'SERVICE'),
    ),
    condition(
      'missed',
      missed === null,
      'no change was missed by the sync',
      missed === null ? '' : missedText(missed, 'SERVICE'),
    ),
    condition(
      'large-objects',
      !hasLargeObjects,
      'there are no large objects',
      'there are large objects, which replication does not carry. Keep them as bytea, or bring ' +
        'them over yourself, and lo_unlink() them before the switch',
    ),
  ]
}

function told(drift: readonly Drift[]): string {
  return list(
    drift.map(({ table, text, fix }) => `${table} ${text}: ${fix}`),
    '; ',
  )
}
