/** What in the definitions of the source wants a second look before or after the move. */
import type { Check } from '../findings.ts'
import { literal } from '../quote.ts'
import { isUserRelationSql } from '../tables.ts'

const from = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`
const name = `pg_catalog.format('%I.%I', n.nspname, c.relname)`

export const definitionChecks: readonly Check[] = [
  {
    code: 'EXCLUDE_UNKNOWN',
    severity: 'warning',
    sql: (exclude) => {
      if (exclude.length === 0) return 'SELECT 1 WHERE false'
      const values = exclude.map((table) => `(${literal(table)})`).join(', ')
      return `SELECT e.name FROM (VALUES ${values}) AS e(name) WHERE NOT EXISTS (
        SELECT FROM ${from} WHERE n.nspname || '.' || c.relname = e.name)`
    },
    text: () => 'is in migration.exclude, but there is no such table',
    fix: () => 'Spell it as the catalogue does: schema.table, without quotes.',
  },
  {
    code: 'EVENT_TRIGGER',
    severity: 'warning',
    sql: () => `SELECT pg_catalog.quote_ident(e.evtname), e.evtevent FROM pg_catalog.pg_event_trigger e
      WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
        AND d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass AND d.objid = e.oid) ORDER BY 1`,
    text: ([, event]) =>
      `is an event trigger (${event}); only a superuser can make it on the target` +
      (event === 'login' ? '. One that writes keeps everybody out of a fenced side' : ''),
    fix: ([, event]) =>
      'Make it by hand on a target that allows it, or do without.' +
      (event === 'login'
        ? " One that writes has to leave Pontoon's roles alone (IF session_user …)."
        : ''),
  },
  {
    code: 'ROW_SECURITY',
    severity: 'warning',
    sql: (exclude) => `SELECT ${name}, c.relforcerowsecurity FROM ${from}
      WHERE c.relrowsecurity AND ${isUserRelationSql(exclude)} ORDER BY 1`,
    text: ([, forced]) =>
      forced === 't'
        ? 'has row security, forced on its owner too: who copies, applies or compares its rows needs BYPASSRLS'
        : 'has row security: who compares its rows needs BYPASSRLS',
    fix: ([, forced]) =>
      forced === 't'
        ? 'pontoon schema gives it to all three roles of Pontoon where it may; otherwise NO FORCE ROW LEVEL SECURITY until the migration is over.'
        : 'pontoon schema gives it to the readUser where it may; otherwise an administrator: ALTER ROLE … BYPASSRLS.',
  },
  {
    code: 'INHERITED_TABLE',
    severity: 'note',
    sql: (exclude) => `SELECT ${name}, h.inhparent::pg_catalog.regclass
      FROM pg_catalog.pg_inherits h JOIN ${from} ON c.oid = h.inhrelid
      WHERE c.relkind = 'r' AND NOT c.relispartition AND ${isUserRelationSql(exclude)} ORDER BY 1`,
    text: ([, parent]) => `inherits from ${parent}; both are copied and published each for itself`,
    fix: () => '',
  },
  {
    code: 'FOREIGN_TABLE',
    severity: 'warning',
    sql: (exclude) => `SELECT ${name}, s.srvname FROM pg_catalog.pg_foreign_table f
      JOIN ${from} ON c.oid = f.ftrelid JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
      WHERE ${isUserRelationSql(exclude)} ORDER BY 1`,
    text: ([, server]) =>
      `is a foreign table of the server ${server}: its rows stay where they are`,
    fix: ([, server]) =>
      `See that the target reaches ${server}, and that its user mappings have passwords.`,
  },
  {
    code: 'MATERIALIZED_VIEW',
    severity: 'note',
    sql: (exclude) => `SELECT ${name} FROM ${from}
      WHERE c.relkind = 'm' AND ${isUserRelationSql(exclude)} ORDER BY 1`,
    text: () => 'is not replicated: it is filled on the target by schema --post-data',
    fix: ([view]) =>
      `REFRESH MATERIALIZED VIEW ${view}; on the target right before it takes reads.`,
  },
]
