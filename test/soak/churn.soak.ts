/** Half an hour of PostgreSQL clients that come and go (churn-run.ts). */
import tap from 'tap'
import { startPontoon } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'
import { churn, durationMs } from './churn-run.ts'

const size = 8

tap.setTimeout(durationMs + 300_000)
const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE churned (word text)')
// They may all wait behind slow ones on a loaded machine.
const pool = { size, queueTimeoutMs: 60_000, queueMax: 1_000 }
const pontoon = await startPontoon({ source: server, pool })
tap.teardown(async () => {
  await pontoon.stop()
  await server.stop()
})

async function serverSide(): Promise<number> {
  const [row] = await server.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  )
  return row?.count ?? 0
}

await tap.test('churn', (t) =>
  // The shared listener goes a while after the last who listened.
  churn(t, pontoon, { clients: 'churn-clients.ts', serversMax: size, serverSide, lingering: 1 }),
)
