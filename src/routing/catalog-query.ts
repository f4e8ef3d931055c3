/**
 * The one question we ask a primary about itself, for catalog.ts: which names may a read use?
 * Runs on PostgreSQL 10 to 18 with no rights beyond those of every role. Everything is written
 * with its schema, operators too, so that no search_path can slip something else in.
 *
 * A stored expression (view, policy, default, constraint) is a node tree. What it calls is read
 * from the tree's text, because dependencies on built-in functions are not recorded anywhere.
 */
import { deniedEverywhere } from './denied-names.ts'

const eq = 'OPERATOR(pg_catalog.=)'
const matches = 'OPERATOR(pg_catalog.~)'
const calls = "':(?:funcid|opfuncid|aggfnoid|winfnoid|tsmhandler) (\\d+)'"
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const systemSchemas = "ARRAY['pg_catalog', 'information_schema']::pg_catalog.name[]"

/** A name with its schema; see qualifiedName in catalog.ts. */
function qualified(schema: string, name: string): string {
  const parts = [`${schema}::pg_catalog.text`, 'pg_catalog.chr(1)', `${name}::pg_catalog.text`]
  return parts.join(' OPERATOR(pg_catalog.||) ')
}

/** One row for each object id that follows a pattern in a stored expression. */
function idsIn(expression: string, pattern: string): string {
  return `LATERAL (SELECT m[1]::pg_catalog.oid AS id
    FROM pg_catalog.regexp_matches(${expression}::pg_catalog.text, ${pattern}, 'g') AS m) AS found`
}

/**
 * A named set of object ids. Going through an array keeps the planner's guess at its size small:
 * the guesses multiply, and at this length a wild one starts a second of JIT compilation.
 */
function idSet(name: string, query: string): string {
  return `${name} AS (SELECT pg_catalog.unnest(ARRAY(${query})) AS oid)`
}

const volatileFunctions = `
SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.provolatile ${eq} 'v'
UNION SELECT a.aggfnoid::pg_catalog.oid
FROM pg_catalog.pg_aggregate a
JOIN pg_catalog.pg_proc p ON p.oid ${eq} ANY (ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn,
  a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn,
  a.aggmfinalfn]::pg_catalog.oid[])
WHERE p.provolatile ${eq} 'v'`

/** Beside the volatile ones, those that mean something only in their session or on their side. */
const deniedFunctions = `
SELECT oid FROM volatile_function
UNION SELECT p.oid FROM pg_catalog.pg_proc p
WHERE p.proname::pg_catalog.text ${matches} ${literal(deniedEverywhere)}`

/** Functions that call one of those in the default of an argument. */
const callingFunctions = `
WITH RECURSIVE default_call AS (
  SELECT p.oid AS caller, found.id AS called
  FROM pg_catalog.pg_proc p, ${idsIn('p.proargdefaults', calls)}
  WHERE p.proargdefaults IS NOT NULL
), reached AS (
  SELECT oid FROM denied_function
  UNION SELECT d.caller FROM default_call d JOIN reached r ON d.called ${eq} r.oid
) SELECT oid FROM reached`

/** Types whose input, output or checks run a volatile function. */
const unsafeTypes = `
SELECT t.oid FROM pg_catalog.pg_type t JOIN volatile_function v ON v.oid ${eq} ANY (
  ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin]::pg_catalog.oid[])
WHERE t.typtype OPERATOR(pg_catalog.<>) 'p'
UNION
SELECT k.contypid FROM pg_catalog.pg_constraint k, ${idsIn('k.conbin', calls)}
JOIN calling_function c ON c.oid ${eq} found.id
WHERE k.contypid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid`

/** Explicit casts to these may run a volatile function. */
const castTypes = `
SELECT oid FROM tainted_type
UNION
SELECT k.casttarget FROM pg_catalog.pg_cast k JOIN volatile_function v ON v.oid ${eq} k.castfunc`

/** Types, and whatever is made of them: domains, arrays, ranges, rows. */
const madeOf = (types: string): string => `
WITH RECURSIVE type_part AS (
  SELECT t.oid AS whole, t.typbasetype AS part FROM pg_catalog.pg_type t
  WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  UNION ALL SELECT t.oid, t.typelem FROM pg_catalog.pg_type t
  WHERE t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  UNION ALL SELECT r.rngtypid, r.rngsubtype FROM pg_catalog.pg_range r
  UNION ALL SELECT t.oid, a.atttypid FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_attribute a ON a.attrelid ${eq} t.typrelid
  WHERE t.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
), reached AS (
  ${types}
  UNION SELECT p.whole FROM type_part p JOIN reached r ON p.part ${eq} r.oid
) SELECT oid FROM reached`

/** Passing a value to an argument of such a type runs the type's checks. */
const unsafeFunctions = `
SELECT oid FROM calling_function
UNION SELECT p.oid FROM pg_catalog.pg_proc p JOIN tainted_type t
  ON t.oid ${eq} p.prorettype OR t.oid ${eq} ANY (p.proargtypes::pg_catalog.oid[])
  OR t.oid ${eq} ANY (p.proallargtypes)`

/** What views and row security run, as node trees. */
const storedExpressions = `
SELECT r.ev_class AS relation, r.ev_action::pg_catalog.text AS tree
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid ${eq} r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid ${eq} c.relnamespace
WHERE c.relkind ${eq} 'v' AND r.ev_type ${eq} '1' AND NOT n.nspname ${eq} ANY (${systemSchemas})
UNION ALL
SELECT l.polrelid, l.polqual::pg_catalog.text FROM pg_catalog.pg_policy l
WHERE l.polqual IS NOT NULL`

const unsafeRelations = `
-- Not replicated, or not the same on both sides: catalogs, sequences, foreign tables,
-- materialized views, unlogged tables.
SELECT c.oid FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid ${eq} c.relnamespace
WHERE NOT c.relkind ${eq} ANY (ARRAY['i', 'I', 't', 'c']::"char"[])
  AND (n.nspname ${eq} ANY (${systemSchemas})
    OR NOT c.relkind ${eq} ANY (ARRAY['r', 'p', 'v']::"char"[])
    OR c.relpersistence OPERATOR(pg_catalog.<>) 'p')
UNION SELECT e.relation FROM stored_expression e, ${idsIn('e.tree', calls)}
JOIN unsafe_function f ON f.oid ${eq} found.id
UNION SELECT e.relation FROM stored_expression e, ${idsIn('e.tree', "':resulttype (\\d+)'")}
JOIN tainted_type t ON t.oid ${eq} found.id
-- Rows of which jsonb_populate_record and others would make values of such a type.
UNION SELECT c.oid FROM pg_catalog.pg_class c JOIN tainted_type t ON t.oid ${eq} c.reltype
-- A view that locks rows, samples a table or shows system columns.
UNION SELECT e.relation FROM stored_expression e
WHERE e.tree ${matches} ':hasForUpdate true|:tsmhandler [1-9]|:varattno -'`

/** And the tables with such a partition or child, and the views that read them. */
const taintedRelations = `
WITH RECURSIVE relation_part AS (
  SELECT i.inhparent AS whole, i.inhrelid AS part FROM pg_catalog.pg_inherits i
  UNION SELECT e.relation, found.id
  FROM stored_expression e, ${idsIn('e.tree', "':relid (\\d+)'")}
  WHERE found.id OPERATOR(pg_catalog.<>) e.relation
), reached AS (
  SELECT oid FROM unsafe_relation
  UNION SELECT p.whole FROM relation_part p JOIN reached r ON p.part ${eq} r.oid
) SELECT oid FROM reached`

/** Comparisons that no operator in the text stands for: IN, DISTINCT, ORDER BY, JOIN USING. */
const wholeParts = `
SELECT 'unsafe', 'volatile comparison operator ' OPERATOR(pg_catalog.||) o.oprname
FROM pg_catalog.pg_operator o JOIN volatile_function v ON v.oid ${eq} o.oprcode
WHERE o.oprname ${eq} ANY (ARRAY['=', '<>', '<', '<=', '>', '>=']::pg_catalog.name[])
UNION ALL
SELECT 'unsafe', 'volatile support function ' OPERATOR(pg_catalog.||) a.amproc::pg_catalog.text
FROM pg_catalog.pg_amproc a JOIN volatile_function v ON v.oid ${eq} a.amproc
JOIN pg_catalog.pg_opfamily f ON f.oid ${eq} a.amprocfamily
JOIN pg_catalog.pg_am m ON m.oid ${eq} f.opfmethod
WHERE m.amname ${eq} ANY (ARRAY['btree', 'hash']::pg_catalog.name[])
UNION ALL
SELECT 'unsafe', 'volatile implicit cast to ' OPERATOR(pg_catalog.||)
  pg_catalog.format_type(k.casttarget, NULL)
FROM pg_catalog.pg_cast k JOIN volatile_function v ON v.oid ${eq} k.castfunc
WHERE k.castcontext ${eq} 'i'`

/** A name counts only if everything of that name, in whatever schema, is harmless. */
const nameParts = `
SELECT 'function' AS kind, p.proname::pg_catalog.text AS name
FROM pg_catalog.pg_proc p
LEFT JOIN unsafe_function f ON f.oid ${eq} p.oid
GROUP BY p.proname
HAVING pg_catalog.bool_and(f.oid IS NULL) AND NOT EXISTS (
  -- name(x) may be a cast.
  SELECT 1 FROM pg_catalog.pg_type t JOIN cast_type u ON u.oid ${eq} t.oid
  WHERE t.typname ${eq} p.proname)
UNION ALL
-- What is named with its schema has to be known there.
SELECT DISTINCT 'function', ${qualified('n.nspname', 'p.proname')}
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${eq} p.pronamespace
WHERE n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'
UNION ALL
SELECT 'operator', o.oprname::pg_catalog.text
FROM pg_catalog.pg_operator o
LEFT JOIN volatile_function f ON f.oid ${eq} o.oprcode
LEFT JOIN tainted_type t
  ON t.oid ${eq} ANY (ARRAY[o.oprleft, o.oprright, o.oprresult]::pg_catalog.oid[])
GROUP BY o.oprname HAVING pg_catalog.bool_and(f.oid IS NULL AND t.oid IS NULL)
UNION ALL
SELECT 'relation', c.relname::pg_catalog.text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid ${eq} c.relnamespace
LEFT JOIN tainted_relation u ON u.oid ${eq} c.oid
WHERE NOT n.nspname::pg_catalog.text ${matches} '^(information_schema$|pg_toast|pg_temp_)'
  AND NOT c.relkind ${eq} ANY (ARRAY['i', 'I', 't', 'c']::"char"[])
GROUP BY c.relname HAVING pg_catalog.bool_and(u.oid IS NULL)
UNION ALL
SELECT 'relation', ${qualified('n.nspname', 'c.relname')}
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${eq} c.relnamespace
WHERE c.relkind ${eq} ANY (ARRAY['r', 'p', 'v']::"char"[])
  AND NOT n.nspname::pg_catalog.text ${matches} '^(information_schema$|pg_)'
UNION ALL
SELECT 'type', t.typname::pg_catalog.text
FROM pg_catalog.pg_type t
LEFT JOIN pg_catalog.pg_class c ON c.oid ${eq} t.typrelid
LEFT JOIN cast_type u ON u.oid ${eq} t.oid
GROUP BY t.typname HAVING pg_catalog.bool_and(u.oid IS NULL) AND pg_catalog.bool_or(
  t.typtype ${eq} ANY (ARRAY['b', 'd', 'e', 'r']::"char"[]) 
    AND NOT (t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND t.typlen ${eq} -1)
  OR c.relkind ${eq} 'c')
UNION ALL
-- row.name calls name(row) when the row has no such column.
SELECT DISTINCT 'attribute', p.proname::pg_catalog.text
FROM pg_catalog.pg_proc p
JOIN unsafe_function f ON f.oid ${eq} p.oid
JOIN pg_catalog.pg_type t ON t.oid ${eq} p.proargtypes[0]
LEFT JOIN pg_catalog.pg_type b ON b.oid ${eq} t.typbasetype
WHERE t.typtype ${eq} 'c' OR b.typtype ${eq} 'c' OR t.typname ${eq} ANY (ARRAY['record', 'any',
  'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray']::pg_catalog.name[])
UNION ALL
-- Functions that a newer grammar than the server's takes for its own syntax.
SELECT DISTINCT 'shadow', p.proname::pg_catalog.text
FROM pg_catalog.pg_proc p JOIN unsafe_function f ON f.oid ${eq} p.oid
WHERE p.proname::pg_catalog.text ${matches}
  '^json(_exists|_query|_value|_table|_object|_array|_arrayagg|_objectagg|_scalar|_serialize)?$'
UNION ALL`

const queryWith = (unsafe: string): string => `WITH
${idSet('volatile_function', volatileFunctions)},
${idSet('denied_function', deniedFunctions)},
${idSet('calling_function', callingFunctions)},
${idSet('unsafe_type', unsafeTypes)},
${idSet('tainted_type', madeOf('SELECT oid FROM unsafe_type'))},
${idSet('cast_type', madeOf(castTypes))},
${idSet('unsafe_function', unsafeFunctions)},
stored_expression AS (${storedExpressions}),
${idSet('unsafe_relation', unsafe)},
${idSet('tainted_relation', taintedRelations)}
${nameParts}
${wholeParts}`

export const catalogQuery = queryWith(unsafeRelations)

/** For reads that another role logs in for: a policy may ask who that is. */
export const catalogQueryOfOthers = queryWith(`${unsafeRelations}
UNION SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relrowsecurity`)
