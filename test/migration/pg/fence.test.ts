/** The fence and the sequences of a switch, against a real server. */
import tap from 'tap'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import { controlSchemaSql } from '../../../src/migration/pg/control-schema.ts'
import { endOthers, fence, fenceHoles, isFenced, unfence } from '../../../src/migration/pg/fence.ts'
import type { FenceSpec } from '../../../src/migration/pg/fence.ts'
import {
  readSequenceStates,
  setSequencesSql,
  withMargin,
} from '../../../src/migration/pg/sequences.ts'
import { readSequences } from '../../../src/migration/pg/tables.ts'
import type { Sequence } from '../../../src/migration/pg/tables.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'

tap.setTimeout(280_000)

const spec: FenceSpec = {
  database: 'shop',
  ownRoles: ['control', 'repl'],
  applicationRoles: ['app', 'super_app'],
}

await tap.test('fence and sequences', async (whole) => {
  const server = await startPostgres({ major: 15 })
  whole.teardown(() => server.stop())
  const admin = await connect(server, 'postgres', 'postgres')
  whole.teardown(() => admin.close())
  for (const role of ['control', 'repl', 'app', 'other', 'super_app'])
    await admin.run(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`)
  await admin.run('ALTER ROLE control SUPERUSER; ALTER ROLE super_app SUPERUSER')
  await admin.run('CREATE DATABASE shop OWNER app')
  await admin.run('GRANT CONNECT ON DATABASE shop TO other WITH GRANT OPTION')
  const control = await connect(server, 'control')
  whole.teardown(() => control.close())
  await control.run(controlSchemaSql())
  const acl = "SELECT datacl::text FROM pg_database WHERE datname = 'shop'"

  await whole.test('keeps everyone out and ends who is there', async (t) => {
    const before = await admin.value(acl)
    const sessions = await Promise.all(
      ['app', 'other', 'super_app'].map((user) => connect(server, user)),
    )
    const replication = await connect(server, 'repl')
    await sessions[0]?.query('SELECT 1')
    t.equal(await isFenced(control), false)
    await fence(control, spec)
    await fence(control, spec)
    t.equal(await isFenced(control), true)
    for (const session of sessions) await t.rejects(session.query('SELECT 1'))
    t.equal(await replication.value('SELECT 1'), '1', 'our own stay')
    replication.close()
    for (const user of ['app', 'other', 'super_app']) await t.rejects(connect(server, user), user)
    t.same(await fenceHoles(control, spec), [])
    const reader = await connect(server, 'repl')
    await t.rejects(reader.query('CREATE TABLE x ()'), { message: /SQLSTATE 25006/ })
    reader.close()
    await unfence(control, spec)
    await unfence(control, spec)
    t.equal(await isFenced(control), false)
    t.same(
      items(await admin.value(acl)),
      [...new Set([...items(before), 'control=c/app', 'repl=c/app'])].toSorted(),
    )
    const again = await connect(server, 'super_app')
    await again.run('CREATE TABLE public.x (); DROP TABLE public.x')
    await endOthers(control, spec)
    await t.rejects(again.query('SELECT 1'))
  })

  await whole.test(
    'spares a backend by its id and the port of our end, not by one of them',
    async (t) => {
      const [ours, other] = [await connect(server, 'app'), await connect(server, 'app')]
      const sql = `SELECT client_port FROM pg_stat_activity WHERE pid = ${ours.pid}`
      const port = Number(await admin.value(sql))
      const spared = [ours, other].map(({ pid }) => ({ pid, port }))
      await endOthers(control, spec, {}, spared)
      t.equal(await ours.value('SELECT 1'), '1')
      await t.rejects(other.query('SELECT 1'))
      await endOthers(control, spec)
      await t.rejects(ours.query('SELECT 1'))
    },
  )

  await whole.test('a role that keeps its way in is found', async (t) => {
    await fence(control, spec)
    await admin.run('GRANT CONNECT ON DATABASE shop TO other')
    t.same(await fenceHoles(control, spec), ['other'])
    await admin.run('REVOKE CONNECT ON DATABASE shop FROM other')
    await unfence(control, spec)
  })

  await whole.test('a superuser at work in another database is not kept out of it', async (t) => {
    const elsewhere = await connect(server, 'super_app', 'postgres')
    await t.rejects(fence(control, spec), {
      code: 'MIGRATION_REFUSED',
      message: /at work in other databases: super_app in postgres; let /,
    })
    t.equal(await isFenced(control), false)
    elsewhere.close()
    const left =
      "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND usename = 'super_app'"
    await until(async () => (await admin.value(left)) === '0', 'it has gone')
    await fence(control, spec)
    await unfence(control, spec)
  })

  await whole.test('a role that is dropped meanwhile keeps no fence up', async (t) => {
    await admin.run('CREATE ROLE passing LOGIN; GRANT CONNECT ON DATABASE shop TO passing')
    await fence(control, spec)
    await admin.run('DROP ROLE passing')
    await unfence(control, spec)
    t.equal(await isFenced(control), false)
  })

  await whole.test(
    'who shares a role of ours is no hole, unless it is the application',
    async (t) => {
      await admin.run('CREATE ROLE master LOGIN IN ROLE control; GRANT control TO app')
      await fence(control, { ...spec, ownRoles: [...spec.ownRoles, 'is_elsewhere'] })
      t.same(await fenceHoles(control, spec), ['app'])
      await admin.run('REVOKE control FROM app; DROP ROLE master')
      t.same(await fenceHoles(control, spec), [])
      await unfence(control, spec)
    },
  )

  await whole.test('sequences follow, with a margin that fits', async (t) => {
    await control.run(`SET search_path = public;
      CREATE SEQUENCE up; CREATE SEQUENCE fresh START 7; CREATE SEQUENCE "Odd down" INCREMENT -2 CACHE 100;
      CREATE SEQUENCE full_up MAXVALUE 10; CREATE SEQUENCE few MAXVALUE 100;
      CREATE SEQUENCE round MAXVALUE 100 CYCLE;
      SELECT setval('few', 80), setval('round', 80), setval('up', 41), setval('"Odd down"', -9), setval('full_up', 10)`)
    const sequences = await readSequences(control)
    const states = await readSequenceStates(control, sequences)
    await control.run(setSequencesSql(states) ?? '')
    t.equal(await control.value("SELECT nextval('public.up')"), '74')
    t.equal(await control.value("SELECT nextval('public.fresh')"), '7')
    t.equal(await control.value(`SELECT nextval('public."Odd down"')`), '-211')
    t.equal(await control.value("SELECT nextval('public.few')"), '83', 'not at its end for that')
    t.equal(await control.value("SELECT nextval('public.round')"), '81')
    await t.rejects(control.value("SELECT nextval('public.full_up')"), {
      message: /SQLSTATE 2200H/,
    })
    const many = Array.from({ length: 450 }, (_, index) => `CREATE SEQUENCE public.s${index}`)
    await control.run(many.join(';'))
    const all = await readSequenceStates(control, await readSequences(control))
    t.equal(all.length, 456)
    t.same(
      all.filter(({ isCalled }) => isCalled).map(({ sequence }) => sequence.name),
      ['Odd down', 'few', 'fresh', 'full_up', 'round', 'up'],
    )
  })
})

const sequence = (more: Partial<Sequence>): Sequence => ({
  schema: 's',
  name: 'n',
  increment: 1n,
  min: 1n,
  max: 1000n,
  cache: 1n,
  isCycle: false,
  ...more,
})

const at = (last: bigint, more: Partial<Sequence>, isCalled = true): bigint =>
  withMargin({ sequence: sequence(more), last, isCalled })

void tap.test('the margin stays within the bounds', (t) => {
  t.equal(at(5n, {}, false), 5n)
  t.equal(at(5n, {}), 37n)
  t.equal(at(5n, { cache: 50n, increment: 2n, max: 10_000n }), 105n)
  t.equal(at(990n, {}), 991n, 'a tenth of what is left')
  t.equal(at(1000n, {}), 1000n)
  t.equal(at(-3n, { increment: -1n, min: -10n, max: -1n }), -3n)
  t.equal(at(-3n, { increment: -1n, min: -100n, max: -1n }), -12n)
  t.equal(at(5n, { isCycle: true }), 5n, 'where it goes round, each value counts')
  t.end()
})

function items(list: string | null): string[] {
  return (list ?? '').replaceAll(/[{}"]/g, '').split(',').toSorted()
}

function connect(server: PostgresServer, user: string, database = 'shop'): Promise<SqlClient> {
  const options = '-c default_transaction_read_only=off -c search_path=pg_catalog'
  const parameters = user === 'control' ? { user, database, options } : { user, database }
  return SqlClient.connect({
    endpoint: { host: server.host, port: server.port },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    parameters: new Map(Object.entries(parameters)),
    password: user === 'postgres' ? server.password : user,
    timeoutMs: 5_000,
  })
}
