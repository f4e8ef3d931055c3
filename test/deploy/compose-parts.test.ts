/**
 * The parts of deploy/docker-compose.yml that are ours, with real servers in the place of its
 * containers: certificates, first start of both databases, replication, Pontoon's configuration.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ensureTools, postgres15BinFolder } from '../../scripts/lib/requirements.ts'
import { seed, tables } from '../../scripts/demo/schema.ts'
import { pontoon } from '../cli/capture.ts'
import { projectRoot } from '../packaging/rehearsal.ts'
import { until } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'

const run = promisify(execFile)
const compose = join(projectRoot, 'deploy/compose')
const postgres = join(compose, 'postgres')

const read = (name: string): string => readFileSync(join(postgres, name), 'utf8')

void t.test('its schema is the one of the sample application', async (test) => {
  test.ok(read('schema.sql').endsWith(`\n${tables.trim()}\n`))
  test.ok(read('seed.sql').endsWith(`\n${seed(2_000).trim()}\n`))
})

void t.test('the databases start, follow each other, and Pontoon reaches both', async (test) => {
  await ensureTools(['openssl', 'psql'])
  const folder = test.testdir({})
  const certificates = join(folder, 'certificates')
  const owner = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`
  await run('/bin/sh', [join(compose, 'certificates.sh'), certificates], {
    env: { ...process.env, OWNER: owner },
  })
  const file = (name: string): string => join(certificates, 'target-postgres', name)
  const tls = {
    cert: readFileSync(file('server.crt'), 'utf8'),
    key: readFileSync(file('server.key'), 'utf8'),
    force: true,
  }
  const [source, target] = await Promise.all([
    startPostgres({ major: 15, settings: { wal_level: 'logical' } }),
    startPostgres({ major: 17, tls, settings: { wal_level: 'logical' } }),
  ])
  test.teardown(() => Promise.all([source.stop(), target.stop()]))
  await Promise.all([source.createDatabase('orders'), target.createDatabase('orders')])
  const shared = {
    PATH: `${postgres15BinFolder}:${process.env['PATH']}`,
    PONTOON_FOLDER: postgres,
    POSTGRES_DB: 'orders',
    APP_PASSWORD: "app's password",
    REPLICATION_PASSWORD: 'replication',
    PGHOST: 'localhost',
    PGUSER: 'postgres',
    PGDATABASE: 'orders',
  }
  const onSource = { ...shared, PGPORT: String(source.port), PGPASSWORD: source.password }
  const onTarget = {
    ...shared,
    PGPORT: String(target.port),
    PGPASSWORD: target.password,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: join(certificates, 'ca.crt'),
    SOURCE_HOST: '127.0.0.1',
    SOURCE_PORT: String(source.port),
  }
  const script = (name: string, env: NodeJS.ProcessEnv): Promise<unknown> =>
    run('/bin/sh', [join(postgres, name)], { env })
  await script('source.sh', onSource)
  await script('target.sh', onTarget)
  await script('replication.sh', onTarget)
  await script('replication.sh', onTarget)
  await until(
    async () => {
      const [row] = await target.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM orders',
        'orders',
      )
      return row?.n === 2_000
    },
    'the rows arrive',
    60_000,
  )
  const here = join(folder, 'here.yml')
  writeFileSync(
    here,
    `
state: { file: ${join(folder, 'state')} }
services:
  orders:
    source: { host: localhost, port: ${source.port} }
    target: { host: localhost, port: ${target.port}, tls: { ca: ${join(certificates, 'ca.crt')} } }
  # Redis is not started here.
  cache:
`,
  )
  const config = join(compose, 'config/database.yml')
  const env = Object.fromEntries(
    ['CLIENT', 'SOURCE', 'TARGET'].flatMap((side) => [
      [`${side}_PASSWORD`, shared.APP_PASSWORD],
      [`${side}_REDIS_PASSWORD`, 'unused'],
    ]),
  )
  const offline = ['check', '--offline', '--config', config]
  const whole = await pontoon(offline, { ...env, PONTOON_TOKEN: 'token-of-ops' })
  test.match(whole, { exit: 0, out: /services orders, cache/ })
  const unset = await pontoon(offline, { ...env })
  test.match(unset, { exit: 1, err: /PONTOON_TOKEN.*\[CONFIG_ENV_MISSING\]/s })
  const answer = await pontoon(['check', '--config', config, '--config', here], {
    ...env,
    PONTOON_TOKEN: 'token-of-ops',
  })
  test.match(answer.out, /Both sides of every service can be used/, answer.out + answer.err)
})
