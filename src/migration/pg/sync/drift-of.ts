/** The drift of a direction, from both catalogues. Seldom: it reads every table. */
import type { SqlOptions } from '../../../net/pg/sql-client.ts'
import { findDrift, type Drift } from '../drift.ts'
import { publicationName } from '../names.ts'
import { readPublishedTables } from '../publication.ts'
import { readSequences, readTables, type Table } from '../tables.ts'
import type { SyncPlace, SyncSides } from './health.ts'

export interface SchemaPicture {
  readonly drift: readonly Drift[]
  /** Of the sending side. */
  readonly tables: readonly Table[]
  readonly hasLargeObjects: boolean
}

export async function readSchemas(
  { sender, receiver }: SyncSides,
  { service, direction }: SyncPlace,
  exclude: readonly string[],
  options?: SqlOptions,
): Promise<SchemaPicture> {
  const tables = await readTables(sender, exclude)
  const drift = findDrift({
    sender: tables,
    receiver: await readTables(receiver, exclude),
    published: await readPublishedTables(sender, publicationName(service, direction)),
    senderSequences: await readSequences(sender, exclude),
    receiverSequences: await readSequences(receiver, exclude),
  })
  const large = await sender.value(
    'SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)',
    undefined,
    options,
  )
  return { drift, tables, hasLargeObjects: large === 't' }
}
