/** Reads on the side that is not primary by its readUser, while the application may not log in. */
import t from 'tap'
import type { Test } from 'tap'
import { silentLog } from '../../../src/shared/log.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const [source, target] = await Promise.all([
  startPostgres({ major: 15, auth: 'trust' }),
  startPostgres({ major: 15, auth: 'trust' }),
])
t.teardown(() => Promise.all([source.stop(), target.stop()]))
for (const [name, server] of Object.entries({ source, target })) {
  await server.query(`CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN;
    GRANT app TO reader; GRANT pg_read_all_data TO reader, stranger;
    CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO app;
    CREATE TABLE app.here AS SELECT '${name}' AS side; GRANT SELECT ON app.here TO app;
    CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO app;
    CREATE TABLE shop.wares AS SELECT '${name}' AS side; GRANT SELECT ON shop.wares TO app;
    CREATE TABLE secrets AS SELECT 1 AS a;
    CREATE TABLE tenants AS SELECT '${name}' AS side; GRANT SELECT ON tenants TO app;
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON tenants USING (side <> '');
    ALTER ROLE app SET search_path = "$user", shop, public;
    ALTER ROLE app SET application_name = 'as it\\ was set'`)
}
await target.query('ALTER ROLE app NOLOGIN')

async function pontoonOf(
  test: Test,
  readUser: string,
  options: Partial<PontoonOptions> = {},
): Promise<Pontoon> {
  const { host, port } = target
  const tls = { mode: 'disable' }
  const pontoon = await startPontoon({
    source,
    config: {
      target: { host, port, tls, readUser: { user: readUser } },
      route: { readAfterWriteMs: 0 },
    },
    route: { phase: 'canary', reads: 100 },
    ...options,
  })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const login = { user: 'app', database: 'postgres' }

void t.test(
  'reads go there as the readUser, with rights and settings of the client',
  async (test) => {
    const pontoon = await pontoonOf(test, 'reader')
    const client = await pontoon.client(login)
    await until(
      async () => (await value(client, 'SELECT side FROM here')) === 'target',
      'reads are recognised; "$user" is the client',
    )
    test.equal(await value(client, 'SELECT side FROM wares'), 'target', 'its search_path is there')
    const found = await target.query<{ usename: string; application_name: string }>(
      `SELECT usename, application_name FROM pg_catalog.pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()`,
    )
    test.match(found, [{ usename: 'reader', application_name: 'as it\\ was set' }])
    test.equal(sqlstate(await ask(client, 'SELECT a FROM secrets')), '42501', 'no right is gained')
    test.equal(await value(client, 'SELECT side FROM tenants'), 'source', 'row security stays')
    test.match(
      pontoon.pools().filter(({ side }) => side === 'target'),
      [{ user: 'app', access: 'read', failure: '' }],
    )
  },
)

void t.test(
  'one that may not act as the client costs nothing but the reads there',
  async (test) => {
    const warnings: string[] = []
    const log = { ...silentLog, warn: (_: object, text: string) => warnings.push(text) }
    const pontoon = await pontoonOf(test, 'stranger', { log })
    const client = await pontoon.client(login)
    const failed = (): boolean =>
      pontoon.pools().some(({ side, failure }) => side === 'target' && failure !== '')
    await until(async () => {
      test.equal(await value(client, 'SELECT side FROM here'), 'source')
      return failed()
    }, 'the login there fails')
    test.strictSame(await rows(client, 'SELECT side FROM wares'), [['source']])
    test.match(warnings, ['a server cannot be opened; it is tried again'])
  },
)
