/** What a verification found, as its report, its journal and `last.json` keep it. */
import { z } from 'zod'
import { differenceSchema } from './row-details.ts'

export const repairedSchema = z.object({
  key: z.array(z.string()),
  action: z.enum(['inserted', 'updated', 'deleted', 'replaced', 'none', 'failed']),
  reason: z.string(),
})

/** One chunk, or the sum of the chunks of a table. */
export const countsSchema = z.object({
  /** On the primary side. */
  rows: z.number(),
  otherRows: z.number(),
  /** Known to differ. */
  differing: z.number(),
  /** Of them, equal again. */
  repaired: z.number(),
  /** Changed so often that they were never seen at rest. */
  unsettled: z.number(),
})
export type Counts = Readonly<z.infer<typeof countsSchema>>

export const findingsSchema = countsSchema.extend({
  /** As many as are to be listed. */
  differences: z.array(differenceSchema),
  unsettledKeys: z.array(z.array(z.string())),
  repairs: z.array(repairedSchema),
})
export type Findings = Readonly<z.infer<typeof findingsSchema>>

export const tableReportSchema = findingsSchema.extend({
  table: z.string(),
  method: z.enum(['ranges', 'buckets', 'multiset']),
  chunks: z.number(),
  warnings: z.array(z.string()),
})
export type TableReport = Readonly<z.infer<typeof tableReportSchema>>

export const tablesReportSchema = z.object({
  primary: z.enum(['source', 'target']),
  /** Whether changes were carried over while the sides were compared. */
  isAligned: z.boolean(),
  keysOnly: z.boolean(),
  tables: z.array(tableReportSchema),
  leftOut: z.array(z.object({ table: z.string(), reason: z.string(), isDifference: z.boolean() })),
  warnings: z.array(z.string()),
  /** Without the time of runs that this one went on from. */
  elapsedMs: z.number(),
})
export type TablesReport = Readonly<z.infer<typeof tablesReportSchema>>

export const noFindings: Findings = {
  rows: 0,
  otherRows: 0,
  differing: 0,
  repaired: 0,
  unsettled: 0,
  differences: [],
  unsettledKeys: [],
  repairs: [],
}

/** Lists of the sum are cut at `listedMax`, its counts are whole. */
export function addFindings(one: Findings, two: Findings, listedMax: number): Findings {
  return {
    rows: one.rows + two.rows,
    otherRows: one.otherRows + two.otherRows,
    differing: one.differing + two.differing,
    repaired: one.repaired + two.repaired,
    unsettled: one.unsettled + two.unsettled,
    differences: [...one.differences, ...two.differences].slice(0, listedMax),
    unsettledKeys: [...one.unsettledKeys, ...two.unsettledKeys].slice(0, listedMax),
    // Every write is on record.
    repairs: [...one.repairs, ...two.repairs],
  }
}

export function totalOf(tables: readonly TableReport[]): Counts {
  return tables.reduce<Findings>((sum, table) => addFindings(sum, table, 0), noFindings)
}
