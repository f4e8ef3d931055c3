/** From `pontoon schema` to a rollback where the target has no superuser, as a managed service. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import tap from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { freePort } from '../../../support/free-port.ts'
import { quickWorkers, startPostgres } from '../../../support/postgres.ts'
import { programArgs } from '../../../support/program.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'
import { ServiceFiles } from '../schema/sides.ts'

tap.setTimeout(280_000)

const settings = { ...quickWorkers, wal_level: 'logical' }
const database = 'My "Shop"'

await tap.test('15 to 18 without superuser', async (t) => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15, settings }),
    startPostgres({ major: 18, settings }),
  ])
  t.teardown(() => Promise.all([source.stop(), target.stop()]))
  await source.query(`CREATE ROLE "Shop ""App" LOGIN PASSWORD 'secret-app'; CREATE ROLE team NOLOGIN;
    CREATE ROLE person LOGIN PASSWORD 'p' IN ROLE team;
    ALTER ROLE "Shop ""App" SET default_transaction_read_only = off`)
  await source.createDatabase(database, 'Shop "App')
  await source.query(
    `REVOKE CONNECT ON DATABASE "My ""Shop""" FROM PUBLIC; GRANT CONNECT ON DATABASE "My ""Shop""" TO team`,
  )
  await source.query(
    `SET ROLE "Shop ""App"; CREATE SCHEMA "Odd ""one";
     CREATE TABLE "Odd ""one"."T ""x" (id int PRIMARY KEY); CREATE SEQUENCE "Odd ""one"."S""q" INCREMENT -3;
     CREATE TABLE public.records (id bigserial PRIMARY KEY, writer int NOT NULL, number int NOT NULL)`,
    database,
  )
  await target.query(`CREATE ROLE master LOGIN PASSWORD 'secret' CREATEROLE CREATEDB REPLICATION BYPASSRLS;
    GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_create_subscription TO master WITH ADMIN OPTION`)
  await target.createDatabase(database, 'master')
  const ports = { port: await freePort(), adminPort: await freePort() }
  const files = new ServiceFiles(
    { source, target, database },
    {
      listen: `127.0.0.1:${ports.port}`,
      clientAuth: { mode: 'scram' },
      pool: { mode: 'transaction', size: 10 },
      migration: { lagMaxMs: 2_000 },
      users: {
        'Shop "App': {
          verifier: 'secret-app',
          source: { password: 'secret-app' },
          target: { password: 'secret-app' },
        },
      },
    },
  )
  t.teardown(() => files.remove())
  const env = {
    PONTOON_SOURCE_ADMIN: source.url(database),
    PONTOON_TARGET_ADMIN: target.url(database, 'master', 'secret'),
    PATH: '/usr/lib/postgresql/15/bin',
  }
  const cli = async (...args: string[]) => {
    const line = [...programArgs('src/main.ts'), args[0] ?? '', 'shop', ...args.slice(1)]
    await promisify(execFile)(process.execPath, [...line, '--config', files.config], {
      env: { ...process.env, ...env, TAP: '' },
    })
  }
  await cli('schema')
  await target.query(`ALTER ROLE "Shop ""App" PASSWORD 'secret-app'`)
  await cli('copy')
  await cli('schema', '--post-data')

  const { config } = loadConfig([files.config], {})
  const log = createLog('warn', { write: (line) => process.stderr.write(line) })
  const runtime = await startRuntime({
    config: { ...config, admin: { ...config.admin, listen: `127.0.0.1:${ports.adminPort}` } },
    configFiles: [files.config],
    log,
    clock: systemClock,
  })
  t.teardown(() => runtime.stop('test', 0))
  const url = `postgres://${encodeURIComponent('Shop "App')}:secret-app@127.0.0.1:${ports.port}/${encodeURIComponent(database)}`
  const writers = await startWriters({ url, writers: 4, createTable: false })
  await until(() => writers.acknowledged > 50, 'writes go on')
  for (const kind of ['cutover', 'rollback'] as const) {
    const done = await runSwitch(runtime.adminAddress ?? '', kind, {}, 60_000, 'shop')
    t.equal(done.state, 'done', `${kind}: ${done.report?.reason}`)
    t.comment(`${kind}: ${done.report?.pauseMs} ms`)
    if (done.state !== 'done') break
    const before = writers.acknowledged
    await until(() => writers.acknowledged > before + 30, 'writes go on')
  }
  const report = await writers.stop({ checkUrl: source.url(database) })
  t.match(report, { lost: [], duplicated: [] })
  t.same(writers.errors, [])
})
