/** Roles of Pontoon for another service of the same source, which are no roles of the application. */
import { readFileSync, writeFileSync } from 'node:fs'
import tap from 'tap'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { pontoon } from '../../../cli/capture.ts'
import { startPostgres } from '../../../support/postgres.ts'
import { ServiceFiles } from './sides.ts'

tap.setTimeout(180_000)

const configured = z.object({ services: z.object({ shop: z.looseObject({}) }) })

await tap.test('a source that two services share', async (t) => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 15 }),
  ])
  t.teardown(() => Promise.all([source.stop(), target.stop()]))
  await Promise.all([source.createDatabase('shop'), target.createDatabase('shop')])
  // As pontoon schema gives them: they share what the application's roles own.
  await source.query(`CREATE ROLE owner; CREATE ROLE "Shop App" LOGIN IN ROLE owner; CREATE ROLE clerk IN ROLE owner;
    CREATE ROLE store_control LOGIN CREATEROLE; GRANT owner TO store_control WITH ADMIN OPTION;
    CREATE ROLE store_repl LOGIN REPLICATION IN ROLE owner;
    CREATE ROLE pontoon_mart_control LOGIN CREATEROLE IN ROLE owner;
    CREATE ROLE helper LOGIN IN ROLE pontoon_mart_control, store_control`)
  await source.query(
    'CREATE TABLE one (id int PRIMARY KEY); ALTER TABLE one OWNER TO owner',
    'shop',
  )
  const files = new ServiceFiles({ source, target, database: 'shop' })
  t.teardown(() => files.remove())
  const { shop } = configured.parse(parse(readFileSync(files.config, 'utf8'))).services
  const side = {
    host: '127.0.0.1',
    controlUser: { user: 'store_control', password: 'secret' },
    replicationUser: { user: 'store_repl', password: 'secret' },
  }
  const store = {
    ...shop,
    listen: '127.0.0.1:6433',
    databases: ['store'],
    source: side,
    target: { ...side, port: 5433 },
  }
  writeFileSync(
    files.config,
    stringify({ state: { file: `${files.folder}/state` }, services: { shop, store } }),
  )
  const { exit, out, err } = await pontoon(['schema', 'shop', '--config', files.config], {
    PONTOON_SOURCE_ADMIN: source.url('shop'),
    PONTOON_TARGET_ADMIN: target.url('shop'),
    PATH: '/usr/lib/postgresql/15/bin',
  })
  t.equal(exit, 0, out + err)
  const roles = await target.query(
    "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND oid <> 10 ORDER BY 1",
  )
  t.same(
    roles.map(({ rolname }) => rolname),
    ['Shop App', 'clerk', 'owner', 'pontoon_control', 'pontoon_read', 'pontoon_repl'],
  )
})
