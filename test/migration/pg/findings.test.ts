/** Each finding is made by a database that has it, and not by one that is sound. */
import tap from 'tap'
import { readFindings } from '../../../src/migration/pg/findings.ts'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'

tap.setTimeout(280_000)

const unsound = `
CREATE TABLE "No Key" (v text);
CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE "No Equal" (a json, b int, c point); ALTER TABLE "No Equal" REPLICA IDENTITY FULL;
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
SELECT lo_create(0);
CREATE TABLE parent (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE child () INHERITS (parent); ALTER TABLE child ADD PRIMARY KEY (id);
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER always BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER usual BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION noop();
ALTER TABLE parent ENABLE ALWAYS TRIGGER always;
CREATE RULE never AS ON DELETE TO parent DO INSTEAD NOTHING; ALTER TABLE parent ENABLE REPLICA RULE never;
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
CREATE SEQUENCE alone; CREATE TABLE with_serial (id serial PRIMARY KEY);
CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE lines (line text) SERVER files OPTIONS (filename '/dev/null');
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION on_ddl();
`

await tap.test('findings', async (whole) => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15, settings: { max_prepared_transactions: '2' } }),
    startPostgres({ major: 18, settings: { wal_level: 'replica' } }),
  ])
  whole.teardown(() => Promise.all([source.stop(), target.stop()]))
  await source.createDatabase('shop')
  await target.query("CREATE DATABASE shop TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
  await source.query(unsound, 'shop')
  await source.query("BEGIN; CREATE TABLE x (); PREPARE TRANSACTION 'it''s'")
  // New in 18.
  await target.query('CREATE EXTENSION pg_logicalinspect', 'shop')
  const [ours, theirs] = [await connect(source, 'shop'), await connect(target, 'shop')]
  whole.teardown(() => [ours, theirs].map((client) => client.close()))

  await whole.test('of the source', async (t) => {
    const found = await readFindings(ours, null, ['public.gone'])
    t.same(
      found.map(({ severity, code, object }) => `${severity} ${code} ${object}`),
      [
        'blocker TABLE_WITHOUT_IDENTITY public."No Key"',
        'blocker TABLE_WITHOUT_IDENTITY public.late',
        'blocker TABLE_WITHOUT_IDENTITY public.nothing',
        'blocker ROWS_WITHOUT_EQUALITY public."No Equal"',
        'blocker UNLOGGED_TABLE public.fleeting',
        'blocker LARGE_OBJECTS database',
        "blocker PREPARED_TRANSACTION it's",
        'blocker TRIGGER_ON_REPLICA public.parent',
        'blocker RULE_ON_REPLICA public.parent',
        'warning EXCLUDE_UNKNOWN public.gone',
        'warning EVENT_TRIGGER watch',
        'warning ROW_SECURITY public.parent',
        'warning FOREIGN_TABLE public.lines',
        'note SEQUENCE_UNOWNED public.alone',
        'note GENERATED_COLUMN public.child',
        'note GENERATED_COLUMN public.parent',
        'note INHERITED_TABLE public.child',
        'note MATERIALIZED_VIEW public.seen',
      ],
    )
    t.match(found[0]?.fix, 'ALTER TABLE public."No Key" REPLICA IDENTITY FULL;')
    t.match(
      found.find(({ code }) => code === 'PREPARED_TRANSACTION')?.fix,
      "COMMIT PREPARED 'it''s';",
    )
    t.match(found.find(({ code }) => code === 'ROWS_WITHOUT_EQUALITY')?.text, 'compare a, c: ')
    const fewer = await readFindings(ours, null, ['public.fleeting', 'public.No Key'])
    t.notOk(
      fewer.some(({ object }) => /fleeting|No Key/.test(object)),
      'excluded tables',
    )
  })

  await whole.test('between the sides', async (t) => {
    const all = await readFindings(ours, theirs)
    const alone = new Set((await readFindings(ours, null)).map(({ code }) => code))
    t.same(
      all
        .filter(({ code }) => !alone.has(code))
        .map(({ severity, code, object }) => `${severity} ${code} ${object}`),
      ['blocker ENCODING_DIFFERS database', 'blocker WAL_LEVEL target'],
    )
    t.same(
      (await readFindings(theirs, ours)).map(
        ({ severity, code, object }) => `${severity} ${code} ${object}`,
      ),
      [
        'blocker WAL_LEVEL source',
        'blocker EXTENSION_MISSING pg_logicalinspect',
        'warning ENCODING_DIFFERS database',
        'warning TARGET_OLDER database',
      ],
    )
  })
})

function connect(server: PostgresServer, database: string): Promise<SqlClient> {
  const parameters = { user: server.superuser, database }
  return SqlClient.connect({
    endpoint: { host: server.host, port: server.port },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    parameters: new Map(Object.entries(parameters)),
    password: server.password,
    timeoutMs: 5_000,
  })
}
