/**
 * Unlogged tables that the lost snapshot owes: no publication carries them, so no table sync can
 * bring them. No change follows their rows either, so any later snapshot does.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { qualified } from '../quote.ts'
import { forgetTableSql } from './chunk-marks.ts'
import { emptyTables, referencedTables } from './empty.ts'
import type { CopyJob, PlannedTable } from './journal.ts'
import { copyRows } from './rows.ts'
import { mayReplicate } from './session.ts'
import type { CopyWork } from './work.ts'

/** Gives the job in which they are not left any more. `build` is called for each. */
export async function copyUnpublished(
  work: CopyWork,
  source: SqlClient,
  target: SqlClient,
  build: (key: string) => void,
): Promise<CopyJob> {
  const owed = work.job.tables.filter((table) => table.isLeftToSync && !table.isPublished)
  if (owed.length === 0) return work.job
  for (const table of owed) await emptyTables(target, [table], forgetTableSql(work.job.id, table))
  await source.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    const snapshot = (await source.value('SELECT pg_catalog.pg_export_snapshot()')) ?? ''
    const tables: PlannedTable[] = []
    for (const table of owed) {
      const filenode = await source.value(`SELECT pg_catalog.pg_relation_filenode(${table.oid})`)
      tables.push({ ...table, filenode: filenode ?? '', chunkPages: [0], isLeftToSync: false })
    }
    const referenced = await referencedTables(target)
    await copyRows(
      { ...work, job: { ...work.job, tables } },
      {
        snapshot,
        mayReplicate: await mayReplicate(target, work.exclude),
        mayTruncate: new Set(tables.map(qualified).filter((name) => !referenced.has(name))),
        marks: [],
        onTable: (table) => build(qualified(table)),
      },
    )
    const copied = new Map(tables.map((table) => [qualified(table), table]))
    return {
      ...work.job,
      tables: work.job.tables.map((table) => copied.get(qualified(table)) ?? table),
    }
  } finally {
    if (source.isOpen) await source.run('COMMIT')
  }
}
