/** Broken bytes for a short time; fuzz.ts says what is sent and what must hold. */
import t from 'tap'
import { startPostgres } from '../../support/postgres.ts'
import { fuzzClients, fuzzServers, fuzzStartup } from './fuzz.ts'

const budgetMs = 2_000

const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE taken (n int)')
t.teardown(() => server.stop())

for (const mode of ['session', 'transaction'] as const) {
  await t.test(`${mode} mode: broken streams of clients`, (test) =>
    fuzzClients(test, server, mode, budgetMs),
  )
  await t.test(`${mode} mode: broken answers of servers`, (test) =>
    fuzzServers(test, mode, budgetMs),
  )
}

await t.test('broken startup packets', (test) => fuzzStartup(test, server, budgetMs))
