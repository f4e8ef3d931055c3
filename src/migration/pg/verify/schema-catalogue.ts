/** What the statements about objects of a schema have in common. */
export const relation = "pg_catalog.format('%I.%I', n.nspname, c.relname)"
/** Pontoon's own fences and marks are no part of the application's schema. */
export const namespaces = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon')`
export const isNoExtension = (catalogue: string, alias: string): string =>
  `NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = '${catalogue}'::regclass
     AND x.objid = ${alias}.oid AND x.deptype = 'e')`

export const relations = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`
