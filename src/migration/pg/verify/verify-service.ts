/**
 * The whole of `pontoon verify` in its folder: schema, rows, report, and `last.json`, which sums it
 * up. Only one at a time for a service; one that was killed is gone on with.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '../../../store/durable-file.ts'
import { FolderLock } from '../../../store/folder-lock.ts'
import { systemClock } from '../../../shared/clock.ts'
import { noteEqualPairs, tablesBefore } from './equal-pairs.ts'
import { hasJournal, removeJournal } from './journal.ts'
import { verifyFolder, type LastVerify, type VerifyResult } from './last-verify.ts'
import { totalOf, type TablesReport } from './report.ts'
import { checkSchema, type SchemaReport } from './schema-check.ts'
import { missedBefore, noteArrived } from './missed-changes.ts'
import { filesBefore, noteEqual } from './table-files.ts'
import { verifyTables, type VerifyTablesOptions } from './verify-tables.ts'

export interface VerifyServiceOptions extends Omit<VerifyTablesOptions, 'folder'> {
  readonly stateFolder: string
  /** Forgets what an earlier, unfinished run has compared. */
  readonly restart?: boolean
  /** Compares the schema, too. */
  readonly withSchema: boolean
}

export interface ServiceReport {
  readonly result: VerifyResult
  readonly startedAt: string
  readonly endedAt: string
  readonly schema: SchemaReport | null
  readonly data: TablesReport
  readonly file: string
}

export async function verifyService(options: VerifyServiceOptions): Promise<ServiceReport> {
  const { stateFolder, context, clock = systemClock } = options
  const folder = verifyFolder(stateFolder, context.service)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const lock = await FolderLock.acquire(folder, clock)
  try {
    if (options.restart === true) await removeJournal(folder)
    const startedAt = new Date(clock.wallMs()).toISOString()
    const isResumed = await hasJournal(folder)
    const files = isResumed ? null : await filesBefore(context)
    const tables = isResumed ? null : await tablesBefore(context, options.exclude ?? [])
    const missed = await missedBefore(context)
    const { data, unlogged } = await verifyTables({ ...options, folder, clock })
    const schema = options.withSchema
      ? await checkSchema({
          context,
          primary: data.primary,
          exclude: options.exclude ?? [],
          unlogged,
          signal: options.signal,
        })
      : null
    if (files !== null && areRowsEqual(data, options)) await noteEqual(context, data.primary, files)
    if (areRowsEqual(data, options) && data.isAligned && !data.keysOnly) {
      await noteArrived(context, data.primary, missed)
      if (tables !== null) await noteEqualPairs(context, data.primary, tables)
    }
    const endedAt = new Date(clock.wallMs()).toISOString()
    const result = resultOf(data, schema)
    const name = `report-${startedAt.replaceAll(':', '-')}.json`
    const file = join(folder, name)
    const report = { result, startedAt, endedAt, schema, data, file }
    await lock.verify()
    await replaceFile(file, `${JSON.stringify(report, null, 2)}\n`)
    await writeLast(folder, name, report, options)
    await removeJournal(folder)
    return report
  } finally {
    await lock.release()
  }
}

function areRowsEqual(data: TablesReport, { only = [] }: VerifyServiceOptions): boolean {
  const { differing, repaired, unsettled } = totalOf(data.tables)
  const isWhole = only.length === 0 && data.leftOut.length === 0
  return isWhole && differing <= repaired && unsettled === 0
}

async function writeLast(
  folder: string,
  name: string,
  { result, startedAt, endedAt, schema, data }: ServiceReport,
  { only = [] }: VerifyServiceOptions,
): Promise<void> {
  const total = totalOf(data.tables)
  const last: LastVerify = {
    version: 1,
    result,
    startedAt,
    endedAt,
    primary: data.primary,
    isComplete: !data.keysOnly && only.length === 0 && schema !== null,
    isAligned: data.isAligned,
    tables: data.tables.length,
    rows: total.rows,
    differing: total.differing,
    repaired: total.repaired,
    unsettled: total.unsettled,
    schemaDifferences: schema?.differences.length ?? 0,
    report: name,
  }
  await replaceFile(join(folder, 'last.json'), `${JSON.stringify(last, null, 2)}\n`)
}

function resultOf(data: TablesReport, schema: SchemaReport | null): VerifyResult {
  const { differing, repaired, unsettled } = totalOf(data.tables)
  const isDifferent =
    differing > repaired ||
    data.leftOut.some((one) => one.isDifference) ||
    (schema?.differences.length ?? 0) > 0
  if (isDifferent) return 'different'
  return unsettled > 0 || data.leftOut.length > 0 ? 'unsettled' : 'equal'
}
