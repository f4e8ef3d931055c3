/**
 * Names that a read may not use although the catalog calls them harmless: what they return belongs
 * to one session or to one side, or they run a text that they are given. Reviewed by hand for
 * PostgreSQL 10 to 18 and the extensions that come with it.
 */

/**
 * Functions, as a regular expression that means the same here and in PostgreSQL. These also spoil
 * a view, policy or default that calls them.
 *
 * - `pg_…`: backend, statistics, files, WAL, catalog lookups. Four are plain functions.
 * - `txid_…`: STABLE, yet txid_current assigns a transaction id.
 * - large objects and dblink: no part of a table's data.
 * - crosstab, connectby, xpath_table, ts_rewrite, ts_stat, …_to_xml: run the query or read the
 *   table that a text names, so nobody can tell from outside what that is.
 */
export const deniedEverywhere =
  '^(pg_(?!(typeof|size_pretty|size_bytes|collation_for)$)|txid_|lo_|dblink|crosstab|binary_upgrade_' +
  '|inet_(client|server)_|(nextval|setval|currval|lastval|connectby|xpath_table|ts_rewrite|ts_stat' +
  '|version|to_reg[a-z]+|[a-z]+_to_xml(schema|_and_xmlschema)?)$)'

/**
 * Functions that are denied only when the text itself calls them. Row security and views of
 * multi-tenant applications read settings and roles; there they give the same on both sides,
 * because the settings of a session are replayed on the server that it gets.
 */
const deniedInText =
  /^(current_(setting|database|catalog|schemas?|user|role|query)|session_user|user|system_user|getpgusername|getdatabaseencoding|has_\w+_privilege|row_security_active|show_limit|(obj|col|shobj)_description|format_type|get_current_ts_config)$/

const deniedFunction = new RegExp(deniedEverywhere)

export function isDeniedFunction(name: string): boolean {
  return deniedFunction.test(name) || deniedInText.test(name)
}

/** Object, row and transaction identifiers differ between the sides. */
const deniedType =
  /^(oid|oidvector|reg(class|proc|procedure|oper|operator|type|role|namespace|collation)|xid8?|cid|tid|refcursor|aclitem|txid_snapshot|pg_\w+)$/

export function isDeniedType(name: string): boolean {
  return deniedType.test(name)
}

const systemColumns = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid', 'oid'])

export function isSystemColumn(name: string): boolean {
  return systemColumns.has(name)
}

export function isDeniedSchema(name: string): boolean {
  return /^(pg_catalog|information_schema|pg_toast|pg_temp)/.test(name)
}
