/** The drift of a direction, from both catalogues. Seldom: it reads every table. */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { findDrift, type Drift } from '../drift.ts'
import { readMissed, type Missed } from '../missed.ts'
import { publicationName } from '../names.ts'
import { planPublication, readPublishedTables } from '../publication.ts'
import { qualified, readable } from '../quote.ts'
import { hasIdentity, readSequences, readTables, type Table } from '../tables.ts'
import { readPairing } from '../table-pairs.ts'
import { truncatedTables } from '../truncations.ts'
import { readSubscription } from '../subscription-state.ts'
import { findSubscription, type SyncPlace, type SyncSides } from './health.ts'

export interface SchemaPicture {
  readonly drift: readonly Drift[]
  /** For the target: see Pairing in table-pairs.ts. */
  readonly noteSql: string | null
  /** Those of the sending side that the receiving side has not; they are in `drift` too. */
  readonly missingSequences: readonly string[]
  /** Of the sending side. */
  readonly tables: readonly Table[]
  /** `isWhole`: it is there and sends every change of the tables that are in it. */
  readonly publication: { readonly name: string; readonly isWhole: boolean }
  readonly hasLargeObjects: boolean
  /** Tables of the sending side whose TRUNCATE the receiving side may not have seen. */
  readonly truncated: readonly string[]
  /** Changes of the sending side that are missing on the other one; null while none are. */
  readonly missed: Missed | null
}

export async function readSchemas(
  { sender, receiver }: SyncSides,
  place: SyncPlace,
  exclude: readonly string[],
  options?: SqlOptions,
): Promise<SchemaPicture> {
  const tables = await readTables(sender, exclude)
  const name = publicationName(place.service, place.direction)
  const published = await readPublishedTables(sender, name)
  const subscription = await findSubscription(receiver, place, options)
  const state =
    subscription === undefined ? undefined : await readSubscription(receiver, subscription, options)
  const senderSequences = await readSequences(sender, exclude)
  const receiverTables = await readTables(receiver, exclude)
  const sides = { sender: tables, receiver: receiverTables }
  const target = place.direction === 'forward' ? receiver : sender
  const { mixed, noteSql } = await readPairing(target, place.direction, sides, options)
  const drift = findDrift({
    ...sides,
    published,
    subscribed: state?.tables,
    mixed,
    senderSequences,
    receiverSequences: await readSequences(receiver, exclude),
  })
  const sequences = new Set(senderSequences.map(readable))
  const members = new Set(published?.map(qualified))
  const synced = tables.filter((table) => hasIdentity(table) && members.has(qualified(table)))
  const large = await sender.value(
    'SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)',
    undefined,
    options,
  )
  return {
    drift,
    noteSql,
    missingSequences: drift.map(({ table }) => table).filter((table) => sequences.has(table)),
    tables,
    publication: { name, isWhole: await isWhole(sender, receiver.major, place, synced) },
    hasLargeObjects: large === 't',
    truncated: await truncatedTables(sender, receiver.major, options),
    missed: await readMissed(sender, place.direction, options),
  }
}

/** Members that need not be in it do no harm. */
async function isWhole(
  sender: SqlClient,
  receiverMajor: number,
  { service, direction }: SyncPlace,
  tables: readonly Table[],
): Promise<boolean> {
  try {
    const plan = await planPublication(sender, { service, direction, tables, receiverMajor })
    return !plan.isNew && !plan.isPartial && plan.added.length === 0
  } catch (error) {
    // It is none that Pontoon made.
    if (error instanceof PontoonError && error.code === 'MIGRATION_REFUSED') return false
    throw error
  }
}
