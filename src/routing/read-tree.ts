/**
 * Decides from a parse tree whether a statement is surely a read: one that changes nothing and
 * gives the same result on a replica that is in step. The shape is held by the allow-list in
 * read-nodes.ts, the names by the catalog (catalog.ts) and by denied-names.ts.
 */
import { qualifiedName } from './catalog.ts'
import type { Catalog } from './catalog.ts'
import { isDeniedFunction, isDeniedSchema, isDeniedType, isSystemColumn } from './denied-names.ts'
import { readNodes } from './read-nodes.ts'
import type { FieldRule } from './read-nodes.ts'

type Fields = Readonly<Record<string, unknown>>

/** Deeper trees are refused: walking them would need as many frames. */
const depthMax = 400

/** The names of common table expressions that are in sight. */
interface Scope {
  readonly names: ReadonlySet<string>
  readonly outer: Scope | null
}

/** Throws nothing: what is not understood is no read. */
export function isRead(statement: unknown, catalog: Catalog): boolean {
  if (catalog.unsafe.length > 0) return false
  const [kind, fields] = unwrap(statement)
  return isStatement(kind, fields) && allowed(kind, fields, { catalog, scope: null, depth: 0 })
}

interface Place {
  readonly catalog: Catalog
  readonly scope: Scope | null
  readonly depth: number
}

/** The three statements that may be reads; the fields that would make them none are refused. */
function isStatement(kind: string, fields: Fields): boolean {
  if (kind === 'SelectStmt') return true
  if (kind === 'ExplainStmt') return unwrap(fields['query'])[0] === 'SelectStmt'
  // COPY … TO STDOUT has neither of these; `is_from` is left out when it is false.
  if (kind !== 'CopyStmt' || 'filename' in fields || 'is_program' in fields) return false
  return 'query' in fields ? unwrap(fields['query'])[0] === 'SelectStmt' : 'relation' in fields
}

function allowed(kind: string, fields: Fields, place: Place): boolean {
  const rules = readNodes.get(kind)
  if (rules === undefined || place.depth > depthMax) return false
  if (!namesAllowed(kind, fields, place)) return false
  let inside: Place = { ...place, depth: place.depth + 1 }
  const ctes = kind === 'SelectStmt' ? fields['withClause'] : undefined
  if (ctes !== undefined) {
    const scope = scopeOf(ctes, inside)
    if (scope === null) return false
    inside = { ...inside, scope }
  }
  for (const name of Object.keys(fields)) {
    const rule = rules.get(name)
    if (rule === undefined) return false
    if (name === 'withClause' && ctes !== undefined) continue
    if (!fieldAllowed(rule, fields[name], inside)) return false
  }
  return true
}

function fieldAllowed(rule: FieldRule, content: unknown, place: Place): boolean {
  if (rule === 'value') return true
  if (rule === 'node') return nodeAllowed(content, place)
  if (rule === 'nodes')
    return Array.isArray(content) && content.every((item) => nodeAllowed(item, place))
  return isFields(content) && allowed(rule.bare, content, place)
}

/** An empty object stands for a null in a list, as in a plain DISTINCT. */
function nodeAllowed(content: unknown, place: Place): boolean {
  const [kind, fields] = unwrap(content)
  return kind === '' ? isFields(content) : allowed(kind, fields, place)
}

/**
 * Walks the common table expressions, each of which sees those before it (all of them when
 * RECURSIVE), and returns the scope of the query behind them; null when one is not allowed.
 */
function scopeOf(withClause: unknown, place: Place): Scope | null {
  if (!isFields(withClause) || !Array.isArray(withClause['ctes'])) return null
  const ctes: readonly unknown[] = withClause['ctes']
  const names = new Set<string>()
  const scope: Scope = { names, outer: place.scope }
  if (withClause['recursive'] === true) for (const cte of ctes) names.add(nameOf(cte))
  for (const cte of ctes) {
    if (unwrap(cte)[0] !== 'CommonTableExpr') return null
    if (!nodeAllowed(cte, { ...place, scope })) return null
    names.add(nameOf(cte))
  }
  return scope
}

function nameOf(cte: unknown): string {
  return text(unwrap(cte)[1]['ctename'])
}

/** What a node names, looked up. Nodes without names pass. */
function namesAllowed(kind: string, fields: Fields, { catalog, scope }: Place): boolean {
  switch (kind) {
    case 'RangeVar':
      return relationAllowed(fields, catalog, scope)
    case 'FuncCall':
      return functionAllowed(strings(fields['funcname']), catalog)
    case 'TypeName':
      return typeAllowed(strings(fields['names']), catalog)
    case 'ColumnRef':
      return columnAllowed(fields['fields'], catalog)
    case 'A_Indirection':
      return attributesAllowed(fields['indirection'], catalog)
    case 'A_Expr':
      // BETWEEN stands for comparisons, which the catalog vouches for as a whole.
      if (text(fields['kind']).startsWith('AEXPR_BETWEEN')) return true
      if (text(fields['kind']).startsWith('AEXPR_NOT_BETWEEN')) return true
      return operatorAllowed(fields['name'], catalog)
    case 'SubLink':
      return fields['operName'] === undefined || operatorAllowed(fields['operName'], catalog)
    case 'SortBy':
      return fields['useOp'] === undefined || operatorAllowed(fields['useOp'], catalog)
    case 'SQLValueFunction':
      // Dates and times; the others tell roles and names that may differ between the sides.
      return /^SVFOP_(CURRENT_(DATE|TIME)|LOCALTIME)/.test(text(fields['op']))
    default:
      return !kind.startsWith('Json') || catalog.shadowedSyntax.size === 0
  }
}

function relationAllowed(fields: Fields, catalog: Catalog, scope: Scope | null): boolean {
  const name = text(fields['relname'])
  const schema = fields['schemaname']
  if (schema === undefined) {
    for (let level = scope; level !== null; level = level.outer) {
      if (level.names.has(name)) return true
    }
  } else if (
    isDeniedSchema(text(schema)) ||
    !catalog.relations.has(qualifiedName(text(schema), name))
  ) {
    return false
  }
  return catalog.relations.has(name)
}

/** Syntax that older servers turn into a function of another name. */
const syntaxFunctions = new Map([
  ['extract', 'date_part'],
  ['similar_to_escape', 'similar_escape'],
])

function functionAllowed(names: readonly string[], catalog: Catalog): boolean {
  const name = names[names.length - 1]
  if (name === undefined || names.length > 2 || isDeniedFunction(name)) return false
  const schema = names.length === 2 ? names[0] : undefined
  if (schema !== undefined && schema !== 'pg_catalog') {
    if (isDeniedSchema(schema) || !catalog.functions.has(qualifiedName(schema, name))) return false
  }
  if (catalog.functions.has(name)) return true
  const older = schema === 'pg_catalog' ? syntaxFunctions.get(name) : undefined
  return older !== undefined && catalog.functions.has(older)
}

function typeAllowed(names: readonly string[], catalog: Catalog): boolean {
  const name = names[names.length - 1]
  if (name === undefined || isDeniedType(name)) return false
  if (names.length === 2 && names[0] !== 'pg_catalog' && isDeniedSchema(names[0] ?? ''))
    return false
  return names.length <= 2 && catalog.types.has(name)
}

function operatorAllowed(names: unknown, catalog: Catalog): boolean {
  const name = strings(names).at(-1)
  return name !== undefined && catalog.operators.has(name)
}

/** A qualified column may be the call of a function of the row in disguise. */
function columnAllowed(fields: unknown, catalog: Catalog): boolean {
  if (!Array.isArray(fields)) return false
  if (strings(fields).some(isSystemColumn)) return false
  return attributesAllowed(fields.slice(1), catalog)
}

function attributesAllowed(path: unknown, catalog: Catalog): boolean {
  return strings(path).every((name) => !isSystemColumn(name) && !catalog.deniedAttributes.has(name))
}

/** The strings in a list of nodes; others, like the star in `t.*`, are left out. */
function strings(list: unknown): string[] {
  if (!Array.isArray(list)) return []
  const found: string[] = []
  for (const item of list) {
    const [kind, fields] = unwrap(item)
    if (kind === 'String') found.push(text(fields['sval']))
  }
  return found
}

/** `{Kind: {…}}` as kind and fields; an empty kind for anything else. */
function unwrap(content: unknown): readonly [kind: string, fields: Fields] {
  if (!isFields(content)) return ['', {}]
  const kinds = Object.keys(content)
  const kind = kinds[0]
  if (kind === undefined) return ['', {}]
  const fields = content[kind]
  return kinds.length === 1 && isFields(fields) ? [kind, fields] : ['unknown', {}]
}

function isFields(content: unknown): content is Fields {
  return typeof content === 'object' && content !== null && !Array.isArray(content)
}

function text(content: unknown): string {
  return typeof content === 'string' ? content : ''
}
