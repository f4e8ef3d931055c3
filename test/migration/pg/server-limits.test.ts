/** What is counted as in use of a server's limits, and what is not. */
import tap from 'tap'
import { Client } from 'pg'
import { fullForWorker } from '../../../src/migration/pg/server-limits.ts'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import { startPostgres } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'

const tables = `CREATE TABLE long AS SELECT i, repeat('x', 1900) AS x FROM generate_series(1, 2000) i;
  ALTER TABLE long SET (parallel_workers = 3)`
const inParallel = `SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
  SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 3`
const query = 'SELECT count(*) FROM long WHERE pg_sleep(0.1) IS NOT NULL'

for (const major of [10, 15] as const)
  await tap.test(`workers of a parallel query come and go, ${major}`, async (t) => {
    const server = await startPostgres({ major })
    t.teardown(() => server.stop())
    await server.query('ALTER SYSTEM SET max_worker_processes = 4')
    await server.restart()
    await server.query(tables)
    const watch = await SqlClient.connect({
      endpoint: { host: server.host, port: server.port },
      tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
      parameters: new Map([['user', server.superuser]]),
      password: server.password,
      timeoutMs: 5_000,
    })
    t.teardown(() => watch.close())
    const client = new Client({ connectionString: server.url() })
    client.on('error', () => undefined)
    await client.connect()
    await client.query(inParallel)
    const run = client.query(query).catch(() => undefined)
    const atWork = `SELECT FROM pg_stat_activity WHERE query = '${query}'`
    await until(async () => (await server.query(atWork)).length === 4, 'three workers beside it')
    t.same(await fullForWorker(watch, []), [], 'only the launcher takes a process for good')
    await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE query = '${query}' AND backend_type = 'client backend'`)
    await run
  })
