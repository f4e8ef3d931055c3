/** libpq in pipeline mode: a small program of ours, and pgbench's \startpipeline. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import {
  ensureTools,
  libpqHeaders,
  postgres15BinFolder,
} from '../../../scripts/lib/requirements.ts'
import { startPostgres } from '../../support/postgres.ts'
import { driverProgram, shareServers } from './drivers-shared.ts'

await ensureTools(['postgres', 'pgbench', 'gcc', 'libc headers', 'libpq'])
const run = promisify(execFile)
const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE piped (n int); CREATE TABLE bench (n int)')
t.teardown(() => server.stop())

await t.test('libpq: pipelines of several clients interleaved', async (test) => {
  const program = join(test.testdir({}), 'pipeline')
  const flags = ['-Wall', '-Werror', `-I${libpqHeaders}`, '-o', program]
  await run('gcc', [...flags, driverProgram('libpq-pipeline.c'), '-lpq'])
  const clients = 6
  await shareServers(test, { server, clients, size: 2 }, async (pontoon) => {
    const conninfo = `host=127.0.0.1 port=${pontoon.port} user=postgres dbname=postgres`
    const { stdout } = await run(program, [conninfo, String(clients)], { timeout: 60_000 })
    test.equal(stdout.trim(), `20 rounds of ${clients} clients`)
  })
  const [rows] = await server.query('SELECT count(*)::int, min(n) FROM piped')
  test.strictSame(rows, { count: 20 * clients, min: 0 }, 'nothing of the failed batches')
})

for (const mode of ['extended', 'prepared'] as const) {
  await t.test(`pgbench: pipelines, ${mode}`, async (test) => {
    await server.query('TRUNCATE bench')
    const clients = 10
    await shareServers(test, { server, clients, size: 3 }, async (pontoon) => {
      const at = ['-h', '127.0.0.1', '-p', String(pontoon.port), '-U', 'postgres', 'postgres']
      const load = ['-n', '-M', mode, '-c', String(clients), '-j', '2', '-t', '20']
      const script = ['-f', driverProgram('pgbench-pipeline.sql')]
      const { stdout } = await run(join(postgres15BinFolder, 'pgbench'), [
        ...load,
        ...script,
        ...at,
      ])
      test.match(stdout, `transactions actually processed: ${20 * clients}/${20 * clients}`)
    })
    const [rows] = await server.query('SELECT count(*)::int FROM bench')
    test.strictSame(rows, { count: 20 * clients })
  })
}
