/** Texts over 1 MiB are not held; what they do to their session is known all the same. */
import t from 'tap'
import type { Test } from 'tap'
import { bind, closeStatement, execute, parse, sync } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE filled (n int, pad text)')

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const pinned = (pontoon: Pontoon): Readonly<Record<string, number>> =>
  pontoon.service.snapshot().pinned

/** Works on until the pin is gone, which the session asks about now and then. */
async function untilUnpinned(pontoon: Pontoon, client: RawClient): Promise<void> {
  await until(
    async () => {
      await ask(client, 'SELECT 1')
      return Object.keys(pinned(pontoon)).length === 0
    },
    `unpinned, but ${JSON.stringify(pinned(pontoon))}`,
  )
}

const pad = `'${'set listen load '.repeat(80_000)}'`
const bulk = `INSERT INTO filled VALUES (1, 'it''s'), ${"(2, 'set'), ".repeat(100_000)}(3, NULL)`

void t.test('a Query over 1 MiB does not pin', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  for (const sql of [bulk, `UPDATE filled SET pad = ${pad} WHERE n = 1`, `SELECT length(${pad})`]) {
    test.equal(sqlstate(await ask(client, sql)), '')
    test.equal(await value(other, 'SELECT 1'), '1')
    test.strictSame(pinned(pontoon), {})
  }
  test.equal(await value(other, 'SELECT count(*) FROM filled'), '100002')
})

void t.test('what a Query over 1 MiB does to its session follows the client', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await rows(client, `SELECT length(${pad}); SET work_mem = '9MB'`)
  await rows(client, `SELECT length(${pad}), set_config('app.tenant', 'anna', false)`)
  const asked = "SELECT current_setting('work_mem') || current_setting('app.tenant', true)"
  test.not(await value(other, asked), '9MBanna')
  test.equal(await value(client, asked), '9MBanna')
  await rows(client, `LISTEN news; SELECT length(${pad})`)
  await pontoon.untilIdle()
  await rows(other, "NOTIFY news, 'heard'")
  await client.wire.until('A')
  await rows(client, `SELECT length(${pad}); CREATE TEMP TABLE mine ()`)
  await until(() => pinned(pontoon)['temp-table'] === 1, 'pinned')
})

void t.test('an unnamed Parse over 1 MiB pins until another one takes its place', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const { wire } = client
  await wire.send(parse(`SELECT length(${pad}), $1::text`), sync())
  test.equal(summary(await wire.until('Z')), '1Z')
  test.equal(pinned(pontoon)['long-statement'], 1)
  await wire.send(bind({ values: ['x'] }), execute(), sync())
  test.equal(summary(await wire.until('Z')), '2DCZ', 'in another batch')
  await wire.send(parse('SELECT 1'), bind(), execute(), sync())
  test.equal(summary(await wire.until('Z')), '12DCZ')
  await untilUnpinned(pontoon, client)
  await pontoon.untilIdle()
})

void t.test('a named Parse over 1 MiB pins until it is closed', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const { wire } = client
  await wire.send(parse(`SELECT length(${pad}), set_config('work_mem', '7MB', false)`, 'l'), sync())
  test.equal(summary(await wire.until('Z')), '1Z')
  for (let round = 0; round < 2; round += 1) {
    await wire.send(bind({ statement: 'l' }), execute(), sync())
    test.equal(summary(await wire.until('Z')), '2DCZ')
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await ask(client, 'SELECT 1')
    test.equal(pinned(pontoon)['long-statement'], 1, 'as long as it is there')
  }
  await wire.send(closeStatement('l'), sync())
  await wire.until('Z')
  await untilUnpinned(pontoon, client)
  test.equal(await value(await pontoon.client(), 'SHOW work_mem'), '4MB')
  test.equal(await value(client, 'SHOW work_mem'), '7MB')
})

void t.test('a text that cannot be told pins until DISCARD ALL', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await rows(client, `DO $$ BEGIN PERFORM length(${pad}); END $$`)
  test.equal(pinned(pontoon)['unscanned'], 1)
  await rows(client, 'DISCARD ALL')
  await untilUnpinned(pontoon, client)
  await rows(client, "DO $$ BEGIN EXECUTE 'SET app.x = 1'; END $$")
  await until(() => pinned(pontoon)['settings'] === 1, 'pinned')
  await rows(client, 'DISCARD ALL')
  await untilUnpinned(pontoon, client)
  await pontoon.untilIdle()
})
