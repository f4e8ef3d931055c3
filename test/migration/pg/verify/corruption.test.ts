/** Every kind of difference is found, and nothing else, from PostgreSQL 15 to 18. */
import { bigInt, double, integer, option, sample, string, tuple, uint8Array } from 'fast-check'
import tap from 'tap'
import { hashSql, rowTextSql } from '../../../../src/migration/pg/verify/row-hash.ts'
import type { HashColumn } from '../../../../src/migration/pg/verify/row-hash.ts'
import { verifyTables } from '../../../../src/migration/pg/verify/verify-tables.ts'
import type { VerifyTablesOptions } from '../../../../src/migration/pg/verify/verify-tables.ts'
import type { TableReport } from '../../../../src/migration/pg/verify/report.ts'
import { startVerifyPair, type VerifiedDatabase } from '../../../support/verify-pair.ts'

tap.setTimeout(280_000)

/** Two values of each type, as close as two values can be. */
const types: readonly (readonly [type: string, one: string, two: string])[] = [
  ['bool', 'true', 'false'],
  ['"char"', '(-127)::"char"', '(-126)::"char"'],
  ['int2', '-1', '-2'],
  ['int4', '65536', '65537'],
  ['int8', '4294967297', '8589934594'],
  ['oid', '1', '2'],
  ['numeric', '1.0', '1.00'],
  ['numeric(20,4)', '-0.0001', '0.0001'],
  ['float4', '0.1', '0.10000001'],
  ['float8', '0.1', '0.10000000000000002'],
  ['float8', `'-0'`, `'0'`],
  ['money', `'1,000.00'`, `'1,000.01'`],
  ['text', `''`, 'NULL'],
  ['text', `'a,b'`, `'a, b'`],
  ['text', `'é'`, `E'e\\u0301'`],
  ['varchar(10)', `'a'`, `'a '`],
  ['char(5)', `'a'`, `' a'`],
  ['name', `'x'`, `'X'`],
  ['bytea', `'\\x00'`, `'\\x0000'`],
  ['uuid', `'00000000-0000-0000-0000-000000000001'`, `'00000000-0000-0000-0000-000000000003'`],
  ['date', `'0044-03-15 BC'`, `'0044-03-15'`],
  ['time', `'12:00:00.000001'`, `'12:00:00.000002'`],
  ['timetz', `'12:00+01'`, `'11:00+00'`],
  ['timestamp', `'infinity'`, `'-infinity'`],
  ['timestamptz', `'2026-03-29 01:00:00.000001+00'`, `'2026-03-29 01:00:00.000002+00'`],
  ['interval', `'1 day'`, `'24:00:00'`],
  ['json', `'{"a": 1}'`, `'{"a":1}'`],
  ['jsonb', `'{"a": 1.0}'`, `'{"a": 1}'`],
  ['inet', `'10.0.0.1/8'`, `'10.0.0.1/9'`],
  ['cidr', `'10.0.0.0/8'`, `'10.0.0.0/9'`],
  ['macaddr', `'08:00:2b:01:02:03'`, `'08:00:2b:01:02:02'`],
  ['bit(3)', `B'101'`, `B'100'`],
  ['varbit', `B''`, `B'0'`],
  ['point', `'(0.1,2)'`, `'(0.10000000000000002,2)'`],
  ['box', `'(1,1),(0,0)'`, `'(1,1),(0,0.5)'`],
  ['int4range', `'[1,5)'`, `'[1,4)'`],
  ['int4multirange', `'{[1,3),[4,5)}'`, `'{[1,3),[5,6)}'`],
  ['int4[]', `'{1,NULL}'`, `'{1,0}'`],
  ['int4[]', `'[0:1]={1,2}'`, `'{1,2}'`],
  ['text[]', `'{"a,b"}'`, `'{a,b}'`],
  ['mood', `'sad'`, `'happy'`],
  ['pair', `'(1,)'`, `'(1,"")'`],
  ['pair', `'(,)'`, 'NULL'],
  ['positive', '1', '2'],
  ['tsvector', `'a:1'`, `'a:2'`],
  ['pg_lsn', `'0/1'`, `'0/2'`],
]
const columnOf = (at: number): string => `c${at}`

const typesSql = `
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE every_type (id int PRIMARY KEY,
  ${types.map(([type], at) => `${columnOf(at)} ${type}`).join(', ')});
INSERT INTO every_type SELECT i, ${types.map(([type, one]) => `(${one})::${type}`).join(', ')}
FROM generate_series(0, ${types.length - 1}) i;
CREATE TABLE wide (id int PRIMARY KEY, ${Array.from({ length: 250 }, (_, at) => `w${at} int`).join(', ')});
INSERT INTO wide (id, w0, w249) VALUES (1, 1, NULL), (2, NULL, 2), (3, NULL, NULL);
CREATE TABLE bare ();
INSERT INTO bare DEFAULT VALUES;`

/** Tables by the type of their key, 2,000 rows each: key expression of row i. */
const keys: Readonly<Record<string, readonly [columns: string, primary: string, values: string]>> =
  {
    negative: ['k int8', 'k', 'i - 1000'],
    composite: ['a text, b int', 'b, a', `'t' || i % 40, i / 40`],
    uuids: ['k uuid', 'k', 'md5(i::text)::uuid'],
    texts: ['k text', 'k', `'O''Brien \\' || i || E'\\t,ß'`],
    numerics: ['k numeric', 'k', 'i / 8.0 - 100'],
    byteas: ['k bytea', 'k', `decode(lpad(to_hex(i), 8, '0'), 'hex')`],
    moments: ['k timestamptz', 'k', `'2026-01-01'::timestamptz + i * interval '1.000001 s'`],
    chars: ['k char(6)', 'k', 'i::text'],
    '"Mixed Case"': ['"Ke""y" int', '"Ke""y"', 'i'],
    collated: ['k text COLLATE "C"', 'k', `chr(65 + i % 26) || chr(97 + i % 7) || i`],
  }
const keysSql = Object.entries(keys)
  .map(
    ([name, [columns, primary, values]]) => `
CREATE TABLE ${name} (${columns}, n int, pad text DEFAULT repeat('x', 100), PRIMARY KEY (${primary}));
INSERT INTO ${name} SELECT ${values}, i FROM generate_series(1, 2000) i; ANALYZE ${name};`,
  )
  .join('')

const keylessSql = `
CREATE TABLE heap (a text, b text);
INSERT INTO heap SELECT 'a' || i, 'b' || i FROM generate_series(1, 3000) i;
INSERT INTO heap SELECT a, b FROM heap WHERE a LIKE 'a2%';`

const compare = async (
  database: VerifiedDatabase,
  options: Partial<VerifyTablesOptions> = {},
): Promise<ReadonlyMap<string, TableReport>> => {
  const { data } = await verifyTables({
    context: database.context,
    chunkRows: 300,
    ...options,
  })
  return new Map(data.tables.map((table) => [table.table, table]))
}

await tap.test('corruption', async (whole) => {
  const pair = await startVerifyPair(15, 18)
  whole.teardown(() => pair.stop())

  await whole.test('one value of each type', async (t) => {
    const database = await pair.database('types', typesSql)
    const before = await compare(database)
    t.same(
      [...before.values()].map(({ differing }) => differing),
      [0, 0, 0],
    )
    const updates = types.map(
      ([type, , two], at) =>
        `UPDATE every_type SET ${columnOf(at)} = (${two})::${type} WHERE id = ${at}`,
    )
    await database.query('target', updates.join(';'))
    await database.query(
      'target',
      'UPDATE wide SET w0 = w249, w249 = w0; INSERT INTO bare DEFAULT VALUES',
    )
    const after = await compare(database, { showValues: true })
    const found = new Map(
      after
        .get('public.every_type')
        ?.differences.map(({ key, columns }) => [key?.['id'], columns.map(({ name }) => name)]),
    )
    for (const [at, [type]] of types.entries())
      t.same(found.get(String(at)), [columnOf(at)], `${type} ${at}`)
    t.equal(found.size, types.length)
    t.equal(after.get('public.wide')?.differing, 2, 'values of columns swapped, beside NULLs')
    t.match(after.get('public.bare'), { rows: 1, otherRows: 2, differing: 1 })
  })

  await whole.test('keys of every kind: missing, extra, changed, swapped', async (t) => {
    const database = await pair.database('keys', keysSql)
    await database.query('target', 'ALTER TABLE collated ALTER k TYPE text COLLATE "en-x-icu"')
    const before = await compare(database)
    for (const table of before.values()) t.equal(table.differing, 0, table.table)
    t.equal(before.get('public.collated')?.method, 'buckets')
    t.equal(before.get('public.collated')?.chunks, 1)
    for (const name of Object.keys(keys)) {
      await database.query('target', `DELETE FROM ${name} WHERE n IN (1, 777)`)
      await database.query('target', `UPDATE ${name} SET n = 1501 - n + 500 WHERE n IN (500, 1501)`)
      await database.query('source', `DELETE FROM ${name} WHERE n = 2000`)
    }
    for (const [label, table] of await compare(database)) {
      if (label !== 'public.collated') t.ok(table.chunks > 3, `${label} has chunks`)
      const kinds = table.differences.map(({ kind }) => kind).toSorted()
      t.same(kinds, ['different', 'different', 'extra', 'missing', 'missing'], label)
    }
    const keysOnly = await compare(database, { keysOnly: true })
    for (const { differing, table } of keysOnly.values())
      t.equal(differing, 3, `${table}, keys only`)
  })

  await whole.test('tables without a key are multisets', async (t) => {
    const database = await pair.database('keyless', keylessSql)
    t.equal((await compare(database)).get('public.heap')?.differing, 0)
    await database.query(
      'target',
      `INSERT INTO heap SELECT a, b FROM heap WHERE a = 'a1';
       DELETE FROM heap WHERE ctid = (SELECT ctid FROM heap WHERE a = 'a22' LIMIT 1);
       UPDATE heap SET a = b, b = a WHERE a = 'a33'`,
    )
    const heap = (await compare(database, { showValues: true })).get('public.heap')
    t.equal(heap?.method, 'multiset')
    const seen = heap?.differences.map(({ rows, otherRows, columns }) => {
      const { primary, other } = columns[0] ?? {}
      return `${rows} ${otherRows} ${primary ?? ''} ${other ?? ''}`.trim()
    })
    t.same(seen?.toSorted(), ['0 1  b33', '1 0 a33', '1 2', '2 1'])
  })

  await whole.test('other shapes, encodings, row security, lost uniqueness', async (t) => {
    const database = await pair.database(
      'shapes',
      `CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
       CREATE TABLE base (id int PRIMARY KEY);
       CREATE TABLE derived (extra int) INHERITS (base);
       INSERT INTO derived VALUES (1, 1);
       CREATE TABLE doubled (id int, v text, CONSTRAINT k PRIMARY KEY (id));
       INSERT INTO doubled VALUES (1, 'a'), (2, 'b');
       CREATE TABLE ordered (id int PRIMARY KEY, a int, b text);
       CREATE TABLE holed (id text, CONSTRAINT h PRIMARY KEY (id)); INSERT INTO holed VALUES ('1');
       CREATE TABLE unlike (id int PRIMARY KEY, a int);
       CREATE TABLE split (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE s1 PARTITION OF split DEFAULT; INSERT INTO split VALUES (1), (2)`,
    )
    await database.query(
      'source',
      `CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
       CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
       INSERT INTO parted SELECT i, 'v' FROM generate_series(0, 199) i;
       INSERT INTO ordered VALUES (1, 2, 'x');
       CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1), (2)`,
    )
    await database.query(
      'target',
      `CREATE TABLE p PARTITION OF parted FOR VALUES FROM (0) TO (200);
       INSERT INTO parted SELECT i, 'v' FROM generate_series(0, 198) i;
       ALTER TABLE doubled DROP CONSTRAINT k; INSERT INTO doubled VALUES (2, 'b');
       ALTER TABLE ordered DROP a; ALTER TABLE ordered ADD a int; INSERT INTO ordered VALUES (1, 'x', 2);
       ALTER TABLE holed DROP CONSTRAINT h, ALTER id DROP NOT NULL; INSERT INTO holed VALUES (NULL), (NULL);
       ALTER TABLE unlike ALTER a TYPE bigint; DELETE FROM s1 WHERE id = 2;
       CREATE TABLE later (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE l1 PARTITION OF later DEFAULT; INSERT INTO later VALUES (1);
       CREATE TABLE alone (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE a1 PARTITION OF alone DEFAULT`,
    )
    const { data } = await verifyTables({ context: database.context })
    const found = data.tables.map(({ table, differing }) => [table, differing])
    t.same(found, [
      ['public.base', 0],
      ['public.derived', 0],
      ['public.doubled', 1],
      ['public.holed', 1],
      ['public.later', 1],
      ['public.ordered', 0],
      ['public.parted', 1],
      ['public.s1', 1],
    ])
    t.match(data.leftOut, [
      { table: 'public.unlike', isDifference: true },
      { table: 'public.alone', isDifference: true },
    ])
    const part = await compare(database, { only: ['public.split', 'public.base'] })
    t.same([...part.keys()], ['public.base', 'public.s1'], 'a partitioned table has its partitions')
    for (const name of ['public.nothing', 'base', 'public.p1']) {
      const asked = verifyTables({ context: database.context, only: ['public.base', name] })
      await t.rejects(asked, { code: 'MIGRATION_REFUSED', message: `to compare: ${name}.` })
    }
    await database.query(
      'source',
      `CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
       ALTER TABLE ordered ENABLE ROW LEVEL SECURITY`,
    )
    const { config } = database.context
    const readUser = { user: 'reader', password: 'reader' }
    const source = { ...config.source, readUser }
    const context = { ...database.context, config: { ...config, source } }
    await t.rejects(verifyTables({ context, only: ['public.ordered'] }), { code: 'SQL_FAILED' })
  })

  await whole.test('random rows, one random change each', async (t) => {
    const text = option(string({ unit: 'grapheme', maxLength: 12 }), { freq: 4 })
    const values = tuple(
      option(integer()),
      text,
      text,
      option(bigInt(-(2n ** 63n), 2n ** 63n - 1n)),
      option(double({ noDefaultInfinity: true })),
      option(uint8Array({ maxLength: 4 })),
    )
    const rows = sample(values, { numRuns: 400, seed: 42 }).map((row) => row.map(sqlOf))
    const others = sample(values, { numRuns: 400, seed: 43 }).map((row) => row.map(sqlOf))
    const database = await pair.database(
      'random',
      `CREATE TABLE r (id int PRIMARY KEY, v0 int, v1 text, v2 text, v3 bigint, v4 float8, v5 bytea);
       INSERT INTO r VALUES ${rows.map((row, id) => `(${id}, ${row.join(', ')})`).join(', ')}`,
    )
    t.equal((await compare(database)).get('public.r')?.differing, 0)
    const changes = others.flatMap((other, id) => {
      const at = id % 6
      return other[at] === rows[id]?.[at] ? [] : [[id, at, other[at] ?? 'NULL'] as const]
    })
    await database.query(
      'target',
      changes.map(([id, at, value]) => `UPDATE r SET v${at} = ${value} WHERE id = ${id}`).join(';'),
    )
    const found = (await compare(database, { listedMax: 1_000 })).get('public.r')?.differences
    t.same(
      new Map(found?.map(({ key, columns }) => [key?.['id'], columns.map(({ name }) => name)])),
      new Map(changes.map(([id, at]) => [String(id), [`v${at}`]])),
    )
    t.ok(changes.length > 300)
  })

  await whole.test('no two rows are hashed as the same text', async (t) => {
    const hostile = ['', ',', '0', '1', '0,', ',0', 'f', 't', 'tf', '"', '\\', '()', '1,,']
    const texts = [...hostile.map((one) => `('${one}')`), '(NULL)'].join(', ')
    const columns = [
      column('a', 'text'),
      column('b', 'text'),
      column('n', 'int4'),
      column('c', 'name'),
    ]
    await pair.servers.source.query(
      `CREATE TABLE hostile AS WITH v (x) AS (VALUES ${texts})
       SELECT a.x AS a, b.x AS b, n.n, c.x::name AS c
       FROM v a, v b, v c, (VALUES (NULL), (0), (1)) AS n (n)`,
    )
    for (const kind of ['extended', 'md5'] as const) {
      const form = { kind, asUtf8: false, asBytes: false, floatsAsBytes: false }
      for (const some of [columns, columns.slice(0, 3), columns.slice(0, 2), columns.slice(1)]) {
        const list = some.map(({ name }) => name).join(', ')
        const [counted] = await pair.servers.source.query(
          `SELECT count(*)::int AS rows, count(DISTINCT h)::int AS hashes
           FROM (SELECT ${hashSql(form, rowTextSql(form, some))} AS h
             FROM (SELECT DISTINCT ${list} FROM hostile) AS d) AS hashed`,
        )
        t.equal(counted?.['hashes'], counted?.['rows'], `${kind}: ${list}`)
        t.ok(Number(counted?.['rows']) >= 14 * 14)
      }
    }
  })

  await whole.test('databases of different encodings', async (t) => {
    const database = await pair.database('encodings', '')
    await pair.servers.source.query('DROP DATABASE encodings')
    await pair.servers.source.query(
      `CREATE DATABASE encodings TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
    )
    await database.both(
      `CREATE TABLE t (k text PRIMARY KEY, b char(4), v varchar(9));
       INSERT INTO t VALUES ('é', 'ö', 'ä'), ('ü', NULL, 'ß')`,
    )
    t.equal((await compare(database)).get('public.t')?.differing, 0)
    await database.query('target', `UPDATE t SET k = 'û' WHERE k = 'ü'`)
    await database.query('target', `UPDATE t SET b = 'ö ö' WHERE k = 'é'`)
    t.equal((await compare(database)).get('public.t')?.differing, 3)
  })
})

function column(name: string, baseType: string): HashColumn {
  return { name, baseType, notNull: false, isBuiltin: true }
}

function sqlOf(value: number | bigint | string | Uint8Array | null): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return `'${value.replaceAll('\0', '').replaceAll("'", "''")}'`
  if (value instanceof Uint8Array) return `'\\x${Buffer.from(value).toString('hex')}'`
  return Object.is(value, -0) ? `'-0'` : `'${value}'`
}
