/**
 * What is known of the names in a primary's database, for read-tree.ts: only what stands here may
 * be used by a read. The rows come from catalog-query.ts; whoever has a connection fetches them
 * again from time to time, and after DDL.
 *
 * The volatility of a function is what its owner declared. A function that is declared STABLE and
 * changes something all the same passes for a read; the server it then runs on for the other side
 * is read-only, so that it ends in an error there and not in two different databases.
 */
export { catalogQuery, catalogQueryOfOthers } from './catalog-query.ts'

export interface Catalog {
  /** Bare names, and those outside pg_catalog also with their schema. So are the relations. */
  readonly functions: ReadonlySet<string>
  readonly operators: ReadonlySet<string>
  readonly relations: ReadonlySet<string>
  readonly types: ReadonlySet<string>
  /** Unsafe functions of one row: `row.name` calls them. */
  readonly deniedAttributes: ReadonlySet<string>
  /** User functions with a name that the grammar takes for its own JSON syntax. */
  readonly shadowedSyntax: ReadonlySet<string>
  /** Why no statement at all can be called a read here; empty as a rule. */
  readonly unsafe: readonly string[]
}

export interface CatalogRow {
  readonly kind: string
  readonly name: string
}

/** How a name with a schema stands in the catalog, so that no two names ever look alike. */
export function qualifiedName(schema: string, name: string): string {
  return `${schema}\u0001${name}`
}

export function catalogFromRows(rows: Iterable<CatalogRow>): Catalog {
  const byKind = new Map<string, Set<string>>()
  for (const { kind, name } of rows) {
    const names = byKind.get(kind)
    if (names === undefined) byKind.set(kind, new Set([name]))
    else names.add(name)
  }
  const of = (kind: string): ReadonlySet<string> => byKind.get(kind) ?? new Set<string>()
  return {
    functions: of('function'),
    operators: of('operator'),
    relations: of('relation'),
    types: of('type'),
    deniedAttributes: of('attribute'),
    shadowedSyntax: of('shadow'),
    unsafe: [...of('unsafe')],
  }
}

/** Whether two catalogs say the same, so that verdicts of one hold under the other. */
export function isSameCatalog(left: Catalog, right: Catalog): boolean {
  return (
    left.unsafe.length === right.unsafe.length &&
    isSameSet(left.functions, right.functions) &&
    isSameSet(left.operators, right.operators) &&
    isSameSet(left.relations, right.relations) &&
    isSameSet(left.types, right.types) &&
    isSameSet(left.deniedAttributes, right.deniedAttributes) &&
    isSameSet(left.shadowedSyntax, right.shadowedSyntax)
  )
}

function isSameSet(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  if (left.size !== right.size) return false
  for (const name of left) if (!right.has(name)) return false
  return true
}
