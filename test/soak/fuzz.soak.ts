/**
 * Broken bytes for a long time; test/proxy/pg/fuzz.ts says what is sent and what must hold.
 * PONTOON_SOAK_SECONDS sets the duration of all together (default 600).
 */
import tap from 'tap'
import { fuzzClients, fuzzServers, fuzzStartup } from '../proxy/pg/fuzz.ts'
import { startPostgres } from '../support/postgres.ts'

const durationMs = Number(process.env['PONTOON_SOAK_SECONDS'] ?? 600) * 1_000
const budgetMs = durationMs / 5

tap.setTimeout(durationMs + 300_000)
const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE taken (n int)')
tap.teardown(() => server.stop())

for (const mode of ['session', 'transaction'] as const) {
  await tap.test(`${mode} mode: broken streams of clients`, (test) =>
    fuzzClients(test, server, mode, budgetMs),
  )
  await tap.test(`${mode} mode: broken answers of servers`, (test) =>
    fuzzServers(test, mode, budgetMs),
  )
}

await tap.test('broken startup packets', (test) => fuzzStartup(test, server, budgetMs))
