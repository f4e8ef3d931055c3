/** What logical replication does not carry, or stumbles over (PostgreSQL documentation, 31.8). */
import type { Check } from '../findings.ts'
import { columnsWithoutEqualitySql, fullFault, isIdentityIndexSql } from '../identity.ts'
import { isUserRelationSql } from '../tables.ts'

const from = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`
const name = `pg_catalog.format('%I.%I', n.nspname, c.relname)`

const usableIndex = (chosen: string): string => `EXISTS (SELECT FROM pg_catalog.pg_index i
  WHERE i.indrelid = c.oid AND ${isIdentityIndexSql('i')} AND ${chosen})`

export const replicationChecks: readonly Check[] = [
  {
    code: 'TABLE_WITHOUT_IDENTITY',
    severity: 'blocker',
    sql: (exclude) => `SELECT ${name}, c.relreplident FROM ${from}
      WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ${isUserRelationSql(exclude)}
        AND CASE c.relreplident WHEN 'f' THEN false WHEN 'n' THEN true
          WHEN 'd' THEN NOT ${usableIndex('i.indisprimary')}
          ELSE NOT ${usableIndex('i.indisreplident')} END ORDER BY 1`,
    text: () => 'has no key that identifies its rows: once it is published, UPDATE and DELETE fail',
    fix: ([table]) =>
      `Add a primary key (not deferrable), or: ALTER TABLE ${table} REPLICA IDENTITY FULL;`,
  },
  {
    code: 'ROWS_WITHOUT_EQUALITY',
    severity: 'blocker',
    sql: (exclude) => `SELECT * FROM (SELECT ${name} AS name,
        (SELECT pg_catalog.string_agg(k, ', ') FROM json_array_elements_text(${columnsWithoutEqualitySql}) k) AS columns
      FROM ${from} WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ${isUserRelationSql(exclude)}
    ) AS found WHERE columns IS NOT NULL ORDER BY 1`,
    text: ([, columns]) => fullFault([columns ?? '']).text,
    fix: () => fullFault([]).fix,
  },
  {
    code: 'UNLOGGED_TABLE',
    severity: 'blocker',
    sql: (exclude) => `SELECT ${name} FROM ${from}
      WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND ${isUserRelationSql(exclude)} ORDER BY 1`,
    text: () => 'is unlogged: its changes are in no WAL and never reach the other side',
    fix: ([table]) =>
      `ALTER TABLE ${table} SET LOGGED; or leave it out (migration.exclude) where it may begin empty.`,
  },
  {
    code: 'LARGE_OBJECTS',
    severity: 'blocker',
    sql: () =>
      `SELECT 'database', count(*) FROM pg_catalog.pg_largeobject_metadata HAVING count(*) > 0`,
    text: ([, count]) => `has ${count} large objects, which logical replication does not carry`,
    fix: () =>
      'Move them into bytea columns (lo_get), or stop writing them and copy them by hand: pg_dump --large-objects.',
  },
  {
    code: 'PREPARED_TRANSACTION',
    severity: 'blocker',
    // Of every database: a new slot waits for all of them.
    sql: () =>
      `SELECT gid, database, age(now(), prepared) FROM pg_catalog.pg_prepared_xacts ORDER BY prepared`,
    text: ([, database, age]) =>
      `is a prepared transaction in ${database} since ${age}: a replication slot waits for it`,
    fix: ([gid]) =>
      `COMMIT PREPARED '${gid?.replaceAll("'", "''")}'; or ROLLBACK PREPARED, by whoever prepared it.`,
  },
  {
    code: 'TRIGGER_ON_REPLICA',
    severity: 'blocker',
    sql: (exclude) => `SELECT ${name}, pg_catalog.quote_ident(t.tgname), t.tgenabled
      FROM pg_catalog.pg_trigger t JOIN ${from} ON c.oid = t.tgrelid
      WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND ${isUserRelationSql(exclude)} ORDER BY 1, 2`,
    text: ([, trigger, mode]) =>
      `has the trigger ${trigger} ENABLE ${mode === 'A' ? 'ALWAYS' : 'REPLICA'}: it fires again for each change that is applied, and fails where it writes on a fenced side`,
    fix: ([table, trigger]) => `ALTER TABLE ${table} ENABLE TRIGGER ${trigger};`,
  },
  {
    code: 'RULE_ON_REPLICA',
    severity: 'blocker',
    sql: (exclude) => `SELECT ${name}, pg_catalog.quote_ident(r.rulename)
      FROM pg_catalog.pg_rewrite r JOIN ${from} ON c.oid = r.ev_class
      WHERE r.ev_enabled IN ('A', 'R') AND ${isUserRelationSql(exclude)} ORDER BY 1, 2`,
    text: ([, rule]) => `has the rule ${rule} enabled for applied changes too`,
    fix: ([table, rule]) => `ALTER TABLE ${table} ENABLE RULE ${rule};`,
  },
  {
    code: 'SEQUENCE_UNOWNED',
    severity: 'note',
    sql: (exclude) => `SELECT ${name} FROM ${from}
      WHERE c.relkind = 'S' AND ${isUserRelationSql(exclude)} AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0) ORDER BY 1`,
    text: () => 'belongs to no column; its value is carried over at the cutover like all others',
    fix: () => '',
  },
  {
    code: 'GENERATED_COLUMN',
    severity: 'note',
    sql: (exclude) => `SELECT ${name}, pg_catalog.quote_ident(a.attname)
      FROM pg_catalog.pg_attribute a JOIN ${from} ON c.oid = a.attrelid
      WHERE pg_catalog.to_jsonb(a)->>'attgenerated' IN ('s', 'v') AND NOT a.attisdropped
        AND c.relkind IN ('r', 'p') AND ${isUserRelationSql(exclude)} ORDER BY 1, 2`,
    text: ([, column]) => `computes ${column} from other columns; each side computes it by itself`,
    fix: () => '',
  },
]
