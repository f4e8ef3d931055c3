/** The connection of a migration and the catalogue it reads, against a real server. */
import tap from 'tap'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import { SqlError } from '../../../src/net/pg/sql-error.ts'
import { PontoonError } from '../../../src/shared/errors.ts'
import {
  clearParted,
  ensurePartedColumn,
  controlSchemaSql,
  readMark,
  writeMarkSql,
  writePartedSql,
} from '../../../src/migration/pg/control-schema.ts'
import { hasIdentity, readSequences, readTables } from '../../../src/migration/pg/tables.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'

const schema = `
CREATE SCHEMA "Odd Name";
CREATE TABLE plain (id bigserial PRIMARY KEY, note text NOT NULL);
CREATE TABLE "Odd Name"."Ta""ble" (a int, b int, PRIMARY KEY (b, a));
CREATE TABLE keyless (v text);
CREATE TABLE "full" (v text);
ALTER TABLE "full" REPLICA IDENTITY FULL;
CREATE TABLE indexed (k int NOT NULL, v text);
CREATE UNIQUE INDEX indexed_k ON indexed (k) INCLUDE (v);
ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_k;
CREATE TABLE parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
CREATE TABLE shaped (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  price numeric(10,2), gross numeric GENERATED ALWAYS AS (price * 1.2) STORED);
CREATE SEQUENCE down INCREMENT -5 MINVALUE -100 MAXVALUE -1 CYCLE CACHE 3;
CREATE TEMP TABLE temporary (id int);
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
CREATE DOMAIN place AS point; CREATE TYPE stop AS (name varchar, at place[]);
CREATE TABLE full_json (a json, v varchar, "P t" stop, r int4range, c cidr, g xml GENERATED ALWAYS AS ('<a/>') STORED);
ALTER TABLE full_json REPLICA IDENTITY FULL;
CREATE TABLE full_key (id int PRIMARY KEY, a json); ALTER TABLE full_key REPLICA IDENTITY FULL;
`

tap.setTimeout(280_000)

await tap.test('migration connections and the catalogue', async (whole) => {
  const server = await startPostgres({ major: 15 })
  whole.teardown(() => server.stop())
  const client = await connect(server)
  whole.teardown(() => client.close())

  await whole.test('statements, values, errors, timeouts', async (t) => {
    const both = await client.run('SELECT 1 AS a; SELECT 2 AS b, NULL AS c')
    t.same(
      both.map(({ columns, rows }) => [columns, rows]),
      [
        [['a'], [['1']]],
        [['b', 'c'], [['2', null]]],
      ],
    )
    t.equal(await client.value("SELECT $1 || 'x'", ["o'\\"]), "o'\\x")
    t.equal((await client.query("SELECT repeat('ü', 1000000)")).rows[0]?.[0]?.length, 1_000_000)
    await t.rejects(client.query('SELECT 1/0'), { code: 'SQL_FAILED', sqlstate: '22012' })
    t.equal(await client.value('SELECT 3'), '3', 'goes on after an error')
    const order = await Promise.all([client.value('SELECT 4'), client.value('SELECT 5')])
    t.same(order, ['4', '5'], 'one after the other')
    const other = await connect(server)
    await t.rejects(other.query('SELECT pg_sleep(100)', undefined, { timeoutMs: 200 }), {
      code: 'SQL_TIMEOUT',
    })
    await t.rejects(other.query('SELECT 1'), { code: 'SERVER_LOST' })
    const abort = new AbortController()
    const third = await connect(server)
    const slept = third.query('SELECT pg_sleep(100)', undefined, { signal: abort.signal })
    abort.abort(new PontoonError('ABORTED', 'by the test'))
    await t.rejects(slept, { code: 'ABORTED' })
    const watch = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(100)%'"
    await until(async () => (await client.value(watch)) === '0', 'both are cancelled')
  })

  await whole.test('the server says why it goes', async (t) => {
    const other = await connect(server)
    const slept = other.query('SELECT pg_sleep(100)')
    const [error] = await Promise.all([
      slept.then(
        () => null,
        (thrown: unknown) => thrown,
      ),
      client.query('SELECT pg_terminate_backend($1::int)', [String(other.pid)]),
    ])
    t.ok(error instanceof SqlError && error.sqlstate === '57P01', String(error))
    t.notOk(other.isOpen)
  })

  await whole.test('tables and sequences', async (t) => {
    await client.run(`SET search_path = public; ${schema}`)
    await client.run(controlSchemaSql())
    await client.run(controlSchemaSql())
    t.equal(await readMark(client), undefined)
    await client.query(writeMarkSql({ epoch: 3, primary: 'source' }))
    await client.query(writeMarkSql({ epoch: 4, primary: 'target' }))
    t.same(await readMark(client), { epoch: 4, primary: 'target' })
    await client.run('ALTER TABLE pontoon.mark DROP COLUMN parted')
    t.same(await readMark(client), { epoch: 4, primary: 'target' }, 'made by an earlier version')
    await clearParted(client)
    await ensurePartedColumn(client)
    await client.run(writePartedSql('source'))
    await client.query(writeMarkSql({ epoch: 5, primary: 'target' }))
    t.same(await readMark(client), { epoch: 5, primary: 'target', parted: 'source' })
    await clearParted(client)
    t.same(await readMark(client), { epoch: 5, primary: 'target' })
    const tables = await readTables(client, ['public.parted'])
    t.same(
      tables.map(({ name }) => name),
      [
        'Ta"ble',
        'fleeting',
        'full',
        'full_json',
        'full_key',
        'indexed',
        'keyless',
        'late',
        'parted_one',
        'plain',
        'shaped',
      ],
    )
    const byName = new Map(tables.map((table) => [table.name, table]))
    t.same(byName.get('Ta"ble')?.primaryKey, ['b', 'a'])
    t.same(byName.get('indexed')?.identityColumns, ['k'])
    t.same(
      tables.filter((table) => !hasIdentity(table)).map(({ name }) => name),
      ['full_json', 'keyless', 'late'],
    )
    t.same(byName.get('full_json')?.columnsWithoutEquality, ['a', 'P t'])
    t.same(byName.get('parted_one')?.parent, { schema: 'public', name: 'parted' })
    t.equal(byName.get('fleeting')?.isUnlogged, true)
    t.same(
      byName
        .get('shaped')
        ?.columns.map(({ name, type, isGenerated, identity }) => [
          name,
          type,
          isGenerated,
          identity,
        ]),
      [
        ['id', 'integer', false, 'always'],
        ['price', 'numeric(10,2)', false, null],
        ['gross', 'numeric', true, null],
      ],
    )
    const sequences = await readSequences(client)
    t.same(
      sequences.map(({ name }) => name),
      ['down', 'plain_id_seq', 'shaped_id_seq'],
    )
    t.match(sequences[0], { increment: -5n, min: -100n, max: -1n, cache: 3n, isCycle: true })
  })

  await whole.test('a type has equality exactly where the server finds it', async (t) => {
    const { rows } = await client.query(
      `SELECT t.oid::regtype, 'c' || t.oid FROM pg_type t WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm')
       AND t.typnamespace = 'pg_catalog'::regnamespace 
         AND t.typcategory <> 'A' AND t.typrelid = 0 ORDER BY t.oid`,
    )
    const columns = rows.map(([type, name]) => `${name} ${type}`)
    await client.run(`CREATE TABLE every (${columns.join(', ')});
      ALTER TABLE every REPLICA IDENTITY FULL`)
    const every = (await readTables(client)).find(({ name }) => name === 'every')
    const without: string[] = []
    for (const [type, name] of rows) {
      try {
        await client.query(`SELECT count(DISTINCT ${name}) FROM every`)
      } catch (error) {
        if (!(error instanceof SqlError && error.sqlstate === '42883')) throw error
        t.match(error.message, 'could not identify', type ?? '')
        without.push(name ?? '')
      }
    }
    t.ok(without.length > 10)
    // Sorting them needs an order too, which these have not.
    const unsorted = (name: string): boolean => /^(xid|cid|aclitem)/.test(typeOf(name))
    const typeOf = (name: string): string => rows.find(([, column]) => column === name)?.[0] ?? ''
    t.same(
      every?.columnsWithoutEquality.map(typeOf),
      without.filter((n) => !unsorted(n)).map(typeOf),
    )
  })
})

function connect(server: PostgresServer): Promise<SqlClient> {
  const parameters = { user: server.superuser, database: 'postgres' }
  return SqlClient.connect({
    endpoint: { host: server.host, port: server.port },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    parameters: new Map(Object.entries(parameters)),
    password: server.password,
    timeoutMs: 5_000,
  })
}
