/** The JDBC driver: clients in threads, more of them than servers. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { ensureTools, jdbcDriver } from '../../../scripts/lib/requirements.ts'
import { startPostgres } from '../../support/postgres.ts'
import { driverProgram, itemsSetup, shareServers } from './drivers-shared.ts'

await ensureTools(['postgres', 'javac', 'jdbc'])
const run = promisify(execFile)
const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

await t.test('JDBC: statements, batches, cursors, timeouts, notifications', async (test) => {
  await server.query(itemsSetup)
  const clients = 5
  // Were a session pinned, by SET SESSION CHARACTERISTICS say, it would take far fewer.
  const sharing = { server, clients, size: 3, linksEach: 60 }
  await shareServers(test, sharing, async (pontoon) => {
    const url = `jdbc:postgresql://127.0.0.1:${pontoon.port}/postgres`
    // Small and quick to start; the driver is what is tested.
    const java = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx128m', '-cp', jdbcDriver]
    const args = [...java, driverProgram('JdbcClients.java'), url, String(clients)]
    const { stdout } = await run('java', args, { timeout: 120_000 })
    test.equal(stdout.trim(), `${clients} clients`)
  })
  const counts = await server.query<{ count: number }>(
    'SELECT count(*)::int FROM items GROUP BY client ORDER BY client',
  )
  // Two rounds of 100 by batch and 50 by COPY, and 2 behind savepoints for every other client.
  const expected = [0, 1, 2, 3, 4].map((own) => 2 * (150 + (own % 2 === 0 ? 2 : 0)))
  test.strictSame(
    counts.map(({ count }) => count),
    expected,
    'every row once',
  )
})
