/** The steps of the migrator Job, in its order and with its configuration, on real servers. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { tables } from '../../scripts/demo/schema.ts'
import { runPontoon } from '../control/sidecar.ts'
import { projectRoot } from '../packaging/rehearsal.ts'
import { postgresBinFolder } from '../support/postgres-binaries.ts'
import { startPostgres } from '../support/postgres.ts'
import { render } from './kustomize.ts'

const step = z.looseObject({ name: z.string(), args: z.array(z.string()) })
const job = z.looseObject({
  spec: z.looseObject({
    template: z.looseObject({
      spec: z.looseObject({ initContainers: z.array(step), containers: z.array(step) }),
    }),
  }),
})
const configMap = z.looseObject({ data: z.record(z.string(), z.string()) })

await t.test('they migrate up to where an operator decides, twice too', async (test) => {
  const all = render(join(projectRoot, 'deploy/kubernetes/overlays/staging'))
  const found = (kind: string, name: string): unknown =>
    all.find((one) => one.kind === kind && one.metadata.name === name)
  const { initContainers, containers } = job.parse(found('Job', 'pontoon-migrator')).spec.template
    .spec
  const steps = [...initContainers, ...containers]
  test.same(
    steps.map(({ args }) => args.slice(0, args.indexOf('--config')).join(' ')),
    ['schema orders', 'copy orders', 'schema orders --post-data', 'sync orders', 'verify orders'],
  )

  const [source, target] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 18 }),
  ])
  test.teardown(() => Promise.all([source.stop(), target.stop()]))
  await source.createUser({ name: 'app', password: 'a' })
  await source.createDatabase('orders', 'app')
  await source.query(
    `SET ROLE app; ${tables}
    INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, 1000) n`,
    'orders',
  )
  await target.query(`CREATE ROLE master LOGIN PASSWORD 'm' CREATEROLE CREATEDB REPLICATION BYPASSRLS;
    GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_create_subscription TO master WITH ADMIN OPTION`)
  await target.createDatabase('orders', 'master')

  const { data } = configMap.parse(found('ConfigMap', 'pontoon-config'))
  // What only a cluster and AWS have.
  const here = `
services:
  orders:
    source: { port: ${source.port}, tls: { mode: disable } }
    target:
      port: ${target.port}
      auth:
      password: a
      tls: { mode: disable, ca: }
      tlsSeenFromOtherSide:
  cache:
`
  const secrets = ['admin-token', 'client-password', 'source-password', 'client-redis-password']
  const own = ['source-redis-password', 'control-password', 'replication-password', 'read-password']
  const folder = test.testdir({
    ...data,
    'here.yml': here,
    secrets: Object.fromEntries(
      [...secrets, ...own].map((name) => [name, `of-${name}-0123456789`]),
    ),
  })
  for (const [name, text] of Object.entries(data)) {
    const local = text.replaceAll('/secrets/', `${folder}/secrets/`)
    writeFileSync(join(folder, name), local.replace('file: /state', `file: ${folder}/state`))
  }
  const env = {
    SOURCE_HOST: source.host,
    TARGET_HOST: target.host,
    SOURCE_REDIS_HOST: 'redis',
    TARGET_REDIS_HOST: 'redis',
    TARGET_REDIS_CACHE: 'cache',
    PONTOON_SOURCE_ADMIN: source.url('orders'),
    PONTOON_TARGET_ADMIN: target.url('orders', 'master', 'm'),
    PATH: postgresBinFolder(15),
  }
  for (const round of ['first', 'again'])
    for (const { name, args } of steps) {
      const line = args.map((word) => word.replace(/^\/config\//, `${folder}/`))
      const { exit, stdout, stderr } = await runPontoon(
        [...line, '--config', join(folder, 'here.yml')],
        env,
      )
      test.equal(exit, 0, `${round}: ${name}\n${exit === 0 ? '' : stdout + stderr}`)
    }
  const [row] = await target.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM customers',
    'orders',
  )
  test.equal(row?.n, 1_000)
})
