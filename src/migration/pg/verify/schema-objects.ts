/**
 * The objects of a database as texts that can be compared between sides, also of different majors:
 * what the catalogue spells differently from one major to the next is left out or evened out.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { isUserRelationSql } from '../tables.ts'
import { isNoExtension, namespaces, relation, relations } from './schema-catalogue.ts'
import { grantStatements } from './schema-grants.ts'

export interface SchemaObject {
  /** Such as `index` or `grant`. */
  readonly kind: string
  readonly name: string
  readonly definition: string
}

/** Rights of its own that the owner of `c` has taken away, or that somebody has; null when none. */
const missingOfOwner = `(SELECT 'owner without ' || string_agg(u.privilege_type, ', ' ORDER BY u.privilege_type)
  FROM pg_catalog.aclexplode(pg_catalog.acldefault('r', c.relowner)) u
  WHERE c.relacl IS NOT NULL AND u.privilege_type <> 'MAINTAIN' AND NOT EXISTS (
    SELECT FROM pg_catalog.aclexplode(c.relacl) acl
    WHERE acl.grantee = c.relowner AND acl.privilege_type = u.privilege_type))`

/** Each: kind, name, definition. `user` is the condition for relations of users. */
function relationStatements(user: string): readonly string[] {
  return [
    `SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
         WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' END, ${relation},
       concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
         pg_catalog.pg_get_partkeydef(c.oid), pg_catalog.pg_get_expr(c.relpartbound, c.oid),
         'identity ' || c.relreplident::text, CASE WHEN c.relrowsecurity THEN 'row security' END,
         CASE WHEN c.relforcerowsecurity THEN 'forced' END, ${missingOfOwner})
     FROM ${relations} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${user}`,
    `SELECT 'column', ${relation} || '.' || quote_ident(a.attname), concat_ws(' ',
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attnotnull THEN 'not null' END,
       'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       'identity ' || nullif(a.attidentity::text, ''),
       'generated ' || nullif(to_jsonb(a)->>'attgenerated', ''))
     FROM ${relations} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
       AND ${user}`,
    `SELECT 'index', pg_catalog.format('%I.%I', n.nspname, i.relname),
       pg_catalog.pg_get_indexdef(i.oid) || CASE WHEN x.indisvalid THEN '' ELSE ' invalid' END
     FROM ${relations} JOIN pg_catalog.pg_index x ON x.indrelid = c.oid
     JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
     WHERE c.relkind IN ('r', 'p', 'm') AND ${user}`,
    // NOT NULL is a constraint of its own since 18; the columns have it.
    `SELECT 'constraint', ${relation} || '.' || quote_ident(k.conname),
       pg_catalog.pg_get_constraintdef(k.oid)
     FROM ${relations} JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
     WHERE k.contype NOT IN ('n', 't') AND ${user}`,
    `SELECT 'trigger', ${relation} || '.' || quote_ident(t.tgname),
       replace(pg_catalog.pg_get_triggerdef(t.oid), 'EXECUTE PROCEDURE', 'EXECUTE FUNCTION')
         || ' ' || t.tgenabled::text
     FROM ${relations} JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid
     WHERE NOT t.tgisinternal AND ${user}`,
    `SELECT 'policy', ${relation} || '.' || quote_ident(p.polname), concat_ws(' ',
       p.polcmd::text, p.polpermissive::text, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
       'check ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
     FROM ${relations} JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid WHERE ${user}`,
    `SELECT 'rule', ${relation} || '.' || quote_ident(r.rulename), ''
     FROM ${relations} JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
     WHERE r.rulename <> '_RETURN' AND ${user}`,
  ]
}

function routineStatements(user: string): readonly string[] {
  return [
    `SELECT 'schema', n.nspname, '' FROM pg_catalog.pg_namespace n
     WHERE ${namespaces} AND ${isNoExtension('pg_namespace', 'n')}`,
    `SELECT 'extension', extname, '' FROM pg_catalog.pg_extension`,
    `SELECT 'sequence', ${relation}, concat_ws(' ', pg_catalog.format_type(s.seqtypid, NULL),
       s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, s.seqcycle)
     FROM ${relations} JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid WHERE ${user}`,
    `SELECT 'function', pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
         pg_catalog.pg_get_function_identity_arguments(p.oid)),
       concat_ws(' ', l.lanname, pg_catalog.pg_get_function_result(p.oid), p.provolatile::text,
         p.proisstrict, p.prosecdef, pg_catalog.array_to_string(p.proconfig, ','),
         pg_catalog.md5(p.prosrc))
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE ${namespaces} AND ${isNoExtension('pg_proc', 'p')}`,
    `SELECT 'type', pg_catalog.format('%I.%I', n.nspname, t.typname), concat_ws(' ', t.typtype::text,
       (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
        WHERE e.enumtypid = t.oid),
       CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
       (SELECT string_agg(pg_catalog.pg_get_constraintdef(k.oid), ',' ORDER BY k.conname)
        FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND EXISTS (SELECT FROM
         pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
       AND ${namespaces} AND ${isNoExtension('pg_type', 't')}`,
    `SELECT 'attribute', ${relation} || '.' || quote_ident(a.attname),
       pg_catalog.format_type(a.atttypid, a.atttypmod)
     FROM ${relations} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
     WHERE c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped AND ${namespaces}
       AND ${isNoExtension('pg_class', 'c')}`,
  ]
}

/** Texts of queries (views) are compared between servers of one major only. */
const viewsSql = (user: string): string =>
  `SELECT 'view query', ${relation}, pg_catalog.pg_get_viewdef(c.oid)
   FROM ${relations} WHERE c.relkind IN ('v', 'm') AND ${user}`

export async function readSchemaObjects(
  client: SqlClient,
  exclude: readonly string[],
  ours: readonly string[],
  withQueries: boolean,
): Promise<readonly SchemaObject[]> {
  const user = isUserRelationSql(exclude)
  const all = [
    ...relationStatements(user),
    ...routineStatements(user),
    ...grantStatements(user, ours),
    ...(withQueries ? [viewsSql(user)] : []),
  ]
  const results = await client.run(all.join(';\n'), { timeoutMs: 300_000 })
  return results
    .flatMap(({ rows }) => rows)
    .map(([kind, name, definition]) => ({
      kind: kind ?? '',
      name: name ?? '',
      definition: definition ?? '',
    }))
}
