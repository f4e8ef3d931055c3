/** What `pontoon schema` says to people. */
import { countOf, type ObjectReport, type SchemaReport } from '../migration/pg/schema/report.ts'
import { counted } from './counted.ts'
import { formatTable } from './table.ts'

const listedMax = 200

export function describeSchema(report: SchemaReport): string {
  const { service, part, isDryRun, refused, notes } = report
  const created = countOf(report, 'created')
  const present = countOf(report, 'equal') + countOf(report, 'not-compared')
  const verb = isDryRun ? 'would be made' : 'made'
  const summary =
    created === 0
      ? `nothing to do, ${counted(present, 'object')} already there`
      : `${counted(created, 'object')} ${verb}, ${present} already there`
  return [
    `${service} ${part}: ${summary}.`,
    ...notes,
    ...list('Failed', report, 'failed'),
    ...list('There, but not as on the source (left as they are)', report, 'differs'),
    ...list('Left out', report, 'left-out'),
    ...(isDryRun ? list('Would be made', report, 'created') : told(report)),
    ...findingLines(report),
    ...refused.flatMap(({ side, why, error, sql }) => [
      '',
      `Refused on the ${side}: ${why}.`,
      `  ${error}`,
      `  Run this as an administrator, or name one with --${side}-admin:`,
      ...sql.split('\n').map((line) => `    ${line}`),
    ]),
  ].join('\n')
}

/** Notes are for --json: nothing needs to be done about them. */
function findingLines({ findings }: SchemaReport): readonly string[] {
  const shown = findings.filter(({ severity }) => severity !== 'note')
  if (shown.length === 0) return []
  const rows = shown.map(({ severity, code, object }) => [severity, code, object])
  return [
    '',
    'Found on the way:',
    formatTable([{ heading: 'SEVERITY' }, { heading: 'CODE' }, { heading: 'OBJECT' }], rows),
    '',
    ...shown.flatMap(({ object, text, fix }) => [
      `${object}: ${text}.`,
      ...(fix === '' ? [] : [`  ${fix}`]),
    ]),
  ]
}

/** What was made with a remark, such as a role without its password. */
function told({ objects }: SchemaReport): readonly string[] {
  return table(
    'Made, with something to know',
    objects.filter(({ state, reason }) => state === 'created' && reason !== ''),
  )
}

function list(
  heading: string,
  { objects }: SchemaReport,
  state: ObjectReport['state'],
): readonly string[] {
  return table(
    heading,
    objects.filter((object) => object.state === state),
  )
}

function table(heading: string, objects: readonly ObjectReport[]): readonly string[] {
  if (objects.length === 0) return []
  const shown = objects.slice(0, listedMax)
  const rows = shown.map(({ kind, name, reason }) => [kind.toLowerCase(), name, reason])
  const more = objects.length - shown.length
  return [
    '',
    `${heading}:`,
    formatTable([{ heading: 'KIND' }, { heading: 'OBJECT' }, { heading: 'REASON' }], rows),
    ...(more > 0 ? [`… and ${more} more (--json lists all)`] : []),
  ]
}
