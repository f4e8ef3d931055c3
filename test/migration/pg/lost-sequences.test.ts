/** Sequences of a side whose other one is lost: none may give a value again. */
import tap from 'tap'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import {
  ahead,
  foreignPlaces,
  freeSequences,
  raiseSequences,
  sequencesOutOfReach,
  unindexedColumns,
} from '../../../src/migration/pg/lost-sequences.ts'
import type { Sequence } from '../../../src/migration/pg/tables.ts'
import { startPostgres, type PostgresServer } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'

const up: Sequence = {
  schema: 'public',
  name: 's',
  increment: 1n,
  min: 1n,
  max: 1_000_000n,
  cache: 1n,
  isCycle: false,
}
const down: Sequence = { ...up, increment: -2n, min: -1_000_000n, max: -1n }

const lastOf = (sequence: Sequence, last: bigint, furthest: bigint | null): bigint =>
  ahead({ sequence, last, isCalled: true }, furthest).last

await tap.test('how far a sequence goes', (t) => {
  t.equal(lastOf(up, 5n, null), 10_005n)
  t.equal(lastOf(up, 5n, 700n), 10_700n, 'from the highest value of its column')
  t.equal(lastOf(up, 700n, 5n), 10_700n, 'never back')
  t.equal(lastOf(up, 5n, 2_000_000n), 10_005n, 'a value that it cannot have given')
  t.equal(lastOf({ ...up, max: 105n }, 5n, null), 15n, 'a tenth of what is left')
  t.equal(lastOf(up, 1_000_000n, null), 1_000_000n)
  t.equal(lastOf(down, -5n, -700n), -20_700n)
  t.match(ahead({ sequence: up, last: 1n, isCalled: false }, null), {
    last: 10_001n,
    isCalled: true,
  })
  const cycle = { sequence: { ...up, isCycle: true }, last: 5n, isCalled: false }
  t.same(ahead(cycle, 700n), cycle)
  t.end()
})

await tap.test('they are raised in the database', async (t) => {
  const server = await startPostgres({ major: 17, auth: 'trust' })
  t.teardown(() => server.stop())
  await server.query('CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY, n smallserial)')
  await server.query(`CREATE SEQUENCE free; CREATE TABLE words (word text);
    CREATE SEQUENCE of_words OWNED BY words.word;
    INSERT INTO a OVERRIDING SYSTEM VALUE VALUES (500, 32000);
    CREATE SEQUENCE "sha'red"; CREATE SEQUENCE many; CREATE SEQUENCE sharded;
    CREATE TABLE b (id bigint DEFAULT nextval('"sha''red"'), n int DEFAULT nextval('many'));
    CREATE TABLE c (id int DEFAULT nextval('"sha''red"'),
      sharded bigint DEFAULT nextval('sharded') * 1000 + 7) PARTITION BY RANGE (id);
    CREATE TABLE c_all PARTITION OF c DEFAULT;
    INSERT INTO b VALUES (300000, 70000); INSERT INTO c VALUES (800000, 900007)`)
  const client = await connect(server, 'postgres')
  t.teardown(() => client.close())
  t.same(await freeSequences(client, []), ['public.free', 'public.of_words', 'public.sharded'])
  await raiseSequences(client, client, [])
  const next = async (name: string): Promise<number> =>
    Number(await client.value('SELECT nextval($1)', [`public.${name}`]))
  t.ok((await next('a_id_seq')) > 10_500)
  const small = await next('a_n_seq')
  t.ok(small > 32_000 && small < 32_767, `${small}`)
  t.ok((await next('free')) > 10_000)
  // No column owns them, but columns draw from them.
  t.ok((await next('"sha\'red"')) > 810_000, 'from the highest of all its columns')
  t.ok((await next('many')) > 80_000)
  t.ok((await next('sharded')) < 20_000, 'a value that is made of one says nothing')
  await t.test('however long it takes to find the highest value', async (whole) => {
    const locked = server.query('BEGIN; LOCK TABLE a; SELECT pg_sleep(0.5); COMMIT')
    await until(
      async () => (await client.value("SELECT 1 FROM pg_locks WHERE mode ~ 'AccessExcl'")) === '1',
      'the table is locked',
    )
    await raiseSequences(client, client, [], 100)
    await locked
    whole.ok((await next('a_id_seq')) > 20_500)
  })
  t.same(
    await unindexedColumns(client, [], 0),
    ['a.id', 'a.n', 'b.id', 'b.n', 'c.id'].map((column) => `public.${column} (0.0 GB)`),
  )
  await server.query(
    `CREATE INDEX ON a (id); CREATE INDEX ON a (id, n); CREATE INDEX ON a (n DESC);
     CREATE INDEX ON b (id); CREATE INDEX ON b (n); CREATE INDEX ON c (id)`,
  )
  t.same(await unindexedColumns(client, [], 0), [])
  const before = await next('of_words')
  await raiseSequences(client, client, [])
  t.ok((await next('of_words')) > before, 'again, they only go further')
})

await tap.test('values that are on another server', async (t) => {
  const server = await startPostgres({ major: 17, auth: 'trust' })
  t.teardown(() => server.stop())
  // It has no handler: whatever is asked of it fails.
  await server.query(`CREATE FOREIGN DATA WRAPPER lost; CREATE SERVER other FOREIGN DATA WRAPPER lost;
    CREATE TABLE p (id bigserial, at int) PARTITION BY RANGE (at);
    CREATE TABLE p_new PARTITION OF p FOR VALUES FROM (100) TO (200);
    CREATE TABLE p_deep PARTITION OF p FOR VALUES FROM (200) TO (300) PARTITION BY RANGE (at);
    CREATE TABLE p_leaf (at int, more text, id bigint NOT NULL);
    ALTER TABLE p_leaf DROP COLUMN more;
    ALTER TABLE p_deep ATTACH PARTITION p_leaf DEFAULT;
    CREATE FOREIGN TABLE p_old PARTITION OF p FOR VALUES FROM (0) TO (100) SERVER other;
    INSERT INTO p (id, at) VALUES (70000, 150), (90000, 250)`)
  const client = await connect(server, 'postgres')
  t.teardown(() => client.close())
  t.same(await freeSequences(client, []), [])
  t.same(await foreignPlaces(client, []), ['public.p_old'])
  t.same(await sequencesOutOfReach(client, []), { sequences: [], columns: [] })
  await server.query('ANALYZE p_new; ANALYZE p_leaf')
  t.same(
    await unindexedColumns(client, [], 10_000),
    ['public.p.id (0.0 GB)'],
    'the partitions are counted together',
  )
  await t.rejects(client.value('SELECT max(id) FROM public.p'), /no handler/)
  t.same(
    await raiseSequences(client, client, []),
    ['public.p_old'],
    'it is said, and the rest is done',
  )
  t.ok(Number(await client.value("SELECT nextval('public.p_id_seq')")) > 100_000)
})

await tap.test('what a role may not do with them is known before', async (t) => {
  const server = await startPostgres({ major: 17, auth: 'trust' })
  t.teardown(() => server.stop())
  await server.query(`CREATE ROLE control LOGIN; GRANT CREATE ON SCHEMA public TO control;
    CREATE TABLE hidden (id serial); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
    CREATE TABLE closed (id serial); CREATE SEQUENCE readable;
    GRANT SELECT ON hidden TO control; GRANT SELECT ON SEQUENCE readable TO control;
    GRANT SELECT, UPDATE ON SEQUENCE hidden_id_seq, closed_id_seq TO control;
    SET ROLE control; CREATE TABLE own (id serial)`)
  const client = await connect(server, 'control')
  t.teardown(() => client.close())
  t.same(await sequencesOutOfReach(client, []), {
    sequences: ['public.readable'],
    columns: ['public.closed.id', 'public.hidden.id'],
  })
  t.same(await sequencesOutOfReach(client, ['public.readable', 'public.closed_id_seq']), {
    sequences: [],
    columns: ['public.hidden.id'],
  })
  await server.query(`ALTER ROLE control BYPASSRLS; GRANT UPDATE ON SEQUENCE readable TO control;
    GRANT SELECT (id) ON closed TO control`)
  t.same(await sequencesOutOfReach(client, []), { sequences: [], columns: [] })
  await raiseSequences(client, client, [])
})

function connect({ host, port }: PostgresServer, user: string): Promise<SqlClient> {
  return SqlClient.connect({
    endpoint: { host, port },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    parameters: new Map([
      ['user', user],
      ['database', 'postgres'],
    ]),
    password: null,
    timeoutMs: 5_000,
  })
}
