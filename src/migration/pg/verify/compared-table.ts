/** Which tables are compared, by what key and in what way; those that cannot be, and why. */
import { qualified, readable, type QualifiedName } from '../quote.ts'
import type { Table } from '../tables.ts'
import type { ColumnFacts } from './table-columns.ts'
import { isFloatMade, type HashColumn, type HashForm } from './row-hash.ts'

/**
 * - `ranges`: chunks are ranges of the key, read through its index on both sides.
 * - `buckets`: the whole table in one scan, its rows dealt into buckets by a hash of the key; for
 *   text keys whose collations differ, and keys of types that extensions bring.
 * - `multiset`: the same without a key: how many rows there are of each content.
 */
export type Method = 'ranges' | 'buckets' | 'multiset'

export interface KeyColumn {
  readonly name: string
  /** As format_type gives it on the primary side. */
  readonly type: string
}

export interface ComparedTable extends QualifiedName {
  readonly label: string
  readonly method: Method
  /** With ONLY, except for partitioned tables that are compared as a whole. */
  readonly from: string
  readonly key: readonly KeyColumn[]
  readonly keyHashColumns: readonly HashColumn[]
  /** What the hash of a row covers. */
  readonly columns: readonly HashColumn[]
  /** All but generated ones, with their types on the other side: what a repair writes. */
  readonly written: readonly KeyColumn[]
  readonly isGeneratedIdentity: boolean
  /** By the statistics of the primary side; -1 when never analyzed. */
  readonly rowsEstimated: number
  readonly bytes: number
  readonly warnings: readonly string[]
}

export interface LeftOut {
  readonly table: string
  readonly reason: string
  /** Whether leaving it out means that the sides differ. */
  readonly isDifference: boolean
}

export interface SideCatalogue {
  readonly tables: readonly Table[]
  readonly facts: ReadonlyMap<number, ReadonlyMap<string, ColumnFacts>>
}

export interface Chosen {
  readonly compared: readonly ComparedTable[]
  readonly leftOut: readonly LeftOut[]
  /** Their rows are not replicated; only counted. */
  readonly unlogged: readonly QualifiedName[]
  /** Names of `only` that stand for no table. */
  readonly unknown: readonly string[]
}

export interface ChooseOptions {
  readonly primary: SideCatalogue
  readonly other: SideCatalogue
  readonly form: HashForm
  readonly keysOnly: boolean
  /** `schema.table`; all when empty. A partitioned table stands for its partitions. */
  readonly only: readonly string[]
}

type TablesByName = ReadonlyMap<string, Table>

/** Largest tables first, so that the last ones to end are short. */
export function chooseTables(options: ChooseOptions): Chosen {
  const { primary, other, only } = options
  const here = byName(primary.tables)
  const there = byName(other.tables)
  const whole = wholePartitioned(here, there)
  const known = new Set<string>()
  const isMeant = (table: Table, tables: TablesByName): boolean => {
    const root = rootOf(table, tables)
    if (root !== undefined && whole.has(plainName(root))) return false
    if (table.kind === 'partitioned' && !(root === undefined && whole.has(plainName(table))))
      return false
    const names = namesOf(table, tables).filter((name) => only.includes(name))
    for (const name of names) known.add(name)
    return only.length === 0 || names.length > 0
  }
  const compared: ComparedTable[] = []
  const leftOut: LeftOut[] = []
  const unlogged: QualifiedName[] = []
  for (const table of primary.tables) {
    if (!isMeant(table, here)) continue
    const opposite = there.get(plainName(table))
    if (opposite === undefined) leftOut.push(missing(table, 'the side that is not primary'))
    else if (table.isUnlogged) unlogged.push({ schema: table.schema, name: table.name })
    else choose(table, opposite, options, compared, leftOut)
  }
  for (const table of other.tables)
    if (isMeant(table, there) && !here.has(plainName(table)))
      leftOut.push(missing(table, 'the primary side'))
  return {
    compared: compared.toSorted((a, b) => b.bytes - a.bytes),
    leftOut,
    unlogged,
    unknown: only.filter((name) => !known.has(name)),
  }
}

function choose(
  table: Table,
  opposite: Table,
  options: ChooseOptions,
  compared: ComparedTable[],
  leftOut: LeftOut[],
): void {
  if (shapeOf(table) !== shapeOf(opposite)) {
    const reason = 'its columns differ: see the schema differences'
    leftOut.push({ table: readable(table), reason, isDifference: true })
    return
  }
  compared.push(comparedTable(table, opposite, options))
}

function comparedTable(table: Table, opposite: Table, options: ChooseOptions): ComparedTable {
  const { form, keysOnly, primary, other } = options
  const facts = primary.facts.get(table.oid)
  const otherFacts = other.facts.get(opposite.oid)
  const opposites = new Map(opposite.columns.map((column) => [column.name, column]))
  const columns = table.columns.map((column) => {
    const own = facts?.get(column.name)
    return {
      name: column.name,
      notNull: column.notNull && opposites.get(column.name)?.notNull === true,
      baseType: own?.baseType ?? '',
      // Where one side has it from an extension and the other one built in, the text counts.
      isBuiltin: own?.isBuiltin === true && otherFacts?.get(column.name)?.isBuiltin === true,
    }
  })
  const named = new Map(columns.map((column) => [column.name, column]))
  const keyColumns = keyOf(table).flatMap((name) => named.get(name) ?? [])
  const hasFloats = form.floatsAsBytes && keyColumns.some(isFloatMade)
  // NULL is in no range, and nothing looks it up.
  const isKey = keyColumns.length > 0 && keyColumns.every(({ notNull }) => notNull)
  const method =
    !isKey || hasFloats
      ? 'multiset'
      : keyColumns.every((column) => isOrderedAlike(column, facts, otherFacts))
        ? 'ranges'
        : 'buckets'
  const key = method === 'multiset' ? [] : keyColumns
  const isPartitioned = [table, opposite].some(({ kind }) => kind === 'partitioned')
  return {
    schema: table.schema,
    name: table.name,
    label: readable(table),
    method,
    from: `${isPartitioned ? '' : 'ONLY '}${qualified(table)}`,
    key: key.map(({ name }) => ({ name, type: typeOf(table, name) })),
    keyHashColumns: method === 'multiset' ? columns : key,
    columns: keysOnly && key.length > 0 ? key : columns,
    written: opposite.columns.filter((column) => !column.isGenerated),
    isGeneratedIdentity: opposite.columns.some(({ identity }) => identity === 'always'),
    rowsEstimated: table.rows,
    bytes: table.bytes,
    warnings: warningsOf(columns, form),
  }
}

/** Names and types of its columns, in any order. */
function shapeOf({ columns }: Table): string {
  return columns
    .map(({ name, type }) => `${name} ${type}`)
    .toSorted()
    .join(', ')
}

/** The primary key, else the columns of the replica identity. */
function keyOf(table: Table): readonly string[] {
  return table.primaryKey.length > 0 ? table.primaryKey : table.identityColumns
}

/**
 * Whether ranges hold about the same rows on both sides. They need not do so exactly: each side
 * has every row in some range, and rows that seem to differ are looked up by their key.
 */
function isOrderedAlike(
  { name, isBuiltin }: HashColumn,
  facts: ReadonlyMap<string, ColumnFacts> | undefined,
  otherFacts: ReadonlyMap<string, ColumnFacts> | undefined,
): boolean {
  const own = facts?.get(name)
  if (own === undefined || own.collation !== otherFacts?.get(name)?.collation) return false
  return isBuiltin || own.isEnum
}

function warningsOf(columns: readonly HashColumn[], form: HashForm): readonly string[] {
  const unsure = columns.filter(({ isBuiltin }) => !isBuiltin).map(({ name }) => name)
  if (!form.floatsAsBytes || unsure.length === 0) return []
  return [
    `one side is older than PostgreSQL 12, which writes floats in another way: ` +
      `if ${unsure.join(', ')} hold floats, they may seem to differ`,
  ]
}

function missing(table: Table, where: string): LeftOut {
  return { table: readable(table), reason: `it is missing on ${where}`, isDifference: true }
}

/**
 * Partitioned tables whose partitions are not the same on both sides, by name of the root: they
 * are compared through it. The others partition by partition.
 */
function wholePartitioned(tables: TablesByName, others: TablesByName): Set<string> {
  const leaves = leavesByRoot(tables)
  const otherLeaves = leavesByRoot(others)
  const roots = [...leaves.keys(), ...otherLeaves.keys()]
  return new Set(roots.filter((root) => leaves.get(root) !== otherLeaves.get(root)))
}

function leavesByRoot(tables: TablesByName): ReadonlyMap<string, string> {
  const found = new Map<string, string[]>()
  for (const table of tables.values()) {
    const root = rootOf(table, tables)
    if (table.kind === 'partitioned' && root === undefined)
      found.set(plainName(table), found.get(plainName(table)) ?? [])
    if (table.kind === 'table' && root !== undefined)
      found.set(plainName(root), [...(found.get(plainName(root)) ?? []), plainName(table)])
  }
  return new Map([...found].map(([root, names]) => [root, JSON.stringify(names.toSorted())]))
}

/** The partitioned table at the top, undefined for what is no partition. */
function rootOf(table: Table, tables: TablesByName): Table | undefined {
  const parent = parentOf(table, tables)
  return parent === undefined ? undefined : (rootOf(parent, tables) ?? parent)
}

/** As people and as the catalogue write it, and the same of the tables that it is a partition of. */
function namesOf(table: Table, tables: TablesByName): readonly string[] {
  const parent = parentOf(table, tables)
  const above = parent === undefined ? [] : namesOf(parent, tables)
  return [readable(table), plainName(table), ...above]
}

function parentOf({ isPartition, parent }: Table, tables: TablesByName): Table | undefined {
  return isPartition && parent !== null ? tables.get(plainName(parent)) : undefined
}

function byName(tables: readonly Table[]): TablesByName {
  return new Map(tables.map((table) => [plainName(table), table]))
}

function plainName({ schema, name }: QualifiedName): string {
  return `${schema}.${name}`
}

function typeOf(table: Table, name: string): string {
  return table.columns.find((column) => column.name === name)?.type ?? 'text'
}
