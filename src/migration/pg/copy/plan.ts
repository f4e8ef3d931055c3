/**
 * What is copied and in which pieces: read in the snapshot itself, so that plan and rows are of
 * one moment. Also finds what stands in the way, before anything is changed.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { heartbeatOf, isPublishable } from '../publication.ts'
import { literal, qualified, readable } from '../quote.ts'
import { readTables, type Table } from '../tables.ts'
import { binaryTables } from './column-format.ts'
import type { PlannedTable } from './journal.ts'
import { copyLimits } from './limits.ts'

export interface CopyPlan {
  /** The heartbeat, then the largest first. */
  readonly tables: readonly PlannedTable[]
  /** What an operator should know and that stops nothing. */
  readonly remarks: readonly string[]
}

export interface PlanOptions {
  readonly source: SqlClient
  readonly target: SqlClient
  readonly exclude: readonly string[]
  readonly jobs: number
  /** Default: from the sizes. */
  readonly chunkBytes?: number | undefined
}

/** ctid ranges are read without the rest of the table since then. */
const tidRangeMajor = 14

/** Throws MIGRATION_REFUSED where the target cannot take the rows. */
export async function planCopy(options: PlanOptions): Promise<CopyPlan> {
  const { source, target, exclude } = options
  const [tables, theirs] = await Promise.all([readTables(source, exclude), readTables(target)])
  const leaves = tables.filter(({ kind }) => kind === 'table')
  refuseMisfits(leaves, theirs)
  const [binary, binaryThere] = await Promise.all([binaryTables(source), binaryTables(target)])
  const heaps = await readHeaps(source)
  const total = leaves.reduce((sum, { bytes }) => sum + bytes, 0)
  const chunkBytesOf = (bytes: number): number =>
    options.chunkBytes ??
    (bytes <= copyLimits.wholeBytesMax ? bytes : fairChunk(total, options.jobs))
  const planned = leaves.map((table): PlannedTable => {
    const key = qualified(table)
    const { filenode, pages } = heaps.get(table.oid) ?? { filenode: '', pages: 0 }
    const isBinary = binary.has(key) && binaryThere.has(key) && hasSameTypes(table, theirs)
    return {
      schema: table.schema,
      name: table.name,
      oid: table.oid,
      filenode,
      isPublished: isPublishable(table),
      bytes: table.bytes,
      rows: Math.max(0, table.rows),
      columns: table.columns.filter(({ isGenerated }) => !isGenerated).map(({ name }) => name),
      format: isBinary ? 'binary' : 'text',
      chunkPages:
        source.major < tidRangeMajor ? [0] : split(pages, table.bytes, chunkBytesOf(table.bytes)),
      isLeftToSync: false,
    }
  })
  return {
    tables: [...(await planHeartbeat(source)), ...planned.toSorted((a, b) => b.bytes - a.bytes)],
    remarks: [...remarksOn(tables), ...(await remarkOnLargeObjects(source))],
  }
}

/** The subscription changes the rows of the heartbeat, so they have to be there. */
async function planHeartbeat(source: SqlClient): Promise<readonly PlannedTable[]> {
  const heartbeat = heartbeatOf('forward')
  const { rows } = await source.query(
    `SELECT c.oid, pg_catalog.pg_relation_filenode(c.oid) FROM pg_catalog.pg_class c
     WHERE c.oid = pg_catalog.to_regclass(${literal(qualified(heartbeat))})`,
  )
  return rows.map(([oid, filenode]) => ({
    ...heartbeat,
    oid: Number(oid),
    filenode: filenode ?? '',
    isPublished: true,
    bytes: 0,
    rows: 0,
    columns: ['name', 'value', 'at'],
    format: 'binary',
    chunkPages: [0],
    isLeftToSync: false,
  }))
}

function fairChunk(totalBytes: number, jobs: number): number {
  const fair = totalBytes / (jobs * copyLimits.chunksPerJob)
  return Math.min(copyLimits.chunkBytesMax, Math.max(copyLimits.chunkBytesMin, fair))
}

/** First pages of even chunks. A little more than one chunk stays one. */
function split(pages: number, bytes: number, chunkBytes: number): number[] {
  const chunks = Math.max(1, Math.min(pages, Math.round(bytes / Math.max(1, chunkBytes))))
  return Array.from({ length: chunks }, (_, chunk) => Math.floor((pages * chunk) / chunks))
}

async function readHeaps(
  source: SqlClient,
): Promise<ReadonlyMap<number, { readonly filenode: string; readonly pages: number }>> {
  const { rows } = await source.query(
    `SELECT c.oid, pg_catalog.pg_relation_filenode(c.oid),
       pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int
     FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384`,
    undefined,
    { timeoutMs: 120_000 },
  )
  return new Map(
    rows.map(([oid, filenode, pages]) => [
      Number(oid),
      { filenode: filenode ?? '', pages: Number(pages) },
    ]),
  )
}

function refuseMisfits(tables: readonly Table[], theirs: readonly Table[]): void {
  const there = new Map(theirs.map((table) => [qualified(table), table]))
  const missing = tables.filter((table) => !there.has(qualified(table)))
  const lacking = tables.flatMap((table) => {
    const columns = new Set(there.get(qualified(table))?.columns.map(({ name }) => name))
    const lost = table.columns.filter(({ name }) => !columns.has(name))
    return lost.length === 0 || columns.size === 0
      ? []
      : [`${readable(table)} (${lost.map(({ name }) => name).join(', ')})`]
  })
  if (missing.length + lacking.length === 0) return
  const words = [
    ...(missing.length > 0 ? [`tables missing on the target: ${listOf(missing)}`] : []),
    ...(lacking.length > 0 ? [`columns missing on the target: ${lacking.join(', ')}`] : []),
  ]
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `${words.join('; ')}. Run pontoon schema, or list tables in migration.exclude.`,
  )
}

const namedMax = 20

function listOf(tables: readonly Table[]): string {
  const named = tables.slice(0, namedMax).map(readable).join(', ')
  return tables.length > namedMax ? `${named} and ${tables.length - namedMax} more` : named
}

function hasSameTypes(table: Table, theirs: readonly Table[]): boolean {
  const there = theirs.find((one) => qualified(one) === qualified(table))
  const types = new Map(there?.columns.map(({ name, type }) => [name, type]))
  return table.columns.every(({ name, type }) => types.get(name) === type)
}

function remarksOn(tables: readonly Table[]): readonly string[] {
  const unlogged = tables.filter(({ isUnlogged }) => isUnlogged)
  if (unlogged.length === 0) return []
  return [
    `Unlogged tables are copied, but what changes in them later is not synced: ${listOf(unlogged)}.`,
  ]
}

async function remarkOnLargeObjects(source: SqlClient): Promise<readonly string[]> {
  const found = await source.value('SELECT count(*) FROM pg_catalog.pg_largeobject_metadata')
  if (found === null || found === '0') return []
  return [
    `${found} large objects (pg_largeobject) are neither copied nor synced: ` +
      'logical replication does not carry them. Move them with pg_dump --blobs while nobody writes them.',
  ]
}
