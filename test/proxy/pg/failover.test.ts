/** A side that restarts: new transactions are held for a while instead of failing. */
import t from 'tap'
import { Pool } from 'pg'
import { startPontoon, until } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

await t.test('a restart of the primary costs new transactions no error', async (test) => {
  const source = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => source.stop())
  const pontoon = await startPontoon({
    source,
    pool: { size: 4, holdMs: 20_000, queueTimeoutMs: 30_000 },
  })
  test.teardown(() => pontoon.stop())
  const clients = new Pool({ connectionString: pontoon.url('postgres'), max: 8 })
  // The teardown may be quicker than the driver's farewell.
  clients.on('error', () => undefined)
  const connected = await Promise.all(Array.from({ length: 8 }, () => clients.connect()))
  await Promise.all(connected.map((client) => client.query('SELECT 1')))

  await source.shutdown('fast')
  let answered = 0
  const held = connected.map(async (client) => {
    const result = await client.query('SELECT 2 AS two')
    answered += 1
    return result
  })
  const isHeld = (): boolean => pontoon.pools().some(({ waiting }) => waiting === 8)
  await until(isHeld, 'all clients are held')
  test.equal(answered, 0)
  await source.restart()
  const results = await Promise.all(held)
  test.strictSame(
    results.map(({ rows }) => rows),
    Array.from({ length: 8 }, () => [{ two: 2 }]),
  )
  for (const client of connected) client.release()
  await clients.end()
})
