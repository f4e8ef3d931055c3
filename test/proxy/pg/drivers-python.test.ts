/**
 * psycopg2: clients in threads, in session mode and, with fewer servers, in transaction mode.
 * asyncpg and psycopg 3 with their pools and their own prepared statements, in transaction mode.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { debianPython, ensureTools } from '../../../scripts/lib/requirements.ts'
import { startPontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { driverProgram, itemsSetup, shareServers } from './drivers-shared.ts'

await ensureTools(['postgres', 'python3', 'psycopg2', 'asyncpg', 'psycopg 3'])
const run = promisify(execFile)
const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

const clients = 5
/** 12 one by one, 200 and 1 by COPY, 100 by execute_values and execute_batch. */
const rowsEach = 12 + 201 + 100

async function play(url: string, program = 'psycopg2_clients.py'): Promise<string> {
  const args = [driverProgram(program), url, String(clients)]
  const { stdout } = await run(debianPython, args, { timeout: 100_000 })
  return stdout.trim()
}

const rowCounts = async (): Promise<unknown[]> => {
  const sql = 'SELECT count(*)::int FROM items GROUP BY client ORDER BY client'
  return (await server.query(sql)).map(({ count }) => count)
}

await t.test('psycopg2, transaction mode', async (test) => {
  await server.query(itemsSetup)
  await shareServers(test, { server, clients, size: 3 }, async (pontoon) => {
    test.equal(await play(pontoon.url()), `${clients} clients`)
  })
  test.strictSame(await rowCounts(), Array(clients).fill(rowsEach), 'every row once')
})

await t.test('psycopg2, session mode', async (test) => {
  await server.query(itemsSetup)
  const pontoon = await startPontoon({ source: server, mode: 'session', pool: { size: clients } })
  test.teardown(() => pontoon.stop())
  test.equal(await play(pontoon.url()), `${clients} clients`)
  test.strictSame(await rowCounts(), Array(clients).fill(rowsEach), 'every row once')
  await pontoon.untilIdle()
})

for (const driver of ['asyncpg', 'psycopg3']) {
  await t.test(`${driver}, transaction mode`, async (test) => {
    await server.query(itemsSetup)
    await shareServers(test, { server, clients, size: 3 }, async (pontoon) => {
      test.equal(await play(pontoon.url(), `${driver}_clients.py`), `${clients} clients`)
    })
    test.strictSame(await rowCounts(), Array(clients).fill(60), 'every row once')
  })
}
