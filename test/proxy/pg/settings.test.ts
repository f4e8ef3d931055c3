/** Settings as text: startup options taken apart, differences turned into SQL. */
import { array, assert, constantFrom, property } from 'fast-check'
import t from 'tap'
import {
  parseOptions,
  settingsKey,
  settingsReading,
  settingsSql,
  startupSettings,
} from '../../../src/proxy/pg/settings.ts'

const map = (entries: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(entries))

void t.test('options are taken apart as the server does it', (test) => {
  const cases: Readonly<Record<string, readonly [string, string][] | null>> = {
    '': [],
    '   ': [],
    '-c work_mem=5MB': [['work_mem', '5MB']],
    '-cwork_mem=5MB': [['work_mem', '5MB']],
    '--work-mem=5MB': [['work_mem', '5MB']],
    ' -c a=1\t-c  b=2\n': [
      ['a', '1'],
      ['b', '2'],
    ],
    '-c search_path=a,\\ b': [['search_path', 'a, b']],
    '-c app.note=back\\\\slash': [['app.note', 'back\\slash']],
    '-c a=b=c': [['a', 'b=c']],
    '-c a=': [['a', '']],
    '-c DateStyle=ISO': [['datestyle', 'ISO']],
    '-c': null,
    '-c work_mem': null,
    '-c =5': null,
    '-e': null,
    '-c a=1 -S 100': null,
    word: null,
  }
  for (const [options, expected] of Object.entries(cases))
    test.strictSame(parseOptions(options), expected, JSON.stringify(options))
  const pieces = constantFrom(' ', '\\', '-c', '--', 'a=', 'b', '=', "'", 'é')
  assert(
    property(array(pieces), (words) => {
      const found = parseOptions(words.join(''))
      return found === null || found.every(([name]) => name !== '' && !name.includes('-'))
    }),
  )
  test.end()
})

void t.test('startup parameters that are settings, and those that are not', (test) => {
  const found = startupSettings(
    map({
      user: 'a',
      database: 'b',
      replication: 'false',
      '_pq_.x': 'y',
      DateStyle: 'ISO',
      options: '-c work_mem=1MB',
    }),
  )
  test.strictSame(
    [...found.settings],
    [
      ['datestyle', 'ISO'],
      ['work_mem', '1MB'],
    ],
  )
  test.equal(found.options, '')
  test.equal(startupSettings(map({ options: '-e -c a=1' })).options, '-e -c a=1')
  test.end()
})

void t.test('the same settings have the same key, whatever their order', (test) => {
  test.equal(settingsKey(map({ a: '1', b: '2' })), settingsKey(map({ b: '2', a: '1' })))
  test.not(settingsKey(map({ a: '1' })), settingsKey(map({ a: '2' })))
  test.equal(settingsKey(map({})), '')
  test.end()
})

void t.test('only what decides the meaning of literals and names counts as reading', (test) => {
  test.equal(settingsReading(map({ application_name: 'x', work_mem: '1', 'app.tenant': '5' })), '')
  test.not(
    settingsReading(map({ timezone: 'UTC' })),
    settingsReading(map({ timezone: 'Asia/Tokyo' })),
  )
  test.equal(
    settingsReading(map({ timezone: 'UTC', 'app.tenant': '5' })),
    settingsReading(map({ timezone: 'UTC' })),
  )
  test.end()
})

void t.test('differences become SQL', (test) => {
  const cases: readonly (readonly [object, object, string])[] = [
    [{}, {}, ''],
    [{ a: '1' }, { a: '1' }, ''],
    [{}, { a: '1' }, "SELECT pg_catalog.set_config(E'a', E'1', false)"],
    [{ a: '1' }, {}, 'RESET "a"'],
    [{ 'app.user': 'x' }, {}, 'RESET "app"."user"'],
    [
      { a: '1', b: '2' },
      { b: '3', c: '4' },
      `RESET "a"; SELECT pg_catalog.set_config(E'b', E'3', false), pg_catalog.set_config(E'c', E'4', false)`,
    ],
  ]
  for (const [from, to, expected] of cases)
    test.equal(settingsSql(new Map(Object.entries(from)), new Map(Object.entries(to))), expected)
  test.end()
})

void t.test('the timeout of the last client is gone before anything else', async (test) => {
  const short = map({ a: '1', statement_timeout: '1' })
  test.match(settingsSql(short, map({})), /^RESET "statement_timeout"; RESET "a"$/)
  const other = settingsSql(short, map({ a: '2', statement_timeout: '5' }))
  test.match(other, /^RESET "statement_timeout"; SELECT .*set_config\(E'statement_timeout', E'5'/)
  const same = settingsSql(short, map({ statement_timeout: '1' }))
  test.match(same, /^RESET "statement_timeout"; RESET "a"; SELECT .*'statement_timeout', E'1'/)
})

void t.test('the identity changes last and is given up first', (test) => {
  const sql = settingsSql(map({ role: 'r', a: '1' }), map({ b: '2' }))
  test.ok(sql.indexOf('RESET "role"') < sql.indexOf('RESET "a"'))
  const back = settingsSql(map({}), map({ role: 'r', session_authorization: 's', b: '2' }))
  test.ok(back.indexOf("E'b'") < back.indexOf("E'role'"))
  test.match(
    settingsSql(map({ session_authorization: 's' }), map({})),
    'RESET SESSION AUTHORIZATION',
  )
  test.end()
})

void t.test('the role comes behind the session user, who takes it back', async (test) => {
  const both = map({ role: 'r', session_authorization: 's' })
  const taken = /set_config\(E'session_authorization', E's'.*set_config\(E'role', E'r'/
  test.match(settingsSql(map({}), both), taken)
  test.match(settingsSql(map({ role: 'r' }), both), taken, 'also where the role was the same')
  test.match(settingsSql(both, map({ role: 'r' })), /RESET SESSION AUTHORIZATION; .*E'role', E'r'/)
  test.equal(settingsSql(both, map({ role: 'r', session_authorization: 's' })), '')
})

void t.test('no value and no name can leave its quotes', (test) => {
  const sql = settingsSql(map({ 'a"b': '1' }), map({ c: `'; DROP TABLE x; -- \\'` }))
  test.equal(
    sql,
    `RESET "a""b"; SELECT pg_catalog.set_config(E'c', E'\\'; DROP TABLE x; -- \\\\\\'', false)`,
  )
  test.end()
})
