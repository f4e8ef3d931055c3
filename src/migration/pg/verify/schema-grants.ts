/** What is granted to whom, as objects that can be compared between sides. */
import { literal } from '../quote.ts'
import { isNoExtension, namespaces, relation, relations } from './schema-catalogue.ts'

interface Granted {
  /** What is granted on. */
  readonly name: string
  readonly from: string
  readonly acl: string
  readonly owner: string
  readonly where: string
}

const ordered = (text: string): string => `string_agg(${text}, ', ' ORDER BY ${text})`
const grantee = `COALESCE(quote_ident(g.rolname), 'PUBLIC')`
const privilege = `acl.privilege_type || CASE WHEN acl.is_grantable THEN '*' ELSE '' END`

const routine = `pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
  pg_catalog.pg_get_function_identity_arguments(p.oid))`

/** `ours`: roles of Pontoon; what they get is no part of the schema. */
export function grantStatements(user: string, ours: readonly string[]): readonly string[] {
  const isForOthers =
    `acl.privilege_type <> 'MAINTAIN' AND COALESCE(g.rolname, '') !~ '^pontoon_' ` +
    `AND COALESCE(g.rolname, '') <> ALL (ARRAY[${ours.map(literal).join(', ')}]::text[])`
  return [
    ...grantedObjects(user).map(
      ({ name, from, acl, owner, where }) =>
        `SELECT 'grant', ${name} || ' to ' || ${grantee}, ${ordered(privilege)}
         FROM ${from} CROSS JOIN LATERAL pg_catalog.aclexplode(${acl}) acl
         LEFT JOIN pg_catalog.pg_roles g ON g.oid = acl.grantee
         WHERE acl.grantee <> ${owner} AND ${isForOthers} AND ${where} GROUP BY 1, 2`,
    ),
    defaultPrivileges(isForOthers),
  ]
}

/** MAINTAIN came with 17, which every owner has; of owners see `missingOfOwner`. */
function grantedObjects(user: string): readonly Granted[] {
  return [
    {
      name: relation,
      from: relations,
      acl: 'c.relacl',
      owner: 'c.relowner',
      where: `c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ${user}`,
    },
    {
      name: `${relation} || '.' || quote_ident(a.attname)`,
      from: `${relations} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid`,
      acl: 'a.attacl',
      owner: 'c.relowner',
      where: `NOT a.attisdropped AND ${user}`,
    },
    {
      name: `'schema ' || quote_ident(n.nspname)`,
      from: 'pg_catalog.pg_namespace n',
      acl: 'n.nspacl',
      owner: 'n.nspowner',
      // Until 15 everybody might create in the schema that every database has.
      where: `${namespaces} AND (n.nspname, acl.grantee, acl.privilege_type)
        <> ('public', 0, 'CREATE')`,
    },
    {
      name: routine,
      from: `pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace`,
      acl: `COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))`,
      owner: 'p.proowner',
      where: `${namespaces} AND ${isNoExtension('pg_proc', 'p')}`,
    },
    {
      name: `pg_catalog.format('type %I.%I', n.nspname, t.typname)`,
      from: `pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace`,
      acl: `COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner))`,
      owner: 't.typowner',
      where: `(t.typtype IN ('e', 'd', 'r') OR EXISTS (SELECT FROM pg_catalog.pg_class c
        WHERE c.oid = t.typrelid AND c.relkind = 'c'))
        AND ${namespaces} AND ${isNoExtension('pg_type', 't')}`,
    },
  ]
}

/**
 * What objects made later are granted. Without a schema it takes the place of what is built in, so
 * that a missing PUBLIC says something, and one that says the same as that is none.
 */
function defaultPrivileges(isForOthers: string): string {
  const textOf = (acl: string): string =>
    `(SELECT ${ordered(`${grantee} || ' ' || ${privilege}`)}
      FROM pg_catalog.aclexplode(${acl}) acl LEFT JOIN pg_catalog.pg_roles g ON g.oid = acl.grantee
      WHERE acl.grantee <> d.defaclrole AND ${isForOthers})`
  const builtIn = `CASE WHEN d.defaclnamespace = 0 THEN pg_catalog.acldefault(
    CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END`
  return `SELECT 'default privileges', pg_catalog.concat_ws(' ', 'of', quote_ident(r.rolname),
      'in ' || quote_ident(n.nspname), 'on', CASE d.defaclobjtype WHEN 'r' THEN 'tables'
        WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
        WHEN 'n' THEN 'schemas' ELSE 'large objects' END), COALESCE(o.text, 'none')
    FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL (SELECT ${textOf('d.defaclacl')} AS text, ${textOf(builtIn)} AS built_in) o
    WHERE r.rolname !~ '^(pg_|pontoon_)' AND o.text IS DISTINCT FROM o.built_in`
}
