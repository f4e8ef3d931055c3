/**
 * What a session keeps: settings, cursors, portals, prepared statements, large objects, listening,
 * temporary tables; and pipelines of many shapes. Neighbours: corpus.ts, corpus-script.ts.
 */
import {
  bind,
  closePortal,
  closeStatement,
  describePortal,
  describeStatement,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { batch, simple, simples, step } from './corpus-script.ts'
import type { Script } from './corpus-script.ts'

export const sessionSetup = `
  CREATE TABLE kept (id int PRIMARY KEY, note text);
  CREATE ROLE somebody;
  CREATE SEQUENCE counted;
  CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
    BEGIN PERFORM 1; COMMIT; PERFORM 2; ROLLBACK; END $$;
  CREATE FUNCTION opens_cursor() RETURNS refcursor LANGUAGE plpgsql AS $$
    DECLARE c refcursor := 'by_function';
    BEGIN OPEN c FOR SELECT n FROM generate_series(1, 3) n; RETURN c; END $$`

/** Function call with int4 and bytea arguments in binary and the result in binary. */
function callBinary(oid: number, ...values: readonly Buffer[]): Buffer {
  const formats = Buffer.concat([int16(1), int16(1)])
  const args = values.flatMap((value) => [int32(value.length), value])
  return message('F', int32(oid), formats, int16(values.length), ...args, int16(1))
}

/** Numbers of functions in pg_proc. */
const lo = { create: 715, open: 952, close: 953, read: 954, write: 955, seek: 956, unlink: 964 }
const largeObject = int32(424_242)
const readWrite = int32(0x60000)

const settings: readonly Script[] = [
  {
    name: 'settings, and what is reported of them',
    steps: [
      ...simples(
        "SET application_name = 'changed'",
        "SET TIME ZONE 'Asia/Tokyo'",
        'SHOW TimeZone',
        'SET DateStyle = German',
        "SELECT DATE '2020-02-03', TIMESTAMPTZ '2020-02-03 00:00Z'",
        'SET IntervalStyle = iso_8601',
        "SELECT INTERVAL '1 day 2 hours'",
        'SET extra_float_digits = 0',
        'SELECT 0.1::float8 + 0.2::float8',
        'SET standard_conforming_strings = off',
        "SELECT 'a\\nb'",
        "SET client_encoding = 'LATIN1'",
        "SELECT chr(252), 'x'",
        'SELECT chr(8364)',
        'RESET client_encoding',
        'SET work_mem = $$5MB$$',
        'SHOW work_mem',
        'SET work_mem = $$nonsense$$',
        'SET nothing_known = 1',
        'SET my.own = $$value$$',
        'SHOW my.own',
        'SET ROLE somebody',
        'SELECT current_user, session_user',
        'RESET ROLE',
        'SET SESSION AUTHORIZATION somebody',
        'SELECT current_user, session_user',
        'RESET SESSION AUTHORIZATION',
        'RESET ALL',
        'SHOW application_name',
        'DISCARD ALL',
      ),
    ],
  },
  {
    name: 'settings within transactions',
    steps: [
      ...simples(
        'BEGIN',
        "SET LOCAL application_name = 'for a moment'",
        'SHOW application_name',
        'COMMIT',
        'SHOW application_name',
        'BEGIN',
        "SET application_name = 'rolled back'",
        'ROLLBACK',
        'SHOW application_name',
        'BEGIN',
        'SAVEPOINT a',
        'SET DateStyle = SQL',
        'ROLLBACK TO a',
        'COMMIT',
        'SHOW DateStyle',
        "SELECT set_config('DateStyle', 'German', true)",
        'SHOW DateStyle',
        "SELECT set_config('DateStyle', 'German', false)",
        'SHOW DateStyle',
        "SET search_path = pg_catalog; SET work_mem = '2MB'; SELECT 1/0",
        'SHOW search_path',
        'SET LOCAL work_mem = 1024',
      ),
      step('Z', ...batch("SET application_name = 'by batch'")),
      step('Z', ...batch('SHOW application_name')),
      step('ZZ', query("SET DateStyle = 'Postgres'"), query("SELECT DATE '2020-02-03'")),
    ],
  },
  {
    name: 'a session that was started with settings',
    parameters: {
      application_name: 'corpus',
      DateStyle: 'German',
      TimeZone: 'Europe/Berlin',
      client_encoding: 'UTF8',
      options: '-c work_mem=3MB -c my.setting=a\\ b --search_path=pg_catalog,public',
    },
    steps: simples(
      'SHOW application_name',
      'SHOW TimeZone',
      'SHOW work_mem',
      'SHOW my.setting',
      'SHOW search_path',
      "SET TimeZone = 'UTC'",
      'RESET TimeZone',
      'SHOW TimeZone',
      'RESET ALL',
      'SHOW work_mem',
      'DISCARD ALL',
      'SHOW DateStyle',
    ),
  },
  {
    name: 'LATIN1 from the start',
    parameters: { client_encoding: 'latin1' },
    steps: [
      step('Z', message('Q', Buffer.from("SELECT '\xfc' || chr(228)\0", 'latin1'))),
      simple('SELECT chr(8364)'),
    ],
  },
]

const held: readonly Script[] = [
  {
    name: 'cursors',
    steps: simples(
      'BEGIN',
      'DECLARE c SCROLL CURSOR FOR SELECT n, n * n FROM generate_series(1, 20) n',
      'FETCH 3 FROM c',
      'FETCH BACKWARD 2 FROM c',
      'MOVE FORWARD 5 IN c',
      'FETCH ABSOLUTE 10 FROM c',
      'FETCH RELATIVE -3 FROM c',
      'FETCH ALL FROM c',
      'FETCH NEXT FROM c',
      'DECLARE b BINARY CURSOR FOR SELECT n FROM generate_series(1, 3) n',
      'FETCH 2 FROM b',
      'CLOSE c',
      'FETCH 1 FROM c',
      'ROLLBACK',
      'FETCH 1 FROM b',
      'DECLARE outside CURSOR FOR SELECT 1',
      'BEGIN',
      'SELECT opens_cursor()',
      'FETCH 2 FROM by_function',
      'COMMIT',
    ),
  },
  {
    name: 'a cursor WITH HOLD',
    steps: [
      ...simples(
        'BEGIN',
        'DECLARE held CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 10) n',
        'FETCH 2 FROM held',
        'COMMIT',
        'FETCH 2 FROM held',
      ),
      step('Z', describePortal('held'), execute('held', 3), sync()),
      simple('FETCH ALL FROM held'),
      simple('CLOSE ALL'),
      simple('FETCH 1 FROM held'),
    ],
  },
  {
    name: 'several portals at once, rows limited',
    steps: [
      simple('BEGIN'),
      step(
        'Z',
        parse('SELECT n FROM generate_series(1, $1::int) n', 'series'),
        bind({ portal: 'p1', statement: 'series', values: ['5'] }),
        bind({ portal: 'p2', statement: 'series', values: ['3'], resultFormats: [1] }),
        describePortal('p2'),
        execute('p1', 2),
        execute('p2', 2),
        execute('p1', 2),
        sync(),
      ),
      step('Z', execute('p1', 2), execute('p1', 2), execute('p2', 0), execute('p2', 1), sync()),
      step('Z', bind({ portal: 'p1', statement: 'series', values: ['1'] }), sync()),
      step('Z', execute('p1'), sync()),
      simple('ROLLBACK'),
      step('Z', execute('p1', 1), sync()),
      step(
        'Z',
        bind({ statement: 'series', values: ['4'] }),
        execute('', 2),
        execute('', 1),
        execute('', 1),
        execute('', 1),
        sync(),
      ),
      // A portal does not outlive its transaction.
      step('Z', bind({ portal: 'p3', statement: 'series', values: ['2'] }), sync()),
      step('Z', execute('p3'), sync()),
    ],
  },
  {
    name: 'portals of statements that write',
    uses: 'kept',
    steps: [
      simple('TRUNCATE kept'),
      step(
        'Z',
        parse('INSERT INTO kept SELECT n FROM generate_series(1, 5) n RETURNING id'),
        bind(),
        describePortal(),
        execute('', 2),
        execute('', 2),
        execute('', 2),
        sync(),
      ),
      step(
        'Z',
        parse('UPDATE kept SET note = $1'),
        bind({ values: [null] }),
        execute('', 1),
        sync(),
      ),
      step('Z', ...batch('DELETE FROM kept WHERE id > $1::int RETURNING *', '3')),
      step(
        'Z',
        ...batch(
          'MERGE INTO kept k USING (SELECT 1 AS id) s ON k.id = s.id WHEN MATCHED THEN DELETE',
        ),
      ),
      simple('SELECT id, note FROM kept ORDER BY id'),
    ],
  },
  {
    name: 'PREPARE, EXECUTE and DEALLOCATE in SQL',
    steps: [
      ...simples(
        'PREPARE sums (int, int) AS SELECT $1 + $2 AS sum',
        'EXECUTE sums (1, 2)',
        "EXECUTE sums (1, 'x')",
        'EXECUTE sums (1)',
        'PREPARE sums AS SELECT 1',
      ),
      step('Z', describeStatement('sums'), bind({ statement: 'sums', values: ['3', '4'] }), sync()),
      step('Z', bind({ statement: 'sums', values: ['3', '4'] }), execute(), sync()),
      ...simples('DEALLOCATE sums', 'EXECUTE sums (1, 2)', 'DEALLOCATE sums', 'DEALLOCATE ALL'),
      step('Z', parse('SELECT 6', 'again'), sync()),
      simple('DISCARD PLANS'),
      step('Z', bind({ statement: 'again' }), execute(), sync()),
      simple('DEALLOCATE ALL'),
      step('Z', bind({ statement: 'again' }), execute(), sync()),
    ],
  },
  {
    name: 'SQL reaches for a statement that was made by Parse',
    steps: [
      step('Z', parse('SELECT 5 AS five', 'by_protocol'), sync()),
      simple('EXECUTE by_protocol'),
      simple('DEALLOCATE by_protocol'),
      step('Z', bind({ statement: 'by_protocol' }), sync()),
    ],
  },
  {
    name: 'temporary tables',
    steps: simples(
      'CREATE TEMP TABLE mine (n int)',
      'INSERT INTO mine VALUES (1), (2)',
      'SELECT sum(n) FROM mine',
      'BEGIN; CREATE TEMP TABLE brief (n int) ON COMMIT DROP; INSERT INTO brief VALUES (1)',
      'SELECT count(*) FROM brief',
      'COMMIT',
      'SELECT count(*) FROM brief',
      'DISCARD TEMP',
      'SELECT sum(n) FROM mine',
      'CREATE TEMP TABLE mine (n int)',
    ),
  },
  {
    name: 'advisory locks',
    uses: 'lock 77',
    steps: simples(
      'SELECT pg_advisory_lock(77)',
      'SELECT pg_try_advisory_lock(77)',
      'SELECT pg_advisory_unlock(77), pg_advisory_unlock(77)',
      'SELECT pg_advisory_unlock(77)',
      'SELECT pg_advisory_lock_shared(77)',
      'SELECT pg_advisory_unlock_all()',
      'BEGIN',
      'SELECT pg_advisory_xact_lock(77)',
      'COMMIT',
    ),
  },
  {
    name: 'LISTEN and NOTIFY, to itself',
    steps: simples(
      'LISTEN mine',
      'LISTEN mine; LISTEN other',
      "NOTIFY mine, 'one'",
      "BEGIN; NOTIFY mine, 'two'; NOTIFY mine, 'two'; NOTIFY other",
      'SELECT 1',
      'COMMIT',
      "BEGIN; NOTIFY mine, 'never'; ROLLBACK",
      "SELECT pg_notify('mine', 'three')",
      'UNLISTEN mine',
      "NOTIFY mine, 'unheard'",
      'UNLISTEN *',
      "NOTIFY other, 'unheard'",
      `NOTIFY mine, '${'x'.repeat(8_000)}'`,
    ),
  },
]

const others: readonly Script[] = [
  {
    name: 'large objects by function calls',
    uses: 'large object',
    steps: [
      simple('BEGIN'),
      step('Z', callBinary(lo.create, largeObject)),
      step('Z', callBinary(lo.open, largeObject, readWrite)),
      step('Z', callBinary(lo.write, int32(0), Buffer.from('hello large object'))),
      step('Z', callBinary(lo.seek, int32(0), int32(6), int32(0))),
      step('ZZ', callBinary(lo.read, int32(0), int32(5)), callBinary(lo.read, int32(0), int32(50))),
      step('Z', callBinary(lo.write, int32(0), Buffer.alloc(100_000, 'z'))),
      step('Z', callBinary(lo.close, int32(0))),
      simple('COMMIT'),
      simple("SELECT lo_get(424242, 0, 20), encode(lo_get(424242, 100000, 50), 'escape')"),
      simple("SELECT lo_put(424242, 0, '\\x4a4a')"),
      simple('SELECT loid, pageno, length(data) FROM pg_largeobject ORDER BY 1, 2'),
      step('Z', callBinary(lo.open, int32(1), readWrite)),
      step('Z', callBinary(lo.read, int32(0), int32(5))),
      step('Z', callBinary(lo.unlink, largeObject)),
      step('Z', callBinary(lo.unlink, largeObject)),
    ],
  },
  {
    name: 'function calls in transactions',
    steps: [
      simple('BEGIN'),
      step('Z', callBinary(177, int32(1), int32(2))),
      step('Z', callBinary(177, int32(0x7fff_ffff), int32(1))),
      step('Z', callBinary(177, int32(1), int32(2))),
      simple('ROLLBACK'),
      step('ZZ', callBinary(177, int32(1), int32(2)), callBinary(154, int32(1), int32(0))),
      step('Z', message('F', int32(177), int16(0), int16(2), int32(-1), int32(-1), int16(0))),
    ],
  },
  {
    name: 'a replication connection',
    parameters: { replication: 'database' },
    steps: simples(
      'SHOW server_encoding',
      'SELECT 1 AS one; SELECT 2',
      'START_REPLICATION SLOT nowhere LOGICAL 0/0',
      'READ_REPLICATION_SLOT nowhere',
      'DROP_REPLICATION_SLOT nowhere',
      'TIMELINE_HISTORY 99',
      'NO_SUCH_COMMAND',
      'SELECT 3',
    ),
  },
  {
    name: 'procedures that commit',
    steps: [
      ...simples(
        'CALL commits()',
        'BEGIN',
        'CALL commits()',
        'ROLLBACK',
        'SELECT 1; CALL commits()',
      ),
      step('Z', ...batch('CALL commits()')),
      simple('DO $$ BEGIN COMMIT; END $$'),
    ],
  },
  {
    name: 'several statements in one Query',
    uses: 'kept',
    steps: simples(
      'TRUNCATE kept; INSERT INTO kept VALUES (1); SELECT count(*) FROM kept',
      'INSERT INTO kept VALUES (2); SELECT 1/0; INSERT INTO kept VALUES (3)',
      'SELECT count(*) FROM kept',
      'INSERT INTO kept VALUES (4); COMMIT; SELECT 1/0',
      'SELECT count(*) FROM kept',
      'BEGIN; INSERT INTO kept VALUES (5)',
      'COMMIT; SELECT count(*) FROM kept; BEGIN',
      'ROLLBACK; SELECT 1; ; SELECT 2;',
      'BEGIN; SELECT 1; ROLLBACK; BEGIN; SELECT 1/0',
      'ROLLBACK; CREATE TABLE fleeting (n int); DROP TABLE fleeting',
      "SELECT nextval('counted') > 0; SELECT currval('counted') > 0",
      'SELECT; SELECT 1, 2; VALUES (1), (2); TABLE kept',
      'EXPLAIN (COSTS off) SELECT 1; SHOW server_encoding',
    ),
  },
  {
    name: 'long pipelines',
    steps: [
      step('Z'.repeat(100), ...Array.from({ length: 100 }, (_, n) => batch(`SELECT ${n}`)).flat()),
      step(
        'Z',
        ...Array.from({ length: 100 }, (_, n) =>
          batch('SELECT $1::int', `${n}`).slice(0, -1),
        ).flat(),
        sync(),
      ),
      step(
        'Z'.repeat(60),
        ...Array.from({ length: 60 }, (_, n) =>
          n % 3 === 0 ? batch('SELECT 1/$1::int', `${n % 2}`) : [query(`SELECT 1/${(n % 3) - 1}`)],
        ).flat(),
      ),
      step(
        'ZZZ',
        ...batch('BEGIN'),
        ...batch('SELECT 1').slice(0, -1),
        ...batch('COMMIT').slice(0, -1),
        ...batch('SELECT 2'),
        ...batch('SELECT 3'),
      ),
      step(
        'ZZZZ',
        ...batch('BEGIN'),
        ...batch('SELECT 1/0'),
        ...batch('SELECT 1'),
        ...batch('COMMIT'),
      ),
      step('ZZZ', query('BEGIN'), ...batch('SELECT 1'), query('COMMIT')),
    ],
  },
  {
    name: 'two names for the same text, one of them used again',
    steps: [
      step('Z', parse('SELECT 1', 'n2'), parse('SELECT 1', 'n1'), parse('SELECT 2', 'n1'), sync()),
      step('Z', parse('SELECT 2', 'n1'), sync()),
      step('Z', parse('SELECT 2', 'n2'), sync()),
      step('Z', bind({ statement: 'n1' }), sync()),
    ],
  },
  {
    name: 'statements and portals of the same name, made and closed in one pipeline',
    steps: [
      step(
        'Z',
        parse('SELECT 1', 'n'),
        bind({ portal: 'n', statement: 'n' }),
        closeStatement('n'),
        execute('n'),
        parse('SELECT 2', 'n'),
        bind({ portal: 'm', statement: 'n' }),
        closePortal('n'),
        describePortal('m'),
        describeStatement('n'),
        execute('m'),
        closeStatement('n'),
        closePortal('m'),
        sync(),
      ),
      step(
        'Z',
        parse('SELECT 3', 'n'),
        flush(),
        closeStatement('n'),
        parse('SELECT 4', 'n'),
        sync(),
      ),
      step('Z', bind({ statement: 'n' }), execute(), parse('SELECT 5'), bind(), execute(), sync()),
      step('Z', bind(), execute(), sync()),
      step('ZZ', query('SELECT 6'), bind(), execute(), sync()),
      step('Z', parse('SELECT 7'), describeStatement(), closeStatement(), bind(), sync()),
    ],
  },
]

export const sessionScripts: readonly Script[] = [...settings, ...held, ...others]
