/** pontoon copy --dry-run: what would be copied, with sizes, and what stands in the way. */
import { planCopy, type CopyPlan } from '../migration/pg/copy/plan.ts'
import { rehearseStart } from '../migration/pg/copy/start.ts'
import { readable, type QualifiedName } from '../migration/pg/quote.ts'
import { connectAs } from '../migration/pg/side-login.ts'
import { exitCodes } from './command.ts'
import type { CommandInput, ExitCode } from './command.ts'
import { counted } from './counted.ts'
import { formatAmount } from './progress-amount.ts'
import type { ServiceJob } from './service-job.ts'
import { formatTable } from './table.ts'

export async function rehearseCopy(
  { output }: CommandInput,
  job: ServiceJob,
  jobs: number,
): Promise<ExitCode> {
  const { exclude } = job.config.migration
  const source = await connectAs(job, { side: 'source', purpose: 'control', task: 'copy' })
  const target = await connectAs(job, { side: 'target', purpose: 'control', task: 'copy' })
  try {
    const filled = await rehearseStart({ context: job, source, target, exclude })
    const plan = await planCopy({ source, target, exclude, jobs })
    const { service } = job
    const tables = plan.tables.map(({ schema, name, bytes, rows, format, chunkPages }) => {
      return { schema, name, bytes, rows, format, chunks: chunkPages.length }
    })
    const remarks = [...plan.remarks, ...remarkOn(filled)]
    output.result({ service, applied: false, tables, remarks }, () => describe(plan, remarks))
    return exitCodes.ok
  } finally {
    source.close()
    target.close()
  }
}

function remarkOn(filled: readonly QualifiedName[]): readonly string[] {
  if (filled.length === 0) return []
  const names = filled.map(readable).join(', ')
  return [`Tables of the target with rows in them, which a new copy would empty: ${names}.`]
}

const columns = [
  { heading: 'table' },
  { heading: 'size', align: 'right' },
  { heading: 'about', align: 'right' },
  { heading: 'format' },
  { heading: 'chunks', align: 'right' },
] as const

function describe({ tables }: CopyPlan, remarks: readonly string[]): string {
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0)
  const rows = tables.map((one) => [
    readable(one),
    formatAmount(one.bytes, 'bytes'),
    formatAmount(one.rows, 'rows'),
    one.format,
    String(one.chunkPages.length),
  ])
  return [
    formatTable(columns, rows),
    '',
    `${counted(tables.length, 'table')}, ${formatAmount(total, 'bytes')}. Nothing was changed.`,
    ...remarks,
  ].join('\n')
}
