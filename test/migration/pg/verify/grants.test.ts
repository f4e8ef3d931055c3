/** Grants that the sides do not share are differences, whatever they are on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { verifyService } from '../../../../src/migration/pg/verify/verify-service.ts'
import { startVerifyPair } from '../../../support/verify-pair.ts'

tap.setTimeout(280_000)

await tap.test('grants on all kinds of objects, and on those made later', async (t) => {
  const pair = await startVerifyPair(15, 18)
  const state = mkdtempSync(join(tmpdir(), 'pontoon-verify-'))
  t.teardown(async () => {
    await pair.stop()
    rmSync(state, { recursive: true, force: true })
  })
  const database = await pair.database(
    'granted',
    `CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN positive AS int; CREATE SEQUENCE counter;
     CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SCHEMA shop;`,
  )
  await database.both('CREATE ROLE clerk')
  const grants = `GRANT ALL ON SCHEMA shop TO clerk; GRANT CREATE ON SCHEMA public TO clerk;
    GRANT SELECT ON SEQUENCE counter TO clerk; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC;
    REVOKE USAGE ON TYPE mood FROM PUBLIC; GRANT USAGE ON TYPE positive TO clerk WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO clerk;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO clerk;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT INSERT ON TABLES TO clerk`
  await database.query('source', grants)
  await database.query(
    'target',
    // What Pontoon's readers get before 14, and what says the same as what is built in.
    `CREATE ROLE pontoon_reader; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO pontoon_reader;
     ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC`,
  )
  const options = { context: database.context, stateFolder: state, withSchema: true }
  const { result, schema } = await verifyService(options)
  t.equal(result, 'different')
  t.same(
    schema?.differences.map(({ kind, name, primary, other }) =>
      [kind, name, primary ?? 'missing', other ?? 'missing'].join(' | '),
    ),
    [
      'default privileges | of postgres in shop on tables | clerk INSERT | missing',
      'default privileges | of postgres on functions | none | missing',
      'default privileges | of postgres on sequences | clerk SELECT, clerk UPDATE, clerk USAGE | missing',
      'default privileges | of postgres on tables | clerk SELECT | missing',
      'grant | public.counter to clerk | SELECT | missing',
      'grant | public.f() to PUBLIC | missing | EXECUTE',
      'grant | schema public to clerk | CREATE | missing',
      'grant | schema shop to clerk | CREATE, USAGE | missing',
      'grant | type public.mood to PUBLIC | missing | USAGE',
      'grant | type public.positive to clerk | USAGE* | missing',
    ],
  )
  await database.query('target', grants)
  t.equal((await verifyService(options)).result, 'equal')
})
