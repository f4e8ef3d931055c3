/**
 * Unchanged drivers work through Pontoon, in both pool modes, as they do without it. Neighbours:
 * drivers-*.test.ts, for other languages and for libraries on top of drivers.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client, Pool } from 'pg'
import postgres from 'postgres'
import t from 'tap'
import type { Test } from 'tap'
import { ensureTools, postgres15BinFolder } from '../../../scripts/lib/requirements.ts'
import { startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

await ensureTools(['postgres', 'psql'])
const run = promisify(execFile)
const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE from_psql (n int)')
t.teardown(() => server.stop())

async function eachMode(
  name: string,
  use: (test: Test, pontoon: Pontoon) => Promise<void>,
): Promise<void> {
  for (const mode of ['session', 'transaction'] as const) {
    await t.test(`${name}, ${mode} mode`, async (test) => {
      const pontoon = await startPontoon({ source: server, mode, pool: { size: 8 } })
      test.teardown(() => pontoon.stop())
      await server.query('DROP TABLE IF EXISTS items; CREATE TABLE items (id serial, note text)')
      await use(test, pontoon)
      await until(() => pontoon.service.snapshot().clients.idle === 0, 'all clients to have left')
      await pontoon.untilIdle()
    })
  }
}

await eachMode('node-postgres', async (test, pontoon) => {
  const pool = new Pool({ connectionString: pontoon.url(), max: 8 })
  const named = { name: 'by-id', text: 'SELECT note FROM items WHERE id = $1' }
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const { rows } = await client.query<{ id: number }>(
          'INSERT INTO items (note) VALUES ($1) RETURNING id',
          [`note ${index}`],
        )
        const found = await client.query<{ note: string }>({ ...named, values: [rows[0]?.id] })
        test.equal(found.rows[0]?.note, `note ${index}`)
        await client.query(index % 4 === 0 ? 'ROLLBACK' : 'COMMIT')
        await test.rejects(client.query('SELECT broken'), { code: '42703' })
        await test.rejects(client.query({ ...named, values: ['no number'] }), { code: '22P02' })
      } finally {
        client.release()
      }
    }),
  )
  const { rows } = await pool.query<{ count: number }>('SELECT count(*)::int FROM items')
  test.strictSame(rows, [{ count: 30 }])
  await pool.end()
})

await eachMode('node-postgres, LISTEN and a notice', async (test, pontoon) => {
  const client = new Client({ connectionString: pontoon.url() })
  await client.connect()
  const heard = new Promise((resolve) => {
    client.on('notification', ({ channel, payload }) => resolve(`${channel}: ${payload}`))
  })
  const noticed = new Promise((resolve) => {
    client.on('notice', ({ message }) => resolve(message))
  })
  await client.query('LISTEN news')
  await server.query("NOTIFY news, 'hello'")
  test.equal(await heard, 'news: hello')
  await client.query("DO $$ BEGIN RAISE NOTICE 'look'; END $$")
  test.equal(await noticed, 'look')
  await client.end()
})

await eachMode('postgres.js, which prepares and pipelines', async (test, pontoon) => {
  const sql = postgres(pontoon.url(), { max: 4, onnotice: () => undefined })
  const numbers = Array.from({ length: 300 }, (_, index) => index)
  const answers = await Promise.all(
    numbers.map(async (index) => {
      const [row] = await sql<{ sum: number; twice: number }[]>`
        SELECT ${index}::int + 1 AS sum, ${index}::int * 2 AS twice`
      return [row?.sum, row?.twice]
    }),
  )
  test.strictSame(
    answers,
    numbers.map((index) => [index + 1, index * 2]),
    'no answer is crossed with another',
  )
  const outcomes = await Promise.allSettled(
    numbers.slice(0, 60).map((index) => sql`SELECT ${10 / 10}::int / ${index % 3}::int AS q`),
  )
  test.equal(outcomes.filter(({ status }) => status === 'rejected').length, 20)
  await sql.begin(async (transaction) => {
    for (const index of [1, 2, 3])
      await transaction`INSERT INTO items (note) VALUES (${`note ${index}`})`
    await Promise.all([1, 2].map((id) => transaction`SELECT note FROM items WHERE id = ${id}`))
  })
  await test.rejects(
    sql.begin(async (transaction) => {
      await transaction`INSERT INTO items (note) VALUES ('rolled back')`
      throw new Error('on purpose')
    }),
    { message: 'on purpose' },
  )
  const notes = await sql`SELECT note FROM items ORDER BY id`
  test.strictSame(
    notes.map((row) => String(row['note'])),
    ['note 1', 'note 2', 'note 3'],
  )
  await sql.end()
})

await eachMode('psql', async (test, pontoon) => {
  const script = [
    'TRUNCATE from_psql',
    "\\copy from_psql FROM PROGRAM 'seq 1 1000'",
    'SELECT count(*) FROM from_psql',
    '\\copy (SELECT n FROM from_psql WHERE n > 998) TO STDOUT',
    'SELECT 1/0',
    '\\d from_psql',
    'BEGIN',
    '\\set FETCH_COUNT 10',
    'SELECT n FROM from_psql ORDER BY n LIMIT 25',
    'COMMIT',
  ]
  const args = (port: number): string[] => [
    '-XAt',
    `host=127.0.0.1 port=${port} user=postgres dbname=postgres`,
    ...script.flatMap((line) => ['-c', line]),
  ]
  const program = join(postgres15BinFolder, 'psql')
  const direct = await run(program, args(server.port))
  const through = await run(program, args(pontoon.port))
  test.equal(through.stdout, direct.stdout)
  test.equal(through.stderr, direct.stderr)
  test.match(through.stdout, /^1000$/m)
})
