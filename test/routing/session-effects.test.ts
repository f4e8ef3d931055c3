/** What src/routing/session-effects.ts sees in a statement, and what it must not see. */
import { array, assert, boolean, constantFrom, property, tuple, uint8Array } from 'fast-check'
import t from 'tap'
import { effect, sessionEffects } from '../../src/routing/session-effects.ts'

function effectsOf(sql: string | Buffer): string {
  const bytes = Buffer.from(sql)
  // The text stands between other bytes, as it does in a message.
  const message = Buffer.concat([Buffer.from("set '"), bytes, Buffer.from("'; set x = 1")])
  const found = sessionEffects(message, 5, 5 + bytes.length)
  const names = Object.entries(effect).filter(([, bit]) => (found & bit) !== 0)
  return names.map(([name]) => name).join(' ')
}

const cases: readonly (readonly [sql: string, effects: string])[] = [
  ['', ''],
  ['SELECT 1', ''],
  ['UPDATE t SET a = 1', ''],
  ['BEGIN ISOLATION LEVEL SERIALIZABLE', ''],
  ['set x = 1', 'settings'],
  ['SET\n\tSESSION\fx TO 1', 'settings'],
  ['SET LOCAL x = 1', ''],
  ['SET /* it ends */ LOCAL x = 1', ''],
  ['SET local.x = 1', 'settings'],
  ['SET transaction.x TO 1', 'settings'],
  ['SET TRANSACTION READ ONLY', ''],
  ['SET CONSTRAINTS ALL DEFERRED', ''],
  ['SET ROLE admin', 'settings'],
  ['SET SESSION AUTHORIZATION DEFAULT', 'settings'],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', 'settings'],
  ['RESET ALL', 'settings'],
  ["SELECT set_config('a.b', '1', false)", 'settings'],
  ["SELECT pg_catalog . set_config\n('a.b', '1', false)", 'settings'],
  ['SELECT set_limit(0.5)', 'settings'],
  ["UPDATE pg_settings SET setting = '1' WHERE name = 'x'", 'settings'],
  ["update /* it sets */ only Pg_Catalog . pg_settings set setting = '1'", 'settings'],
  ['UPDATE pg_settings_mine SET a = 1; UPDATE pg_catalog.x SET a = 1', ''],
  ['UPDATE x SET a = (SELECT setting FROM pg_settings)', ''],
  ['UPDATE', ''],
  ['UPDATE pg_catalog.', ''],
  ['DISCARD TEMP', 'settings'],
  ['discard all', 'settings discardAll'],
  ['LISTEN orders', 'listen'],
  ['UNLISTEN *', 'unlisten'],
  ['NOTIFY orders', ''],
  ['PREPARE x AS SELECT 1', 'prepare'],
  ["PREPARE TRANSACTION 'x'", ''],
  ['PREPARE transaction AS SELECT 1', 'prepare'],
  ['PREPARE transaction (int) AS SELECT 1', 'prepare'],
  ['EXECUTE x(1)', 'execute'],
  ['EXPLAIN ANALYZE EXECUTE x', 'execute'],
  ['EXPLAIN (ANALYZE, FORMAT json) EXECUTE x', 'execute'],
  ['EXPLAIN SELECT listen FROM load', ''],
  ['CREATE TABLE y AS EXECUTE x', 'execute'],
  ['CREATE TRIGGER y AFTER INSERT ON z EXECUTE FUNCTION f()', ''],
  ['CREATE TRIGGER y AFTER INSERT ON z EXECUTE PROCEDURE f()', ''],
  ['GRANT EXECUTE ON FUNCTION f TO x', ''],
  ['DEALLOCATE PREPARE x', 'deallocate'],
  ['CREATE TEMP TABLE x (a int)', 'tempTable'],
  ['create or replace temporary view x as select 1', 'tempTable'],
  ['CREATE LOCAL TEMPORARY SEQUENCE x', 'tempTable'],
  ['CREATE TABLE temp (a int)', ''],
  ['CREATE TABLE pg_temp.x (a int)', 'tempTable'],
  ['CREATE TABLE "pg_temp".x (a int)', 'tempTable'],
  ['CREATE FUNCTION pg_temp_3.f() RETURNS int', 'tempTable'],
  ['SELECT pg_template, pg_tempo FROM t', ''],
  ['EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1', 'tempTable'],
  ['SELECT 1 INTO TEMP x', 'tempTable'],
  ['SELECT 1 INTO LOCAL TEMPORARY TABLE "x"', 'tempTable'],
  ['WITH a AS (SELECT 1) SELECT * INTO TEMP pg FROM a', 'tempTable'],
  ['SELECT 1 INTO x', ''],
  ['INSERT INTO temp VALUES (1)', ''],
  ['INSERT INTO temp (a) SELECT 1', ''],
  ['INSERT INTO temp DEFAULT VALUES', ''],
  ['DECLARE x CURSOR WITH HOLD FOR SELECT 1', 'holdCursor'],
  ['DECLARE "for" BINARY CURSOR WITH /* */ HOLD FOR SELECT 1', 'holdCursor'],
  ['DECLARE x CURSOR WITHOUT HOLD FOR SELECT 1', ''],
  ['DECLARE x CURSOR FOR WITH hold AS (SELECT 1) SELECT * FROM hold', ''],
  ['SELECT pg_advisory_lock(1)', 'advisoryLock'],
  ['SELECT PG_TRY_ADVISORY_LOCK(1)', 'advisoryLock'],
  ['SELECT pg_advisory_lock_shared /* a */ -- b\n (1)', 'advisoryLock'],
  ['SELECT pg_catalog."pg_try_advisory_lock_shared"(1)', 'advisoryLock'],
  ['SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)', ''],
  ['SELECT pg_advisory_lock FROM t', ''],
  ['SELECT pg_advisory_unlock(1), pg_advisory_unlock_all()', 'release'],
  ['DROP TABLE x', 'release'],
  ['CLOSE ALL', 'release'],
  ['ALTER TABLE x DROP COLUMN y', ''],
  ["LOAD 'auto_explain'", 'load'],
  ["SELECT currval('s'), lastval()", 'sequenceState'],
  ['SELECT setseed(0.5)', 'other'],
  ["SELECT dblink_connect('x', 'dbname=y')", 'other'],
  ['SELECT U&"pg\\005fadvisory_lock"(1)', 'other'],
  ['SELECT u&"a!0062" UESCAPE \'!\'', 'other'],
  ['CALL f()', 'opaque'],
  ['DO $$ BEGIN PERFORM 1; END $$', 'opaque'],
  ['DO LANGUAGE plpgsql $a$ BEGIN SET x = 1; END $a$', 'settings opaque'],
  ["DO 'BEGIN IF true THEN LISTEN x; END IF; END'", 'listen opaque'],
  ["DO E'BEGIN\\nCREATE TEMP TABLE x ();END'", 'other opaque'],
  ["DO $$ BEGIN EXECUTE 'x'; END $$; SELECT 1", 'opaque'],
  ['DO $$ BEGIN DO $a$ BEGIN SET x = 1; END $a$; END $$', 'other opaque'],
  ['DO $$ DECLARE x int; BEGIN UNLISTEN y; END $$', 'unlisten opaque'],
  // Several statements, and the places where a statement only seems to begin.
  ['SELECT 1; SET x = 1', 'settings'],
  ['BEGIN;LISTEN a;CREATE TEMP TABLE b();COMMIT', 'listen tempTable'],
  ["SELECT ';SET x = 1'", ''],
  ["SELECT 'it''s;SET x = 1'", ''],
  ["SELECT E'it\\';SET x = 1'", ''],
  ["SELECT e'\\\\';SET x = 1", 'settings'],
  ['SELECT ";SET x = 1"', ''],
  ['SELECT "a"";SET x = 1"', ''],
  ['SELECT $$;SET x = 1$$', ''],
  ['SELECT $a$;SET x = 1$b$;LISTEN x$a$;LOAD x', 'load'],
  ['SELECT $1;SET x = 1', 'settings'],
  ['SELECT a$b$c;SET x = 1', 'settings'],
  ['SELECT 1 -- ;SET x = 1', ''],
  ['SELECT 1 -- a\r;SET x = 1', 'settings'],
  ['SELECT 1 /* /* */ ;SET x = 1 */', ''],
  ['SELECT 1 /* /* */ */;SET x = 1', 'settings'],
  ['/* a */ -- b\n /**/ SET x = 1', 'settings'],
  ['SELECT 1 - 2 / 3;SET x = 1', 'settings'],
  ['SELECT set_config', ''],
  // standard_conforming_strings may be on or off: either reading counts.
  ["SELECT 'a\\'; SET x = 1 --'", 'settings'],
  ["SELECT 'a\\'' ; SET x = 1 --'", 'settings'],
  ["SELECT 'a\\b'; SELECT 1", ''],
]

for (const [sql, effects] of cases) {
  t.equal(effectsOf(sql), effects, sql)
}

await t.test('a character of SJIS that ends in a backslash', async (test) => {
  const text = Buffer.concat([
    Buffer.from("SELECT E'"),
    Buffer.of(0x95, 0x5c),
    Buffer.from("'; SET x = 1"),
  ])
  test.equal(effectsOf(text), 'settings')
})

await t.test('long texts that nest or repeat take no time', async (test) => {
  const tags = Array.from({ length: 100_000 }, (_, n) => `DO $a${n}$ `)
  const texts = [
    tags.join(''),
    `EXPLAIN ${'DECLARE x '.repeat(100_000)}`,
    `DO $$ ${'BEGIN DECLARE x '.repeat(100_000)}$$`,
    'SELECT 1 INTO '.repeat(100_000),
    '/*'.repeat(500_000),
    '('.repeat(1_000_000),
    "E'\u00e9\\' 'a\\'' ".repeat(50_000),
    '$a$b'.repeat(250_000),
    'CREATE OR '.repeat(100_000),
  ]
  for (const text of texts) {
    const bytes = Buffer.from(text)
    const startedMs = performance.now()
    sessionEffects(bytes, 0, bytes.length)
    test.ok(performance.now() - startedMs < 2_000, text.slice(0, 20))
  }
})

await t.test('arbitrary bytes do not throw, and stay within the effects', async (test) => {
  const pieces = constantFrom(
    "'",
    '"',
    '$$',
    '$a$',
    ';',
    '--',
    '/*',
    '*/',
    '\\',
    '(',
    ' ',
    '\n',
    'E',
    'U&',
    'SET',
    'DO',
    'pg_temp',
    'CREATE',
    'INTO',
    'TEMP',
    'DECLARE',
    'EXPLAIN',
    'set_config',
    'x',
    '.',
    '\u00e9',
    '1',
    'WITH HOLD',
  )
  const all = Object.values(effect).reduce((sum, bit) => sum | bit, 0)
  const within = (bytes: Buffer) => {
    const found = sessionEffects(bytes, 0, bytes.length)
    return (found & ~all) === 0 && found >= 0
  }
  assert(
    property(uint8Array({ maxLength: 200 }), (bytes) => within(Buffer.from(bytes))),
    { interruptAfterTimeLimit: 1_500, numRuns: 20_000 },
  )
  assert(
    property(array(pieces, { maxLength: 40 }), (text) => within(Buffer.from(text.join('')))),
    { interruptAfterTimeLimit: 1_500, numRuns: 20_000 },
  )
  test.pass('held')
})

await t.test(
  'what a statement does is seen behind any blanks, comments and statements',
  async (test) => {
    const blanks = array(constantFrom(' ', '\t', '\n', '-- it\'s "\n', "/* ' */", '/*/**/*/'), {
      maxLength: 4,
    }).map((parts) => ' ' + parts.join(''))
    const before = constantFrom(
      '',
      'SELECT 1;',
      "SELECT ';''';",
      'SELECT $a$;$a$;',
      'COMMIT;',
      ';;',
    )
    const words = constantFrom(
      ['SET', 'x', 'TO', '1'],
      ['CREATE', 'TEMP', 'TABLE', 'x', '()'],
      ['SELECT', 'pg_advisory_lock', '(1)'],
      ['SELECT', '1', 'INTO', 'TEMP', 'x'],
      ['DECLARE', 'c', 'CURSOR', 'WITH', 'HOLD', 'FOR', 'SELECT', '1'],
      ['UNLISTEN', '*'],
      ['EXPLAIN', 'ANALYZE', 'EXECUTE', 'x'],
    )
    const mixed = tuple(
      before,
      words,
      array(tuple(blanks, boolean()), { minLength: 9, maxLength: 9 }),
    )
    assert(
      property(mixed, ([first, list, dress]) => {
        const text = list.map((word, at) => {
          const [blank, lower] = dress[at] ?? [' ', false]
          return blank + (lower ? word.toLowerCase() : word)
        })
        return effectsOf(first + text.join('')) !== ''
      }),
      { interruptAfterTimeLimit: 2_000, numRuns: 20_000 },
    )
    test.pass('held')
  },
)
