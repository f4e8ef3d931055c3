/**
 * pgbench in all three protocol modes: 100 clients on 20 servers, then again, since what a first
 * run leaves behind shows in the second.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ensureTools, postgres15BinFolder } from '../../../scripts/lib/requirements.ts'
import { startPontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

await ensureTools(['postgres', 'pgbench'])
const run = promisify(execFile)
const pgbench = join(postgres15BinFolder, 'pgbench')
const server = await startPostgres({ major: 15, auth: 'trust' })
const pontoon = await startPontoon({ source: server, pool: { size: 20 } })
t.teardown(async () => {
  await pontoon.stop()
  await server.stop()
})

const at = (port: number): string[] => ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres']
await run(pgbench, ['-i', '-q', '-s', '10', ...at(pontoon.port), 'postgres'])

const transactionsEach = 15

for (const round of ['first', 'second'] as const) {
  for (const mode of ['simple', 'extended', 'prepared'] as const) {
    await t.test(`${mode}, ${round} run`, async (test) => {
      const before = pontoon.service.stats.transactions.source
      const load = ['-c', '100', '-j', '2', '-n', '-t', String(transactionsEach), '-M', mode]
      const { stdout } = await run(pgbench, [...load, ...at(pontoon.port), 'postgres'])
      test.match(stdout, `transactions actually processed: ${100 * transactionsEach}/`)
      test.match(stdout, 'number of failed transactions: 0 ')
      const counted = pontoon.service.stats.transactions.source - before
      test.ok(counted >= 100 * transactionsEach, `${counted} transactions were counted`)
      await pontoon.untilIdle()
      test.ok(pontoon.servers() <= 20)
      test.strictSame(pontoon.service.snapshot().pinned, {})
    })
  }
}

await t.test('nothing was lost or done twice', async (test) => {
  const [sums] = await server.query<{ same: boolean; count: number }>(`
    SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
       AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)
        AS same, (SELECT count(*)::int FROM pgbench_history) AS count`)
  test.strictSame(sums, { same: true, count: 2 * 3 * 100 * transactionsEach })
  test.equal(pontoon.service.stats.ownErrors.size, 0, 'no error of our own')
})
