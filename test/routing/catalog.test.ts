/**
 * What src/routing/catalog.ts learns from real servers: every way in which a harmless-looking
 * name can hide something, and that no search_path changes the answer.
 */
import t from 'tap'
import { catalogFromRows, catalogQuery } from '../../src/routing/catalog.ts'
import type { Catalog, CatalogRow } from '../../src/routing/catalog.ts'
import { Classifier } from '../../src/routing/classify.ts'
import { startPostgres } from '../support/postgres.ts'
import type { PostgresServer } from '../support/postgres.ts'

const objects = `
CREATE SEQUENCE numbers;
CREATE TABLE orders (id int, total int);
CREATE TABLE parts (id int) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE UNLOGGED TABLE scratch (id int);
CREATE MATERIALIZED VIEW totals AS SELECT sum(total) FROM orders;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE remote (id int) SERVER nowhere;
CREATE TABLE mixed (id int) PARTITION BY LIST (id);
CREATE FOREIGN TABLE mixed_1 PARTITION OF mixed FOR VALUES IN (1) SERVER nowhere;

CREATE FUNCTION plain_volatile(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION plain_stable(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION plain_immutable(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE job() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION overloaded(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION overloaded(text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE FUNCTION s1.somewhere(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION s2.somewhere(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION s2.upper(text) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION by_default(int DEFAULT nextval('numbers')::int) RETURNS int IMMUTABLE
  LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION by_default_of_default(int DEFAULT by_default()) RETURNS int IMMUTABLE
  LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE sum_volatile(int) (SFUNC = int4_volatile, STYPE = int);
CREATE AGGREGATE sum_plain(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION of_order(orders) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION of_anything(anyelement) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION "json_value"(text, text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';

CREATE OPERATOR %%% (PROCEDURE = int4_volatile, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR *** (PROCEDURE = int4pl, LEFTARG = int, RIGHTARG = int);

CREATE FUNCTION checked(int) RETURNS bool VOLATILE LANGUAGE sql AS 'SELECT true';
CREATE DOMAIN noisy AS int CHECK (checked(VALUE));
CREATE DOMAIN noisy_too AS noisy;
CREATE DOMAIN quiet AS int CHECK (VALUE > 0);
CREATE TYPE noisy_row AS (a int, b noisy_too);
CREATE TYPE quiet_row AS (a int, b quiet);
CREATE FUNCTION takes_noisy(noisy) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE TYPE mood AS ENUM ('good');
CREATE FUNCTION to_mood(int) RETURNS mood VOLATILE LANGUAGE sql AS $$SELECT 'good'::mood$$;
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int);
CREATE FUNCTION mood_text(mood) RETURNS text VOLATILE LANGUAGE sql AS $$SELECT 'good'$$;
CREATE CAST (mood AS text) WITH FUNCTION mood_text(mood) AS ASSIGNMENT;
CREATE TYPE text_row AS (a int, b text);
CREATE TABLE noisy_rows (id int, a noisy);
CREATE TABLE noisy_rows_too (id int, a noisy_row[]);
CREATE TYPE calm AS ENUM ('good');

CREATE VIEW view_plain AS SELECT o.id, upper('a'), count(*) OVER () FROM orders o, parts;
CREATE VIEW view_random AS SELECT id FROM orders WHERE random() < 0.5;
CREATE VIEW view_nested AS SELECT * FROM (SELECT 1 FROM view_random) AS x;
CREATE VIEW view_nested_twice AS SELECT 1 WHERE EXISTS (SELECT 1 FROM view_nested);
CREATE VIEW view_notify AS SELECT pg_notify('a', 'b')::text;
CREATE VIEW view_txid AS SELECT txid_current();
CREATE VIEW view_operator AS SELECT 1 %%% 2;
CREATE VIEW view_aggregate AS SELECT sum_volatile(id) FROM orders;
CREATE VIEW view_locking AS SELECT id FROM orders FOR UPDATE;
CREATE VIEW view_sample AS SELECT id FROM orders TABLESAMPLE system (50);
CREATE VIEW view_ctid AS SELECT ctid AS place FROM orders;
CREATE VIEW view_domain AS SELECT id::noisy AS id FROM orders;
CREATE VIEW view_sequence AS SELECT last_value FROM numbers;
CREATE VIEW view_catalog AS SELECT relname FROM pg_class;
CREATE VIEW view_totals AS SELECT * FROM totals;
CREATE VIEW view_setting AS SELECT id FROM orders WHERE id = current_setting('app.id')::int;
CREATE TABLE policed (id int);
ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON policed USING (checked(id));
CREATE TABLE tenants (id int);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON tenants USING (id = current_setting('app.tenant')::int);
CREATE TABLE s1.twice (id int);
CREATE VIEW s2.twice AS SELECT random() AS id;
CREATE TABLE columns (id int);
`
const volatileSum =
  "CREATE FUNCTION int4_volatile(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';"

async function load(server: PostgresServer, before = ''): Promise<Catalog> {
  return catalogFromRows(
    await server.query<CatalogRow & Record<string, unknown>>(before + catalogQuery),
  )
}

const allowed = {
  functions: [
    'lower',
    'now',
    'count',
    'sum',
    'plain_stable',
    'plain_immutable',
    'sum_plain',
    'lag',
  ],
  operators: ['=', '<', '||', '->>', '~~', '@@', '***'],
  relations: ['orders', 'parts', 'parts_1', 'view_plain', 'view_setting', 'tenants', 'columns'],
  types: [
    'int4',
    'varchar',
    'timestamptz',
    'jsonb',
    'point',
    'quiet',
    'quiet_row',
    'calm',
    'int4range',
  ],
}
const list = (names: string): string[] => names.trim().split(/\s+/)
const refused = {
  functions: list(`random nextval pg_notify query_to_xml set_config plain_volatile job overloaded
    somewhere upper by_default by_default_of_default sum_volatile takes_noisy unknown`),
  operators: list('%%% <=====>'),
  relations: list(`numbers scratch totals remote mixed mixed_1 view_random view_nested
    view_nested_twice view_notify view_txid view_operator view_aggregate view_locking view_sample
    view_ctid view_domain view_sequence view_catalog view_totals policed twice noisy_rows noisy_rows_too pg_class tables
    unknown`),
  types: list('noisy noisy_too noisy_row mood text text_row orders _int4 unknown'),
} satisfies Record<keyof typeof allowed, string[]>

const kinds = ['functions', 'operators', 'relations', 'types'] as const

for (const major of [10, 15, 16, 17, 18] as const) {
  await t.test(`PostgreSQL ${major}`, async (test) => {
    const server = await startPostgres({ major })
    test.teardown(() => server.stop())
    // Procedures came with 11, and with them the word FUNCTION for that of an operator.
    const job = major < 11 ? 'CREATE FUNCTION job() RETURNS int' : '$&'
    await server.query(volatileSum + objects.replace('CREATE PROCEDURE job()', job))
    const catalog = await load(server)
    test.same(catalog.unsafe, [])
    for (const kind of kinds) {
      for (const name of allowed[kind]) test.ok(catalog[kind].has(name), `${name} is harmless`)
      for (const name of refused[kind]) test.notOk(catalog[kind].has(name), `${name} is not`)
    }
    test.ok(catalog.deniedAttributes.has('of_order') && catalog.deniedAttributes.has('of_anything'))
    test.notOk(catalog.deniedAttributes.has('plain_volatile'))
    test.same([...catalog.shadowedSyntax], ['json_value'])

    await test.test('a search_path cannot change the answer', async (inner) => {
      const count = catalog.functions.size
      await server.query(`CREATE SCHEMA evil;
        CREATE FUNCTION evil.no(anyelement, anyelement) RETURNS bool IMMUTABLE LANGUAGE sql
          AS 'SELECT false';
        CREATE FUNCTION evil.no_name(name, name) RETURNS bool IMMUTABLE LANGUAGE sql
          AS 'SELECT false';
        CREATE OPERATOR evil.= (PROCEDURE = evil.no_name, LEFTARG = name, RIGHTARG = name);
        CREATE OPERATOR evil.= (PROCEDURE = evil.no, LEFTARG = anyelement, RIGHTARG = anyelement);
        CREATE FUNCTION evil.no_oid(oid, oid) RETURNS bool IMMUTABLE LANGUAGE sql
          AS 'SELECT false';
        CREATE OPERATOR evil.= (PROCEDURE = evil.no_oid, LEFTARG = oid, RIGHTARG = oid);
        CREATE FUNCTION evil.regexp_matches(text, text, text) RETURNS SETOF text[] STABLE
          LANGUAGE sql AS $$SELECT '{}'::text[] WHERE false$$;
        CREATE TABLE evil.pg_proc (oid oid, proname name, provolatile "char");
        CREATE TYPE evil.text AS ENUM ('x')`)
      const again = await load(server, 'SET search_path = evil, pg_catalog;')
      // The new functions are there: three bare names, and four with their schema.
      inner.equal(again.functions.size, count + 7)
      for (const kind of ['relations', 'types', 'operators'] as const) {
        for (const name of refused[kind]) inner.notOk(again[kind].has(name), name)
      }
      for (const name of refused.functions) inner.notOk(again.functions.has(name), name)
    })

    await test.test('a comparison that is volatile spoils everything', async (inner) => {
      await server.query(
        'CREATE TYPE odd AS (a int);' +
          'CREATE FUNCTION odd_eq(odd, odd) RETURNS bool VOLATILE LANGUAGE sql ' +
          "AS 'SELECT true';" +
          'CREATE OPERATOR = (PROCEDURE = odd_eq, LEFTARG = odd, RIGHTARG = odd)',
      )
      const spoiled = await load(server)
      inner.match(spoiled.unsafe, [/volatile comparison operator =/])
      inner.equal(new Classifier({ catalog: spoiled }).verdict('SELECT 1'), 'other')
    })
  })
}
