/** The report of pontoon verify, for people. */
import { totalOf, type TableReport } from '../migration/pg/verify/report.ts'
import type { RowDifference } from '../migration/pg/verify/row-details.ts'
import type { SchemaReport } from '../migration/pg/verify/schema-check.ts'
import type { ServiceReport } from '../migration/pg/verify/verify-service.ts'
import { otherSide, type Side } from '../shared/side.ts'
import { counted } from './counted.ts'
import { formatDuration } from './duration.ts'
import { formatTable } from './table.ts'

const schemaLinesMax = 100
/** Of a table. */
const failedLinesMax = 20

/** `isRehearsal`: of a repair that was not done. */
export function describeVerify(
  service: string,
  report: ServiceReport,
  isRehearsal: boolean,
): string {
  const { data, schema } = report
  const warnings = [
    ...data.warnings,
    ...(schema?.warnings ?? []),
    ...data.tables.flatMap(({ table, warnings: own }) => own.map((one) => `${table}: ${one}`)),
  ]
  return [
    tablesText(data.tables, data.primary),
    ...data.leftOut.map(({ table, reason }) => `${table} was not compared: ${reason}.`),
    ...data.tables.flatMap((table) => rowsText(table, data.primary, isRehearsal)),
    ...(schema === null ? [] : schemaText(schema, data.primary)),
    ...warnings.map((one) => `Warning: ${one}.`),
    '',
    conclusion(service, report),
    `The report is in ${report.file}.`,
  ].join('\n')
}

function tablesText(tables: readonly TableReport[], primary: Side): string {
  const other = otherSide(primary)
  return formatTable(
    [
      { heading: 'TABLE' },
      { heading: primary.toUpperCase(), align: 'right' },
      { heading: other.toUpperCase(), align: 'right' },
      { heading: 'DIFFER', align: 'right' },
      { heading: 'REPAIRED', align: 'right' },
      { heading: 'UNSETTLED', align: 'right' },
    ],
    tables.map(({ table, ...counts }) => [
      table,
      ...[counts.rows, counts.otherRows, counts.differing, counts.repaired, counts.unsettled].map(
        String,
      ),
    ]),
  )
}

function rowsText(table: TableReport, primary: Side, isRehearsal: boolean): readonly string[] {
  const { differing, unsettled, differences, unsettledKeys, repairs } = table
  if (differing + unsettled === 0) return []
  const listed = differences.length < differing ? `, the first ${differences.length}` : ''
  const isKeyless = table.method === 'multiset'
  const failed = isKeyless ? [] : repairs.filter(({ action }) => action === 'failed')
  return [
    '',
    ...(differing === 0
      ? []
      : [
          `${table.table}: ${counted(differing, 'row')} differ${differing === 1 ? 's' : ''}${listed}:`,
        ]),
    ...differences.map((one) => `  ${differenceText(one, primary, isRehearsal)}`),
    ...failed
      .slice(0, failedLinesMax)
      .map(({ key, reason }) => `  not repaired: ${key.join(', ')}: ${reason}`),
    ...(isKeyless && differing > 0 ? [`  ${keylessText(table, primary)}`] : []),
    ...(failed.length > failedLinesMax
      ? [`  … ${failed.length} rows were not repaired, see the report`]
      : []),
    ...(unsettled === 0
      ? []
      : [`${table.table}: ${unsettled} rows changed all the time and could not be compared:`]),
    ...unsettledKeys.map((key) => `  ${key.join(', ')}`),
  ]
}

/** Once for all rows; a repair says the same of each in its report. */
function keylessText({ table, differing }: TableReport, primary: Side): string {
  return (
    `${counted(differing, 'row')} stay${differing === 1 ? 's' : ''} as they are, also with --repair: ` +
    'the table has no key, and equal rows cannot be told apart. To do: ALTER TABLE ' +
    `${table} ADD PRIMARY KEY (…) on the ${otherSide(primary)}, then on the ${primary}, with a new ` +
    'column where none will do; then pontoon verify --repair'
  )
}

function differenceText(
  { kind, key, hash, rows, otherRows, columns }: RowDifference,
  primary: Side,
  isRehearsal: boolean,
): string {
  const other = otherSide(primary)
  const name =
    key === null
      ? `row with hash ${hash}`
      : Object.entries(key)
          .map(([column, value]) => `${column}=${value}`)
          .join(', ')
  const what = {
    missing: `missing on the ${other}`,
    extra: `missing on the ${primary}`,
    different: `other values on the ${other}`,
    copies: `${rows} times on the ${primary}, ${otherRows} times on the ${other}`,
  }[kind]
  const would = { missing: 'insert', extra: 'delete', different: 'update', copies: 'replace' }[kind]
  const values = columns.map((column) => {
    const own = [column.primary, column.other].filter((value) => value !== undefined)
    return own.length === 0 ? column.name : `${column.name}: ${own.map(shownValue).join(' | ')}`
  })
  return [
    `${name}: ${what}`,
    ...(values.length === 0 ? [] : [` (${values.join('; ')})`]),
    ...(isRehearsal && key !== null ? [`; a repair would ${would} it on the ${other}`] : []),
  ].join('')
}

/** An empty text must not look like nothing. */
function shownValue(value: string | null): string {
  return value === '' ? "''" : (value ?? 'NULL')
}

function schemaText(schema: SchemaReport, primary: Side): readonly string[] {
  const other = otherSide(primary)
  const { differences, sequencesBehind } = schema
  const lines = differences.slice(0, schemaLinesMax).map((one) => {
    const what = `${one.kind} ${one.name}`
    if (one.other === null) return `  ${what}: missing on the ${other}`
    if (one.primary === null) return `  ${what}: missing on the ${primary}`
    return `  ${what}: ${one.primary} on the ${primary}, ${one.other} on the ${other}`
  })
  return [
    ...(lines.length === 0
      ? []
      : [
          '',
          `Of the schema ${counted(differences.length, 'object')} differ${differences.length === 1 ? 's' : ''}:`,
        ]),
    ...lines,
    ...(differences.length > schemaLinesMax ? ['  … see the report'] : []),
    ...(sequencesBehind.length === 0
      ? []
      : [
          '',
          `Behind on the ${other}, until the switch sets them: ` +
            `${counted(sequencesBehind.length, 'sequence')}.`,
        ]),
  ]
}

function conclusion(service: string, { result, data, schema }: ServiceReport): string {
  const { rows, differing, repaired, unsettled } = totalOf(data.tables)
  const seconds = Math.max(0.001, data.elapsedMs / 1_000)
  const speed = `${counted(rows, 'row')} in ${formatDuration(data.elapsedMs)} (${Math.round(rows / seconds)}/s)`
  const scope = [
    data.keysOnly ? 'by their keys only' : '',
    schema === null ? 'without the schema' : '',
  ].filter((one) => one !== '')
  const how = scope.length === 0 ? '' : `, ${scope.join(', ')}`
  const mended = repaired === 0 ? '' : `; repaired: ${counted(repaired, 'row')}`
  const objects = schema?.differences.length ?? 0
  const open = [
    unsettled === 0 ? '' : `${counted(unsettled, 'row')} changed all the time`,
    data.leftOut.length === 0
      ? ''
      : `DDL changed ${counted(data.leftOut.length, 'table')} meanwhile`,
  ]
  const found = {
    equal: `both sides are equal${how}`,
    different: `the sides differ${how}: ${counted(differing - repaired, 'row')}, ${counted(objects, 'object')}`,
    unsettled: `no difference was found${how}, but ${open.filter(Boolean).join(' and ')}`,
  }[result]
  return `${service}: ${found}${mended}; ${speed}.`
}
