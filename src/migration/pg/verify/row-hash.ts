/**
 * SQL for the hash of a row, computed in the database and the same on both sides, whatever their
 * majors. The text that is hashed tells any two rows apart: NULL from the empty string, and a
 * value from its neighbour's. It consists of
 *
 *   mask of NULLs, values that hold no comma, lengths of texts, texts, one ROW(…) with all else
 *
 * joined by commas. concat_ws is three times as fast as ROW(…)::text, which looks at every
 * character for quotes; it leaves NULLs out, hence the mask. Sums of such hashes over many rows
 * are compared: unlike an exclusive or, a sum notices duplicates.
 */
import { identifier } from '../quote.ts'

export interface HashColumn {
  readonly name: string
  /** Of both sides; a column that may be NULL on one of them counts as nullable. */
  readonly notNull: boolean
  /** pg_type.typname below all domains. */
  readonly baseType: string
  /** Whether that type is in pg_catalog since initdb. */
  readonly isBuiltin: boolean
}

/** What both servers can compute alike. */
export interface HashForm {
  /** hashtextextended came with PostgreSQL 11 and takes a third to a fifth of the time of md5. */
  readonly kind: 'extended' | 'md5'
  /** Where the databases differ in their encoding, texts are hashed as UTF-8. */
  readonly asUtf8: boolean
  /** Where one has none (SQL_ASCII), texts are bytes, which are hashed and shown as they are. */
  readonly asBytes: boolean
  /** Before 12, floats have another text form; then their binary form is hashed. */
  readonly floatsAsBytes: boolean
}

/** Argument lists of VARIADIC "any" functions end at 100. */
const argumentsMax = 90

/** Types whose text has no comma. */
const plainTypes = new Set(
  (
    'bool int2 int4 int8 oid float4 float8 numeric date time timetz timestamp timestamptz ' +
    'interval uuid bytea inet cidr macaddr macaddr8 bit varbit xid cid pg_lsn'
  ).split(' '),
)
const textTypes = new Set(['text', 'varchar', 'bpchar'])

/** Types made of floats, and the function that gives their binary form. */
const floatSenders: Readonly<Record<string, string>> = {
  float4: 'float4send',
  float8: 'float8send',
  _float4: 'array_send',
  _float8: 'array_send',
  point: 'point_send',
  lseg: 'lseg_send',
  path: 'path_send',
  box: 'box_send',
  polygon: 'poly_send',
  line: 'line_send',
  circle: 'circle_send',
}

export function isFloatMade(column: HashColumn): boolean {
  return column.isBuiltin && floatSenders[column.baseType] !== undefined
}

/** A bigint. `text` is SQL of type text. */
export function hashSql(form: HashForm, text: string): string {
  if (form.kind === 'extended' && !form.asUtf8) {
    // Without a collation it would fail, and with a nondeterministic one it would hash sort keys.
    return `pg_catalog.hashtextextended((${text}) COLLATE pg_catalog."C", 0)`
  }
  const hashed = form.asUtf8 ? `pg_catalog.convert_to(${text}, 'UTF8')` : text
  return `('x' || pg_catalog.substr(pg_catalog.md5(${hashed}), 1, 16))::bit(64)::bigint`
}

/** Different for any two different lists of values of these columns. */
export function rowTextSql(form: HashForm, columns: readonly HashColumn[]): string {
  const plain: string[] = []
  const texts: HashColumn[] = []
  const others: string[] = []
  const nullable: string[] = []
  for (const column of columns) {
    const kind = kindOf(column)
    const name = identifier(column.name)
    if (kind === 'other') {
      others.push(valueSql(form, column))
      continue
    }
    if (!column.notNull) nullable.push(name)
    if (kind === 'text') texts.push(column)
    else plain.push(valueSql(form, column))
  }
  const row = others.length === 0 ? [] : [`ROW(${others.join(', ')})::text`]
  // What comes last needs no length.
  const measured = row.length === 0 ? texts.slice(0, -1) : texts
  return joined([
    ...maskOfNulls(nullable),
    ...plain,
    ...measured.map((column) => lengthSql(form, column)),
    ...texts.map(({ name }) => identifier(name)),
    ...row,
  ])
}

function kindOf({ baseType, isBuiltin }: HashColumn): 'plain' | 'text' | 'other' {
  if (!isBuiltin) return 'other'
  if (textTypes.has(baseType)) return 'text'
  return plainTypes.has(baseType) || baseType === 'char' ? 'plain' : 'other'
}

/** The column, in a form that all majors write alike. */
function valueSql(form: HashForm, column: HashColumn): string {
  const name = identifier(column.name)
  if (!column.isBuiltin) return name
  // Bytes above 127 of "char" are written in another way since 16.
  if (column.baseType === 'char') return `${name}::integer`
  const sender = form.floatsAsBytes ? floatSenders[column.baseType] : undefined
  return sender === undefined ? name : `pg_catalog.${sender}(${name})`
}

/** Where encodings differ, so do the lengths; `concat` keeps the blanks that a cast would trim. */
function lengthSql(form: HashForm, column: HashColumn): string {
  const name = identifier(column.name)
  if (!form.asUtf8) return `pg_catalog.octet_length(${name})`
  const bytes = `pg_catalog.convert_to(pg_catalog.concat(${name}), 'UTF8')`
  return `CASE WHEN ${name} IS NOT NULL THEN pg_catalog.octet_length(${bytes}) END`
}

/** '' for a row without NULLs, which is most rows of most tables. */
function maskOfNulls(names: readonly string[]): readonly string[] {
  if (names.length === 0) return []
  const groups = grouped(names)
  const count = groups.map((group) => `pg_catalog.num_nulls(${group.join(', ')})`).join(' + ')
  const marks = groups
    .map((group) => `pg_catalog.concat(${group.map((name) => `${name} IS NULL`).join(', ')})`)
    .join(' || ')
  return [`CASE WHEN ${count} = 0 THEN '' ELSE ${marks} END`]
}

function joined(parts: readonly string[]): string {
  // A table without columns has rows too.
  if (parts.length === 0) return "''::text"
  const groups = grouped(parts).map((group) => `pg_catalog.concat_ws(',', ${group.join(', ')})`)
  return groups.length === 1 ? groups.join('') : joined(groups)
}

function grouped<T>(list: readonly T[]): readonly (readonly T[])[] {
  const groups: T[][] = []
  for (let at = 0; at < list.length; at += argumentsMax)
    groups.push(list.slice(at, at + argumentsMax))
  return groups
}
