/** Databases without an encoding (SQL_ASCII), whose texts are bytes and in no encoding at all. */
import tap from 'tap'
import { controlSchemaSql } from '../../../../src/migration/pg/control-schema.ts'
import { totalOf } from '../../../../src/migration/pg/verify/report.ts'
import { verifyTables } from '../../../../src/migration/pg/verify/verify-tables.ts'
import {
  startVerifyPair,
  type VerifiedDatabase,
  type VerifyPair,
} from '../../../support/verify-pair.ts'

tap.setTimeout(280_000)

const schema = `
CREATE TABLE keyed (k text PRIMARY KEY, v text, c char(6), a text[]);
CREATE TABLE numbered (id int PRIMARY KEY, v text);
CREATE TABLE plain (v text)`
/** Latin-1 as an old application writes it, UTF-8 beside it, a quote, and what looks like an escape. */
const latin = String.raw`
INSERT INTO keyed SELECT E'm\374ller ' || i, E'\344', E'\366 ', ARRAY[E'\337', E'a"\377']
  FROM generate_series(1, 100) i;
INSERT INTO keyed VALUES (E'\303\274', 'UTF-8', NULL, NULL), (E'\\374', E'it''s \\', '', '{}');
INSERT INTO numbered VALUES (1, E'\374'), (2, E'\303\274'), (3, NULL);
INSERT INTO plain VALUES (E'\374'), (E'\374'), (E'\303\274')`
const smallChunks = { chunkRows: 30, showValues: true }

async function withoutEncoding(
  { servers }: VerifyPair,
  name: string,
  ...which: readonly ('source' | 'target')[]
): Promise<void> {
  for (const side of which) {
    await servers[side].query(`DROP DATABASE ${name}`)
    await servers[side].query(
      `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`,
    )
  }
}

async function differences(
  { context }: VerifiedDatabase,
  options: object = {},
): Promise<readonly object[]> {
  const { data } = await verifyTables({ context, ...smallChunks, ...options })
  return data.tables.flatMap((table) => table.differences)
}

await tap.test('databases in SQL_ASCII', async (whole) => {
  const pair = await startVerifyPair(15, 18)
  whole.teardown(() => pair.stop())

  await whole.test('both: bytes are compared, shown and repaired as they are', async (t) => {
    const database = await pair.database('bytes', '')
    await withoutEncoding(pair, 'bytes', 'source', 'target')
    await database.both(`${controlSchemaSql()}; ${schema}; ${latin}`)
    await database.replicate('forward')
    t.same(await differences(database), [])

    await database.query(
      'target',
      String.raw`UPDATE keyed SET v = E'\345' WHERE k = E'm\374ller 7'; DELETE FROM keyed WHERE k = E'\303\274';
       UPDATE keyed SET v = E'it''s \\\\' WHERE k = E'\\374';
       UPDATE numbered SET v = E'\375' WHERE id = 1; INSERT INTO plain VALUES (E'\374')`,
    )
    t.same((await differences(database)).length, 5)
    const found = JSON.stringify(await differences(database))
    t.match(found, JSON.stringify({ k: String.raw`m\374ller 7` }))
    t.match(
      found,
      JSON.stringify({ name: 'v', primary: String.raw`\344`, other: String.raw`\345` }),
    )
    const { data } = await verifyTables({ context: database.context, ...smallChunks, repair: true })
    t.match(totalOf(data.tables), { differing: 5, repaired: 4 }, 'plain has no key')
    const all = `SELECT md5(string_agg(keyed::text, ',' ORDER BY k)) AS all,
      (SELECT encode(convert_to(v, 'SQL_ASCII'), 'hex') FROM numbered WHERE id = 1) AS one FROM keyed`
    t.same(await database.query('target', all), await database.query('source', all))
  })

  await whole.test(
    'one of them: what the other one can hold is compared, the rest is named',
    async (t) => {
      const database = await pair.database('mixed', '')
      await withoutEncoding(pair, 'mixed', 'source')
      await database.query('source', controlSchemaSql())
      await database.both(schema)
      await database.both(
        String.raw`INSERT INTO keyed SELECT 'ü ' || i, 'é' FROM generate_series(1, 100) i;
       INSERT INTO numbered VALUES (1, 'ü'), (2, 'a'), (3, 'ö\')`,
      )
      t.same(await differences(database), [])
      await database.query('source', String.raw`UPDATE numbered SET v = E'\374' WHERE id = 1`)
      await database.query('target', String.raw`UPDATE keyed SET v = 'è' WHERE k = 'ü 5'`)
      const found = await differences(database)
      t.equal(found.length, 2)
      t.match(
        JSON.stringify(found),
        JSON.stringify({ primary: String.raw`\374`, other: String.raw`\303\274` }).slice(1, -1),
      )
      await database.query('source', String.raw`INSERT INTO keyed VALUES (E'm\374ller')`)
      await t.rejects(differences(database), {
        code: 'SQL_FAILED',
        message:
          /^public\.keyed: a key has bytes .* ENCODING 'SQL_ASCII' TEMPLATE template0\. .*0xfc/,
      })
    },
  )
})
