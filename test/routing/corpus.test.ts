/**
 * How many of the reads that applications send are recognised, and that no write ever is. The
 * reads are also run on a real server, which would show a wrong label.
 */
import { array, assert, boolean, constantFrom, property, tuple } from 'fast-check'
import { Client } from 'pg'
import t from 'tap'
import { catalogFromRows, catalogQuery } from '../../src/routing/catalog.ts'
import type { CatalogRow } from '../../src/routing/catalog.ts'
import { Classifier } from '../../src/routing/classify.ts'
import { parseStatements } from '../../src/routing/grammar.ts'
import { isRead } from '../../src/routing/read-tree.ts'
import { sqlPattern } from '../../src/routing/sql-pattern.ts'
import { startPostgres } from '../support/postgres.ts'
import { corpusSchema, corpusStatements } from './corpus.ts'

const server = await startPostgres({ major: 15 })
t.teardown(() => server.stop())
await server.query(corpusSchema())
const rows = await server.query<CatalogRow & Record<string, unknown>>(catalogQuery)
const catalog = catalogFromRows(rows)
const statements = corpusStatements()
const classifier = new Classifier({ catalog })

await t.test('recognises the reads and nothing else', async (test) => {
  const reads = statements.filter(({ label }) => label === 'read')
  const others = statements.filter(({ label }) => label !== 'read')
  test.ok(reads.length >= 150 && others.length >= 200, 'the corpus is there')
  const missed = reads.filter(({ sql }) => classifier.verdict(sql) !== 'read')
  const wrong = others.filter(({ sql }) => classifier.verdict(sql) === 'read')
  const share = (100 * (reads.length - missed.length)) / reads.length
  const figures = `${share.toFixed(1)}% of ${reads.length} reads recognised`
  test.comment(`${figures}, ${wrong.length} of ${others.length} others taken for reads`)
  test.same(
    wrong.map(({ place, sql }) => `${place} ${sql}`),
    [],
    'no write is a read',
  )
  test.ok(share >= 90, figures)
  for (const { place, sql } of missed) test.comment(`missed ${place} ${sql}`)
})

await t.test('what is labelled a read neither writes nor locks', async (test) => {
  const client = new Client({ connectionString: server.url() })
  await client.connect()
  test.teardown(() => client.end())
  await client.query("SET app.tenant = '7'")
  for (const { place, sql } of statements.filter(({ label }) => label === 'read')) {
    const parameters = Math.max(0, ...[...sql.matchAll(/\$(\d+)/g)].map(([, n]) => Number(n)))
    await client.query('BEGIN')
    const nulls = Array.from({ length: parameters }, () => null)
    try {
      await client.query(sql, nulls)
    } catch (error) {
      test.fail(`${place} ${String(error)}`)
      await client.query('ROLLBACK')
      continue
    }
    const { rows: traces } = await client.query<{ trace: string }>(
      `SELECT 'transaction id' AS trace WHERE txid_current_if_assigned() IS NOT NULL UNION ALL
        SELECT mode FROM pg_locks WHERE pid = pg_backend_pid()
        AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid'`,
    )
    await client.query('ROLLBACK')
    test.same(traces, [], `${place} leaves no trace`)
  }
})

await t.test('a pattern is judged like the text it stands for', async (test) => {
  let compared = 0
  for (const { place, sql } of statements) {
    const pattern = sqlPattern(sql)
    if (pattern === null || pattern === sql || sql.includes("\\'")) continue
    const judge = (text: string) =>
      parseStatements(text)?.every((statement) => isRead(statement, catalog)) ?? false
    test.equal(judge(pattern), judge(sql), `${place} ${pattern}`)
    compared++
  }
  test.ok(compared > 100)
})

await t.test('a write stays one in any dress', async (test) => {
  // Texts without quotes, so that letters and blanks are free to change.
  const plain = statements.filter(
    ({ label, sql }) => label !== 'read' && !/['"$\\]|--|\/\*/.test(sql),
  )
  test.ok(plain.length > 100)
  const blank = constantFrom(
    ' ',
    '\n',
    '\t',
    '\r\n',
    '\f',
    '/**/',
    '/* /* x */ */',
    " -- it's\n",
    '/*+ "*/',
  )
  const dress = array(tuple(blank, boolean()), { minLength: 16, maxLength: 16 })
  const around = constantFrom('', ';', '/* read */', '-- SELECT 1\n', ' ; ', 'SELECT 1;', '\n\n')
  assert(
    property(constantFrom(...plain), dress, around, around, ({ sql }, pieces, before, after) => {
      let at = 0
      const next = () => pieces[at++ % pieces.length] ?? [' ', false]
      const dressed = sql
        .replace(/\s+/g, () => next()[0])
        .replace(/[a-z]/gi, (letter) => (next()[1] ? letter.toUpperCase() : letter.toLowerCase()))
      return classifier.verdict(before + dressed + after) !== 'read'
    }),
    { interruptAfterTimeLimit: 4_000, numRuns: 5_000 },
  )
  test.pass('held')
})

await t.test('a read with a write beside it or inside it is none', async (test) => {
  const reads = statements.filter(({ label, sql }) => label === 'read' && !/\$\d/.test(sql))
  const writes = ['DELETE FROM users', "SELECT nextval('invoice_numbers')", 'COMMIT', 'LOCK users']
  for (const { sql, place } of reads) {
    for (const write of writes) {
      test.not(classifier.verdict(`${sql}\n;${write}`), 'read', `${place} before ${write}`)
      test.not(classifier.verdict(`${write};${sql}`), 'read', `${place} behind ${write}`)
    }
    const inside = `WITH w AS (DELETE FROM users) SELECT * FROM (${sql.replace(/;\s*$/, '')}\n) AS r`
    test.not(classifier.verdict(inside), 'read', `${place} inside`)
  }
})
