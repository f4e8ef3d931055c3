/**
 * The verdicts of src/routing/classify.ts that need no server: transactions, limits, the cache,
 * texts that could be read in two ways. corpus.test.ts has the statements of applications.
 */
import { array, assert, constantFrom, property, string } from 'fast-check'
import t from 'tap'
import { catalogFromRows, qualifiedName } from '../../src/routing/catalog.ts'
import { Classifier, isTransactionEnd } from '../../src/routing/classify.ts'
import type { Verdict } from '../../src/routing/classify.ts'

const rows = [
  ...['count', 'lower', 'sum', 'generate_series'].map((name) => ({ kind: 'function', name })),
  ...['=', '<', '+', '-', '||'].map((name) => ({ kind: 'operator', name })),
  ...['users', 'orders'].map((name) => ({ kind: 'relation', name })),
  ...['int4', 'text', 'interval'].map((name) => ({ kind: 'type', name })),
  { kind: 'function', name: qualifiedName('app', 'lower') },
  { kind: 'relation', name: qualifiedName('app', 'users') },
]
const catalog = catalogFromRows(rows)
const verdicts = (list: readonly (readonly [sql: string, verdict: Verdict])[]) => {
  const classifier = new Classifier({ catalog })
  for (const [sql, verdict] of list) {
    t.equal(classifier.verdict(sql), verdict, sql.slice(0, 80))
    t.equal(classifier.verdict(sql), verdict, `again: ${sql.slice(0, 80)}`)
  }
}

verdicts([
  ['BEGIN READ ONLY', 'begin-read-only'],
  ['  begin transaction read only;', 'begin-read-only'],
  ['BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY', 'begin-read-only'],
  ['BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE', 'begin-read-only'],
  ['START TRANSACTION READ ONLY, DEFERRABLE', 'begin-read-only'],
  ['/* app */ START TRANSACTION READ ONLY', 'begin-read-only'],
  ['BEGIN', 'other'],
  ['START TRANSACTION', 'other'],
  ['BEGIN READ WRITE', 'other'],
  ['BEGIN READ ONLY, READ WRITE', 'other'],
  ['BEGIN READ WRITE, READ ONLY', 'other'],
  ['BEGIN READ ONLY, READ ONLY', 'other'],
  ['BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY', 'other'],
  ['BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE', 'other'],
  ['BEGIN READ ONLY; SELECT 1', 'other'],
  ['BEGIN READ ONLY; SET TRANSACTION READ WRITE', 'other'],
  ['SELECT 1; BEGIN READ ONLY', 'other'],
  ['SET TRANSACTION READ ONLY', 'other'],
  ['COMMIT', 'other'],
  ['', 'other'],
  [' ; ', 'other'],
  ['-- nothing', 'other'],
  ['SELECT 1', 'read'],
  ['SELECT 1;', 'read'],
  [';SELECT 1', 'read'],
  ['SELECT', 'read'],
  ['(SELECT 1)', 'read'],
  ['SELEC 1', 'other'],
  ['SELECT 1 FROM', 'other'],
  ['SELECT * FROM app.users', 'read'],
  ['SELECT * FROM other.users', 'other'],
  ['SELECT app.lower($1)', 'read'],
  ['SELECT other.lower($1)', 'other'],
  ['SELECT pg_catalog.lower($1)', 'read'],
  ['SELECT db.app.users.id FROM db.app.users', 'other'],
  ["SELECT 'a\\b'", 'read'],
  // Either a string with a quote in it or a string and a call.
  ["SELECT 'a\\'' || nextval('b') || '' --'", 'other'],
  ["SELECT 'a\\', count(*) FROM users --'", 'other'],
  ["SELECT E'a\\''", 'other'],
  ['SELECT 1\0; DELETE FROM users', 'other'],
  ["COPY (SELECT 1) TO ''", 'other'],
  ["COPY (SELECT 1) TO 'x'", 'other'],
  ["COPY (SELECT 1) TO STDOUT DELIMITER ','", 'read'],
  ['COPY users FROM STDIN', 'other'],
  [`SELECT ${'1 + '.repeat(12_000)}1`, 'other'],
  [`SELECT 1 WHERE 1 IN (${'7, '.repeat(15_000)}8)`, 'read'],
  [`SELECT 1 WHERE 1 IN (${'7, '.repeat(30_000)}8)`, 'other'],
  [`SELECT ${'('.repeat(500)}1${')'.repeat(500)}`, 'read'],
  [`SELECT ${'lower('.repeat(500)}1${')'.repeat(500)}`, 'other'],
])

await t.test('the end of a transaction', async (test) => {
  for (const sql of ['COMMIT', ' commit work ;', 'END', 'end transaction', 'ROLLBACK;', 'abort'])
    test.ok(isTransactionEnd(sql), sql)
  test.ok(isTransactionEnd('ROLLBACK AND NO CHAIN'))
  for (const sql of [
    'COMMIT AND CHAIN',
    'ROLLBACK TO a',
    'ROLLBACK TO SAVEPOINT a',
    'COMMIT; BEGIN',
  ])
    test.notOk(isTransactionEnd(sql), sql)
  for (const sql of ["COMMIT PREPARED 'a'", 'commitment', 'END IF', '', 'SELECT 1', 'RELEASE a'])
    test.notOk(isTransactionEnd(sql), sql)
})

await t.test('without a catalog nothing is a read', async (test) => {
  const classifier = new Classifier()
  test.equal(classifier.verdict('SELECT 1'), 'other')
  test.equal(classifier.verdict('BEGIN READ ONLY'), 'other')
  classifier.useCatalog(catalog)
  test.equal(classifier.verdict('SELECT 1'), 'read')
  classifier.useCatalog(undefined)
  test.equal(classifier.verdict('SELECT 1'), 'other')
})

await t.test('a new catalog counts at once', async (test) => {
  const classifier = new Classifier({ catalog })
  test.equal(classifier.verdict('SELECT lower($1)'), 'read')
  classifier.useCatalog(catalogFromRows(rows))
  test.equal(classifier.verdict('SELECT lower($1)'), 'read', 'the same once more')
  classifier.useCatalog(catalogFromRows(rows.filter(({ name }) => name !== 'lower')))
  test.equal(classifier.verdict('SELECT lower($1)'), 'other')
})

await t.test('texts that never repeat do not keep the parser busy', async (test) => {
  const classifier = new Classifier({ catalog })
  let reads = 0
  const texts = 60_000
  for (let n = 0; n < texts; n++) {
    if (classifier.verdict(`SELECT id AS column_${n}, 'more of it' FROM users`) === 'read') reads++
  }
  test.ok(reads > 1_000, 'a few thousand new texts are looked at')
  test.ok(reads < texts, 'then only a share of them')
  for (let n = 0; n < 1_000; n++) classifier.verdict('UPDATE users SET id = 1')
  let known = 0
  for (let n = 0; n < 1_000; n++) if (classifier.verdict('SELECT id FROM users') === 'read') known++
  test.ok(known > 990, 'a text that repeats is soon known')
})

await t.test('arbitrary text does not throw', async (test) => {
  const classifier = new Classifier({ catalog })
  const words = `SELECT WITH a AS ( ) , ' " $$ $1 ; -- /* */ FROM users 1 . E U& \\ :: int INTO FOR
    UPDATE VALUES COPY TO STDOUT EXPLAIN BEGIN READ ONLY \u00e9 \ud800 =`
  const pieces = constantFrom(...words.split(/\s+/), '\n')
  const verdict = (sql: string) =>
    ['read', 'begin-read-only', 'other'].includes(classifier.verdict(sql))
  assert(
    property(string({ unit: 'binary', maxLength: 200 }), (rest) => verdict(`SELECT ${rest}`)),
    {
      interruptAfterTimeLimit: 1_500,
      numRuns: 5_000,
    },
  )
  assert(
    property(array(pieces, { maxLength: 30 }), (text) => verdict(`SELECT ${text.join(' ')}`)),
    {
      interruptAfterTimeLimit: 1_500,
      numRuns: 5_000,
    },
  )
  assert(
    property(array(pieces, { maxLength: 30 }), (text) => verdict(text.join(''))),
    {
      interruptAfterTimeLimit: 1_500,
      numRuns: 5_000,
    },
  )
  test.pass('held')
})
