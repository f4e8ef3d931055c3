/**
 * The same text, prepared by clients for whom its names mean different tables: each gets its own,
 * on whatever server, and nobody the error of a plan that was another one's.
 */
import t from 'tap'
import type { Test } from 'tap'
import { bind, describeStatement, execute, parse, sync } from '../../support/pg-frontend.ts'
import { rowValues } from '../../support/pg-wire.ts'
import { rows, sqlstate, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query(`
  CREATE TABLE what AS SELECT 1 AS a;
  CREATE SCHEMA one; CREATE TABLE one.what AS SELECT 'one' AS a;
  CREATE PROCEDURE hide_what() LANGUAGE plpgsql
    AS $$ BEGIN CREATE TEMP TABLE what AS SELECT 7 AS x, 8 AS y; END $$;
  CREATE ROLE tenant; CREATE SCHEMA tenant AUTHORIZATION tenant;
  CREATE TABLE tenant.what AS SELECT 'tenant' AS a, 3 AS b; ALTER TABLE tenant.what OWNER TO tenant`)

async function pontoonOf(test: Test): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function prepare({ wire }: RawClient, sql: string): Promise<void> {
  await wire.send(parse(sql, 'mine'), describeStatement('mine'), sync())
  await wire.until('Z')
}

/** The row of the prepared statement, or its SQLSTATE. */
async function run({ wire }: RawClient, values: readonly string[]): Promise<unknown> {
  await wire.send(bind({ statement: 'mine', values }), execute(), sync())
  const answer = await wire.until('Z')
  const row = answer.find(({ type }) => type === 'D')
  return row === undefined ? sqlstate(answer) : rowValues(row)
}

for (const [sql, isAsked] of [
  ['SELECT * FROM what', false],
  ['SELECT a FROM what WHERE a = $1', true],
] as const) {
  void t.test(`search_path and role tell which table: ${sql}`, async (test) => {
    const pontoon = await pontoonOf(test)
    const tenants = [
      { client: await pontoon.client(), row: ['1'] },
      {
        client: await pontoon.client({ parameters: { search_path: 'one' } }),
        row: ['one'],
      },
      { client: await pontoon.client(), setup: 'SET search_path = one', row: ['one'] },
      { client: await pontoon.client(), setup: 'SET ROLE tenant', row: ['tenant', '3'] },
    ]
    for (const { client, setup } of tenants) if (setup !== undefined) await rows(client, setup)
    for (const { client } of tenants) await prepare(client, sql)
    for (let round = 0; round < 3; round += 1) {
      for (const { client, row } of tenants) {
        const key = row[0] ?? ''
        test.strictSame(await run(client, isAsked ? [key] : []), isAsked ? [key] : row)
      }
    }
  })
}

for (const [name, take, give] of [
  ['of a session', 'CREATE TEMP TABLE what AS SELECT 7 AS x, 8 AS y', 'DROP TABLE pg_temp.what'],
  ['of a procedure', 'CALL hide_what()', 'DROP TABLE what'],
  ['of a procedure in one transaction', 'BEGIN; CALL hide_what()', 'ROLLBACK'],
  ['of one transaction', 'BEGIN; CREATE TEMP TABLE what AS SELECT 7 AS x, 8 AS y', 'ROLLBACK'],
] as const) {
  void t.test(`a temporary table ${name} hides another one from its client only`, async (test) => {
    const pontoon = await pontoonOf(test)
    const [other, client] = [await pontoon.client(), await pontoon.client()]
    await prepare(other, 'SELECT * FROM what')
    test.strictSame(await run(other, []), ['1'])
    await rows(client, take)
    await prepare(client, 'SELECT * FROM what')
    test.strictSame(await run(client, []), ['7', '8'])
    await rows(client, give)
    test.strictSame(await run(other, []), ['1'])
  })
}

void t.test('what was prepared before there were temporary tables stays prepared', async (test) => {
  const pontoon = await pontoonOf(test)
  const [other, client] = [await pontoon.client(), await pontoon.client()]
  await prepare(other, 'SELECT * FROM what')
  const since = "SELECT prepare_time FROM pg_prepared_statements WHERE statement LIKE '%what'"
  const before = await value(other, since)
  await rows(client, 'CREATE TEMP TABLE what AS SELECT 7 AS x, 8 AS y')
  await rows(client, 'DROP TABLE pg_temp.what')
  test.strictSame(await run(other, []), ['1'])
  test.equal(await value(other, since), before)
})
