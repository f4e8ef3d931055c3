/**
 * A whole copy between real servers, of everything a table can be, while somebody writes. What it is
 * told meanwhile: told.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import { signalAll } from '../../../support/child-processes.ts'
import { bankRows, bankSchema, startTellers, untilBankIsEqual } from '../../../support/copy-bank.ts'
import { CopyCommand, hasChunks } from '../../../support/copy-command.ts'
import { startPair } from '../../../support/migration-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const schema = `
CREATE SCHEMA "Odd Name";
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE account (id int NOT NULL, branch int, balance int NOT NULL, filler char(84),
  CONSTRAINT sane CHECK (balance > -1000000));
CREATE TABLE branch (id int NOT NULL, name text);
CREATE TABLE "Odd Name"."Ta""ble" ("Co l" int NOT NULL, b bytea);
CREATE TABLE every_type (id int GENERATED ALWAYS AS IDENTITY,
  i2 smallint, i8 bigint, n numeric(20,5), f4 real, f8 double precision, t text, v varchar(20),
  c char(3), b bytea, ts timestamp, tstz timestamptz, d date, ti time, titz timetz, iv interval,
  bo boolean, u uuid, j json, jb jsonb, x xml, ip inet, cidr cidr, mac macaddr, pt point, po polygon,
  bits bit(3), vb varbit, tsv tsvector, m money, r int4range, ar int[], ta text[][], cl regclass);
CREATE TABLE portable (id int NOT NULL, i8 bigint, n numeric, f8 float8, t text, b bytea, tstz timestamptz,
  iv interval, u uuid, jb jsonb, ip inet, bits bit(3), tsv tsvector, r tstzrange, ar int[], ta text[][]);
CREATE TABLE own_type (id int NOT NULL, m mood, ms mood[], p pair, po positive);
CREATE TABLE enum_only (id int NOT NULL, m mood, po positive);
CREATE TABLE shaped (id int NOT NULL, price numeric, gross numeric GENERATED ALWAYS AS (price * 2) STORED);
CREATE TABLE no_column ();
CREATE TABLE parted (id int NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE parted_two PARTITION OF parted FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')
  PARTITION BY RANGE (id);
CREATE TABLE parted_two_a PARTITION OF parted_two FOR VALUES FROM (0) TO (1000000);
CREATE TABLE mother (id int NOT NULL, CONSTRAINT up CHECK (id > 0));
CREATE TABLE daughter (extra text) INHERITS (mother);
CREATE UNLOGGED TABLE fleeting (id int NOT NULL);
CREATE TABLE meeting (room int, during int4range);
`

const rows = `
INSERT INTO branch SELECT g, 'b' || g FROM generate_series(1, 100) g;
INSERT INTO account SELECT g, g % 50 + 1, 100, 'x' FROM generate_series(1, 60000) g;
UPDATE account SET balance = balance + 1 WHERE id % 7 = 0;
DELETE FROM account WHERE id % 11 = 0;
INSERT INTO "Odd Name"."Ta""ble" SELECT g, decode(repeat('00ff', 3000), 'hex') FROM generate_series(1, 200) g;
INSERT INTO every_type (i2, i8, n, f4, f8, t, v, c, b, ts, tstz, d, ti, titz, iv, bo, u, j, jb, x, ip,
  cidr, mac, pt, po, bits, vb, tsv, m, r, ar, ta, cl)
VALUES (1, 9e18, 'NaN', 1.1, 'infinity', E'tab\\t\\\\nl\\nü', '', 'ab', '\\x00ff', '2026-01-01', 'infinity', '-infinity',
  '01:02:03.000004', '01:02:03+02', '1 year 2 days 3 s', true, '00000000-0000-0000-0000-000000000001', '{"a": 1}',
  '{"a": [null]}', '<a>ü</a>', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2)', '((0,0),(1,1),(1,0))', '101',
  '1', 'a:1 b', '1.50', '[1,5)', '{1,NULL,3}', '{{a,b},{c,"d,e"}}', 'account');
INSERT INTO every_type (t) VALUES (NULL);
INSERT INTO portable SELECT g, g * 1e15, g / 7.0, g / 7.0::float8, E'tab\\t\\\\n\\nü', '\\x00ff', now(), '1 year 3 s',
  '00000000-0000-0000-0000-000000000001', '{"a": [null]}', '::1/64', '101', 'a:1 b', '[2026-01-01,)',
  '{1,NULL,3}', '{{a,b},{c,"d,e"}}' FROM generate_series(1, 500) g;
INSERT INTO portable (id) VALUES (-1);
INSERT INTO own_type VALUES (1, 'sad', '{sad,ok}', '(1,"a b")', 3);
INSERT INTO enum_only VALUES (1, 'ok', 7), (2, NULL, NULL);
INSERT INTO shaped SELECT g, g FROM generate_series(1, 10) g;
INSERT INTO no_column SELECT FROM generate_series(1, 3);
INSERT INTO parted SELECT g, '2026-06-01' FROM generate_series(1, 100) g;
INSERT INTO parted SELECT g, '2027-06-01' FROM generate_series(1, 100) g;
INSERT INTO mother VALUES (1), (2);
INSERT INTO daughter VALUES (3, 'x');
INSERT INTO fleeting VALUES (1), (2);
INSERT INTO meeting VALUES (1, '[1,2)'), (1, '[2,3)');
`

const objects = `
ALTER TABLE account ADD CONSTRAINT account_pkey PRIMARY KEY (id);
CREATE INDEX account_branch ON account (branch) WHERE balance > 0;
CREATE INDEX account_cluster ON account (balance);
CREATE INDEX "Account Upper" ON account (upper(filler));
ALTER TABLE account CLUSTER ON account_cluster;
ALTER TABLE branch ADD PRIMARY KEY (id), ADD CONSTRAINT branch_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE account ADD CONSTRAINT account_branch_fkey FOREIGN KEY (branch) REFERENCES branch ON DELETE CASCADE;
ALTER TABLE "Odd Name"."Ta""ble" ADD CONSTRAINT "Odd pkey" PRIMARY KEY ("Co l");
ALTER TABLE every_type ADD PRIMARY KEY (id);
ALTER TABLE portable ADD PRIMARY KEY (id) INCLUDE (i8);
ALTER TABLE own_type ADD PRIMARY KEY (id);
ALTER TABLE enum_only ADD CONSTRAINT enum_unique UNIQUE (id);
ALTER TABLE enum_only REPLICA IDENTITY USING INDEX enum_unique;
ALTER TABLE shaped ADD PRIMARY KEY (id);
ALTER TABLE no_column REPLICA IDENTITY FULL;
ALTER TABLE parted ADD PRIMARY KEY (id, day);
CREATE INDEX parted_day ON parted (day);
ALTER TABLE parted ADD CONSTRAINT parted_branch FOREIGN KEY (id) REFERENCES branch ON DELETE CASCADE;
ALTER TABLE mother ADD PRIMARY KEY (id);
ALTER TABLE daughter ADD PRIMARY KEY (id);
ALTER TABLE fleeting ADD PRIMARY KEY (id);
ALTER TABLE meeting ADD CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&), ADD CHECK (room > 0) NOT VALID;
ALTER TABLE meeting REPLICA IDENTITY FULL;
`

/** What stands on tables, the same text on both sides when it is the same. */
const shape = `
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS def, indisvalid, indisclustered, indisreplident
  FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE nspname IN ('public', 'Odd Name')
UNION ALL
SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(k.oid), convalidated, condeferrable, condeferred
  FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace
  WHERE nspname IN ('public', 'Odd Name') AND contype <> 'n'
UNION ALL
SELECT c.oid::regclass::text, relreplident::text, false, false, false
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE nspname IN ('public', 'Odd Name') AND relkind IN ('r', 'p')
ORDER BY 1, 2`

const ordered: readonly (readonly [table: string, by: string])[] = [
  ['account', 'id'],
  ['branch', 'id'],
  ['"Odd Name"."Ta""ble"', '"Co l"'],
  ['every_type', 'id'],
  ['portable', 'id'],
  ['own_type', 'id'],
  ['enum_only', 'id'],
  ['shaped', 'id'],
  ['no_column', '1'],
  ['parted', 'day, id'],
  ['ONLY mother', 'id'],
  ['daughter', 'id'],
  ['fleeting', 'id'],
  ['meeting', 'during'],
]
const contents = ordered
  .map(
    ([table, by]) =>
      `SELECT '${table.replaceAll('"', '')}' AS name, count(*), ` +
      `md5(string_agg(x::text, '|' ORDER BY ${by})) AS hash FROM ${table} x`,
  )
  .join(' UNION ALL ')
  .concat(' ORDER BY 1')

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())

await tap.test('a copy, 15 to 15', async (t) => {
  const db = await pair.database('orders', { schema })
  await db.query('source', `SET ROLE app; ${rows} ${objects}`)
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())

  const plan = await command.run('--dry-run')
  if (plan.exit !== 0) throw new Error(plan.err)
  t.match(plan.out, /public\.account/)
  const end = await command.run('--chunk-size', '500k')
  if (end.exit !== 0) throw new Error(end.err)
  t.same(await db.query('target', shape), await db.query('source', shape), 'the same objects')
  t.same(await db.query('target', contents), await db.query('source', contents), 'the same rows')
  const frozen = `SELECT relallvisible = relpages AS whole, relpages > 1 AS "hasPages"
    FROM pg_class WHERE relname IN ('portable', 'Ta"ble')`
  const all = { whole: true, hasPages: true }
  t.same(await db.query('target', frozen), [all, all], 'tables of one piece are born frozen')

  await db.query(
    'source',
    'UPDATE account SET balance = 7 WHERE id = 1; DELETE FROM branch WHERE id = 2',
  )
  await until(
    async () =>
      JSON.stringify(await db.query('target', contents)) ===
      JSON.stringify(await db.query('source', contents)),
    'changes follow',
    20_000,
  )
})

await tap.test('a copy that is killed goes on, and no row is lost or doubled', async (t) => {
  const accounts = 12_000
  const db = await pair.database('bank', { schema: bankSchema })
  await db.query('source', bankRows(accounts))
  const command = new CopyCommand(db.context)
  const tellers = startTellers(() => pair.source.url('bank', 'app', 'app'), accounts)
  t.teardown(async () => {
    await tellers.stop()
    await command.remove()
  })
  const running = await command.start('--rate', '1MB/s', '--chunk-size', '200k')
  await until(() => hasChunks(db, running), 'chunks are there', 60_000)
  signalAll([running.child.pid], 'SIGKILL')
  await running.ended
  const marks = 'SELECT sum(rows)::int AS rows FROM pontoon.copy_chunk'
  const [before] = await db.query('target', marks)
  t.ok(Number(before?.['rows']) > 0, 'some rows were there')
  const end = await command.run('--rate', '20MB/s')
  if (end.exit !== 0) throw new Error(end.err)
  t.match(end.err, 'Going on with the copy that was stopped')
  t.notMatch(end.err, 'The snapshot is gone')
  await tellers.stop()
  await untilBankIsEqual(db, 30_000)
  t.ok(tellers.done() > 0, 'transactions were acknowledged meanwhile')
  // As after kill -9 at the very end, when all rows were there.
  const job = join(command.jobFolder, 'job.json')
  writeFileSync(job, readFileSync(job, 'utf8').replace('"stage":"done"', '"stage":"following"'))
  const [copied] = await db.query('target', marks)
  const ended = await command.run('--json')
  t.equal(ended.exit, 0, ended.err)
  t.match(ended.out, `"rows": ${String(copied?.['rows'])},`)
  t.equal((await command.run('--abort')).exit, 3, 'what is synced cannot be aborted')
  // As of a machine whose copy another one has brought to its end.
  writeFileSync(job, readFileSync(job, 'utf8').replace('"stage":"done"', '"stage":"copying"'))
  const stale = await command.run('--abort')
  t.equal(stale.exit, 3, stale.out)
  t.match(stale.err, /the target follows the source/)
  const slots =
    "SELECT FROM pg_replication_slots WHERE slot_name = 'pontoon_bank_forward' AND active"
  t.equal((await db.query('source', slots)).length, 1, 'sync goes on')
})
