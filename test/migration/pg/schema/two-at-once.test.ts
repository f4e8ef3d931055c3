/**
 * pontoon schema while that of another service works on the same servers: roles belong to the whole
 * server. What the other one does is a transaction here that ends while ours waits for it.
 */
import { Client } from 'pg'
import tap from 'tap'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { startPostgres, type PostgresServer } from '../../../support/postgres.ts'
import { until } from '../../../support/until.ts'
import { ServiceFiles } from './sides.ts'

tap.setTimeout(180_000)

await tap.test('two services at once', async (whole) => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 15 }),
  ])
  whole.teardown(() => Promise.all([source.stop(), target.stop()]))
  await Promise.all([source.createDatabase('shop'), target.createDatabase('shop')])
  await source.query('CREATE ROLE owner; CREATE ROLE "Shop App" IN ROLE owner')
  await source.query(
    'CREATE TABLE one (id int PRIMARY KEY); ALTER TABLE one OWNER TO owner',
    'shop',
  )
  const files = new ServiceFiles({ source, target, database: 'shop' })
  whole.teardown(() => files.remove())
  const schema = (): Promise<Captured> =>
    pontoon(['schema', 'shop', '--config', files.config], {
      PONTOON_SOURCE_ADMIN: source.url('shop'),
      PONTOON_TARGET_ADMIN: target.url('shop'),
      PATH: '/usr/lib/postgresql/15/bin',
    })

  /** Each ends once somebody waits for it, in this order. */
  const beside = async (
    ...work: readonly { readonly server: PostgresServer; readonly sql: string }[]
  ): Promise<Captured> => {
    const others: { readonly client: Client; readonly server: PostgresServer }[] = []
    for (const { server, sql } of work) {
      const client = new Client({ connectionString: server.url() })
      await client.connect()
      whole.teardown(() => client.end())
      await client.query(`BEGIN; ${sql}`)
      others.push({ client, server })
    }
    const ours = schema()
    for (const { client, server } of others) {
      const waits = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
      await until(async () => (await server.query(waits)).length > 0, 'it waits', 30_000)
      await client.query('COMMIT')
    }
    return await ours
  }

  await whole.test('which make the same roles', async (t) => {
    const { exit, out, err } = await beside(
      { server: source, sql: 'CREATE ROLE pontoon_control LOGIN' },
      { server: source, sql: 'CREATE ROLE pontoon_read LOGIN' },
      { server: target, sql: 'CREATE ROLE pontoon_repl LOGIN' },
      { server: target, sql: 'CREATE ROLE owner' },
    )
    t.equal(exit, 0, out + err)
    t.notMatch(out, /refused|failed|already exists/)
  })

  await whole.test('which give them the same', async (t) => {
    for (const server of [source, target])
      await server.query(
        'REVOKE pg_monitor FROM pontoon_control; ALTER ROLE pontoon_repl NOREPLICATION NOSUPERUSER',
      )
    await target.query('REVOKE owner FROM "Shop App"')
    const { exit, out, err } = await beside(
      { server: source, sql: 'GRANT pg_monitor TO pontoon_control' },
      { server: source, sql: 'ALTER ROLE pontoon_repl REPLICATION' },
      { server: target, sql: 'ALTER ROLE pontoon_repl REPLICATION' },
      { server: target, sql: 'GRANT owner TO "Shop App"' },
    )
    t.equal(exit, 0, out + err)
    t.notMatch(out, /refused|failed|concurrently/)
  })
})
