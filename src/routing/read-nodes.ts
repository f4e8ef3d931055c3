/**
 * The parse tree nodes that a read may consist of, with all their fields: an allow-list. A node
 * or a field that is not here makes a statement no read, so that whatever a later grammar adds is
 * refused until somebody has thought about it. Walked by read-tree.ts, which has a look of its
 * own at the nodes that carry names.
 *
 * Left out on purpose: locking clauses, SELECT INTO, TABLESAMPLE, WHERE CURRENT OF, DEFAULT,
 * `SETOF` and `%TYPE`, and every statement but SELECT, EXPLAIN and COPY TO STDOUT.
 */

/**
 * How a field is walked. `value`: a scalar or a bare constant. `node`: `{Kind: {…}}`. `nodes`: a
 * list of those. `{bare: Kind}`: the node's fields without its kind around them.
 */
export type FieldRule = 'value' | 'node' | 'nodes' | { readonly bare: string }
export type NodeRules = Readonly<Record<string, FieldRule>>

const value = 'value'
const node = 'node'
const nodes = 'nodes'
const location = value
const bare = (kind: string): FieldRule => ({ bare: kind })

const statements: Readonly<Record<string, NodeRules>> = {
  SelectStmt: {
    distinctClause: nodes,
    targetList: nodes,
    fromClause: nodes,
    whereClause: node,
    groupClause: nodes,
    groupDistinct: value,
    havingClause: node,
    windowClause: nodes,
    valuesLists: nodes,
    sortClause: nodes,
    limitOffset: node,
    limitCount: node,
    limitOption: value,
    withClause: bare('WithClause'),
    op: value,
    all: value,
    larg: bare('SelectStmt'),
    rarg: bare('SelectStmt'),
  },
  WithClause: { ctes: nodes, recursive: value, location },
  CommonTableExpr: {
    ctename: value,
    aliascolnames: nodes,
    ctematerialized: value,
    ctequery: node,
    search_clause: bare('CTESearchClause'),
    cycle_clause: bare('CTECycleClause'),
    location,
  },
  CTESearchClause: {
    search_col_list: nodes,
    search_breadth_first: value,
    search_seq_column: value,
    location,
  },
  CTECycleClause: {
    cycle_col_list: nodes,
    cycle_mark_column: value,
    cycle_mark_value: node,
    cycle_mark_default: node,
    cycle_path_column: value,
    location,
  },
  ExplainStmt: { query: node, options: nodes },
  CopyStmt: { relation: bare('RangeVar'), query: node, attlist: nodes, options: nodes },
  DefElem: { defname: value, arg: node, defaction: value, location },
}

const fromItems: Readonly<Record<string, NodeRules>> = {
  RangeVar: {
    schemaname: value,
    relname: value,
    inh: value,
    relpersistence: value,
    alias: bare('Alias'),
    location,
  },
  Alias: { aliasname: value, colnames: nodes },
  JoinExpr: {
    jointype: value,
    isNatural: value,
    larg: node,
    rarg: node,
    usingClause: nodes,
    join_using_alias: bare('Alias'),
    quals: node,
    alias: bare('Alias'),
  },
  RangeSubselect: { lateral: value, subquery: node, alias: bare('Alias') },
  RangeFunction: {
    lateral: value,
    ordinality: value,
    is_rowsfrom: value,
    functions: nodes,
    alias: bare('Alias'),
    coldeflist: nodes,
  },
  ColumnDef: {
    colname: value,
    typeName: bare('TypeName'),
    is_local: value,
    collClause: bare('CollateClause'),
    location,
  },
  RangeTableFunc: {
    lateral: value,
    docexpr: node,
    rowexpr: node,
    namespaces: nodes,
    columns: nodes,
    alias: bare('Alias'),
    location,
  },
  RangeTableFuncCol: {
    colname: value,
    typeName: bare('TypeName'),
    for_ordinality: value,
    is_not_null: value,
    colexpr: node,
    coldefexpr: node,
    location,
  },
}

const expressions: Readonly<Record<string, NodeRules>> = {
  ResTarget: { name: value, indirection: nodes, val: node, location },
  ColumnRef: { fields: nodes, location },
  ParamRef: { number: value, location },
  A_Star: {},
  A_Expr: {
    kind: value,
    name: nodes,
    lexpr: node,
    rexpr: node,
    rexpr_list_start: value,
    rexpr_list_end: value,
    location,
  },
  A_Const: {
    ival: value,
    fval: value,
    boolval: value,
    sval: value,
    bsval: value,
    isnull: value,
    location,
  },
  String: { sval: value },
  Integer: { ival: value },
  Float: { fval: value },
  Boolean: { boolval: value },
  List: { items: nodes },
  A_ArrayExpr: { elements: nodes, list_start: value, list_end: value, location },
  A_Indices: { is_slice: value, lidx: node, uidx: node },
  A_Indirection: { arg: node, indirection: nodes },
  BoolExpr: { boolop: value, args: nodes, location },
  NullTest: { arg: node, nulltesttype: value, location },
  BooleanTest: { arg: node, booltesttype: value, location },
  CaseExpr: { arg: node, args: nodes, defresult: node, location },
  CaseWhen: { expr: node, result: node, location },
  CoalesceExpr: { args: nodes, location },
  MinMaxExpr: { op: value, args: nodes, location },
  SQLValueFunction: { op: value, typmod: value, location },
  FuncCall: {
    funcname: nodes,
    args: nodes,
    agg_order: nodes,
    agg_filter: node,
    over: bare('WindowDef'),
    agg_within_group: value,
    agg_star: value,
    agg_distinct: value,
    func_variadic: value,
    funcformat: value,
    location,
  },
  NamedArgExpr: { arg: node, name: value, argnumber: value, location },
  TypeCast: { arg: node, typeName: bare('TypeName'), location },
  TypeName: { names: nodes, typmods: nodes, typemod: value, arrayBounds: nodes, location },
  CollateClause: { arg: node, collname: nodes, location },
  RowExpr: { args: nodes, row_format: value, location },
  SubLink: { subLinkType: value, testexpr: node, operName: nodes, subselect: node, location },
  GroupingFunc: { args: nodes, location },
  GroupingSet: { kind: value, content: nodes, location },
  SortBy: { node, sortby_dir: value, sortby_nulls: value, useOp: nodes, location },
  WindowDef: {
    name: value,
    refname: value,
    partitionClause: nodes,
    orderClause: nodes,
    frameOptions: value,
    startOffset: node,
    endOffset: node,
    location,
  },
  XmlExpr: {
    op: value,
    name: value,
    named_args: nodes,
    arg_names: nodes,
    args: nodes,
    xmloption: value,
    location,
  },
  XmlSerialize: { xmloption: value, expr: node, typeName: bare('TypeName'), location },
}

const jsonValue = bare('JsonValueExpr')
const jsonOutput = bare('JsonOutput')

/** SQL/JSON. On a server before 16 the same text may call functions of those names. */
const json: Readonly<Record<string, NodeRules>> = {
  JsonObjectConstructor: {
    exprs: nodes,
    output: jsonOutput,
    absent_on_null: value,
    unique: value,
    location,
  },
  JsonArrayConstructor: { exprs: nodes, output: jsonOutput, absent_on_null: value, location },
  JsonArrayQueryConstructor: {
    query: node,
    output: jsonOutput,
    format: bare('JsonFormat'),
    absent_on_null: value,
    location,
  },
  JsonKeyValue: { key: node, value: jsonValue },
  JsonValueExpr: { raw_expr: node, format: bare('JsonFormat') },
  JsonFormat: { format_type: value, encoding: value, location },
  JsonReturning: { format: bare('JsonFormat'), typid: value, typmod: value },
  JsonOutput: { typeName: bare('TypeName'), returning: bare('JsonReturning') },
  JsonObjectAgg: {
    constructor: bare('JsonAggConstructor'),
    arg: bare('JsonKeyValue'),
    absent_on_null: value,
    unique: value,
  },
  JsonArrayAgg: { constructor: bare('JsonAggConstructor'), arg: jsonValue, absent_on_null: value },
  JsonAggConstructor: {
    output: jsonOutput,
    agg_filter: node,
    agg_order: nodes,
    over: bare('WindowDef'),
    location,
  },
  JsonIsPredicate: {
    expr: node,
    format: bare('JsonFormat'),
    item_type: value,
    unique_keys: value,
    location,
  },
  JsonFuncExpr: {
    op: value,
    column_name: value,
    context_item: jsonValue,
    pathspec: node,
    passing: nodes,
    output: jsonOutput,
    on_empty: bare('JsonBehavior'),
    on_error: bare('JsonBehavior'),
    wrapper: value,
    quotes: value,
    location,
  },
  JsonBehavior: { btype: value, expr: node, coerce: value, location },
  JsonArgument: { val: jsonValue, name: value },
}

function rulesByKind(...groups: readonly Readonly<Record<string, NodeRules>>[]) {
  const table = new Map<string, ReadonlyMap<string, FieldRule>>()
  for (const group of groups) {
    for (const [kind, rules] of Object.entries(group))
      table.set(kind, new Map(Object.entries(rules)))
  }
  return table
}

export const readNodes: ReadonlyMap<string, ReadonlyMap<string, FieldRule>> = rulesByKind(
  statements,
  fromItems,
  expressions,
  json,
)
