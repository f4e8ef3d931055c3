/** Effects of texts that stream through in pieces: as those of the whole, whatever the pieces. */
import t from 'tap'
import { LongText } from '../../src/routing/long-text.ts'
import { effect } from '../../src/routing/session-effects.ts'

function effectsOf(text: string, piece = 7_000): number | null {
  const bytes = Buffer.concat([Buffer.from(text), Buffer.from('\0behind the text; LOAD x')])
  const long = new LongText()
  for (let from = 0; from < bytes.length; from += piece)
    long.push(bytes, from, Math.min(bytes.length, from + piece))
  return long.effects()
}

const insert = `INSERT INTO t VALUES ${"(1, 'set it', E'don\\'t load', $1), ".repeat(40_000)}(2)`
const quoted = `'${'LISTEN x; set_config(y) '.repeat(60_000)}'`

const cases: readonly [string, string, number | null][] = [
  ['a bulk INSERT', insert, 0],
  ['one with a SET behind it', `${insert}; SET work_mem = '8MB'`, effect.settings],
  ['one with a LISTEN ahead of it', `LISTEN a; ${insert}`, effect.listen],
  [
    'a temporary table in the middle',
    `${insert}; CREATE TEMP TABLE x (); ${insert}`,
    effect.tempTable,
  ],
  ['an UPDATE with a long string', `UPDATE t SET body = ${quoted} WHERE id = 3`, 0],
  ['a doubled quote', `SELECT 'a''b', ${quoted}, 'c'''; LOAD 'x'`, effect.load],
  [
    'a long comment',
    `SELECT 1 /* ${"it's /* LOAD x; */ ".repeat(50_000)} */; LOAD 'x'`,
    effect.load,
  ],
  ['a comment that seems to end', `SELECT /*/ ; LOAD 'x' */ 1, ${quoted}`, 0],
  ['a line comment', `SELECT 1 -- it's ${'x'.repeat(80_000)}\n; RESET ALL`, effect.settings],
  ['a quoted name', `SELECT 1 AS "it's", ${quoted} AS "b"; LOAD 'x'`, effect.load],
  ['a dollar quote', `SELECT $a$it's $b$ $a $a$, $1; LOAD 'x'`, effect.load],
  ['a function call', `SELECT ${quoted}, pg_advisory_lock(1), ${quoted}`, effect.advisoryLock],
  ['a short DO', `DO 'BEGIN PERFORM 1; END'; ${insert}`, effect.opaque],
  ['a long DO', `DO ${quoted}`, null],
  ['a long DO in a language', `DO LANGUAGE plpgsql E${quoted}`, null],
  ['a long function body', `CREATE FUNCTION f() RETURNS int AS $$${'x'.repeat(20_000)}$$`, null],
  ['a backslash before a quote', `SELECT 'a\\', ${quoted}`, null],
  ['names that would have to be replaced', `${insert}; EXECUTE a`, null],
  ['nothing to part it at', `SELECT 1${' + 1'.repeat(20_000)}`, null],
]

void t.test('effects', (test) => {
  for (const [name, text, expected] of cases)
    for (const piece of [7_000, 1 << 20]) test.equal(effectsOf(text, piece), expected, name)
  test.equal(effectsOf("SELECT 'a''b', E'c\\'d' /* e */ -- f\n, $$g$$; LOAD 'x'", 1), effect.load)
  test.end()
})

void t.test('texts that change settings are kept', (test) => {
  const long = new LongText()
  const text = Buffer.from(`${insert}; SELECT set_config('app.tenant', 'anna', false)`)
  long.push(text, 0, text.length)
  test.equal(long.effects(), effect.settings)
  test.equal(long.settingTexts.length, 1)
  test.match(long.settingTexts[0], /set_config\('app.tenant'/)
  test.end()
})
