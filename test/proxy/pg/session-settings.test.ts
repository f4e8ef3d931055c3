/** Settings in transaction pooling: they are the client's, on whatever server, and nobody else's. */
import t from 'tap'
import type { Test } from 'tap'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import {
  ask,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  until,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query(`
  CREATE ROLE limited; CREATE ROLE short_lived; CREATE ROLE other_dba SUPERUSER; CREATE SCHEMA "odd, name"; CREATE SCHEMA other;
  CREATE TABLE "odd, name".where_am_i AS SELECT 'odd' AS it;
  CREATE TABLE other.where_am_i AS SELECT 'other' AS it`)

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const show = (client: RawClient, name: string): Promise<string | null> =>
  value(client, `SELECT current_setting('${name}', true)`)

/** The answer on one server and, while that one is taken, on another. */
async function everywhere(
  pontoon: Pontoon,
  client: RawClient,
  sql: string,
): Promise<(string | null)[]> {
  const here = await value(client, sql)
  const holder = await pontoon.client()
  await ask(holder, 'BEGIN')
  const there = await value(client, sql)
  await ask(holder, 'ROLLBACK')
  holder.wire.destroy()
  return [here, there]
}

void t.test('SET follows its client across servers and reaches nobody else', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, "SET statement_timeout = '7s'")
  const asked = "SELECT current_setting('statement_timeout')"
  test.strictSame(await everywhere(pontoon, a, asked), ['7s', '7s'])
  test.strictSame(await everywhere(pontoon, b, asked), ['0', '0'])
  await rows(a, 'RESET statement_timeout')
  test.strictSame(await everywhere(pontoon, a, asked), ['0', '0'])
  test.equal(pontoon.service.snapshot().clients.pinned, 0)
})

void t.test('a SET by the extended protocol', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await a.wire.send(parse("SET work_mem = '5MB'", 'set'), sync())
  await a.wire.until('Z')
  test.equal(await show(b, 'work_mem'), '4MB', 'Parse alone sets nothing')
  await a.wire.send(bind({ statement: 'set' }), execute(), sync())
  await a.wire.until('Z')
  test.equal(await show(b, 'work_mem'), '4MB')
  test.equal(await show(a, 'work_mem'), '5MB')
})

void t.test('a SET that was rolled back, or LOCAL, is none', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const client = await pontoon.client()
  const asked = "SELECT current_setting('work_mem')"
  await ask(client, 'BEGIN')
  await rows(client, "SET work_mem = '9MB'")
  test.equal(await value(client, asked), '9MB')
  await ask(client, 'ROLLBACK')
  test.strictSame(await everywhere(pontoon, client, asked), ['4MB', '4MB'])
  await rows(client, "BEGIN; SET LOCAL work_mem = '8MB'")
  test.equal(await value(client, asked), '8MB')
  await ask(client, 'COMMIT')
  test.strictSame(await everywhere(pontoon, client, asked), ['4MB', '4MB'])
  await rows(client, "BEGIN; SET work_mem = '6MB'; SAVEPOINT s; SET work_mem = '7MB'")
  await ask(client, 'ROLLBACK TO s; COMMIT')
  test.strictSame(await everywhere(pontoon, client, asked), ['6MB', '6MB'])
  await ask(client, "SET work_mem = '7MB'; SELECT 1/0")
  test.strictSame(await everywhere(pontoon, client, asked), ['6MB', '6MB'], 'an error rolls back')
})

void t.test(
  'a timeout of the client does not cut off the question what it has set',
  async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const [client, holder] = [await pontoon.client(), await rawClient(server.port)]
    test.teardown(() => holder.wire.destroy())
    await ask(holder, 'BEGIN; LOCK TABLE pg_catalog.pg_locks IN ACCESS EXCLUSIVE MODE')
    await rows(client, "SET statement_timeout = '200ms'; SET work_mem = '5MB'")
    const asked = `SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%SET LOCAL statement_timeout%'`
    await until(async () => (await server.query(asked)).length === 1, 'it is asked again')
    await ask(holder, 'ROLLBACK')
    holder.wire.destroy()
    await pontoon.untilIdle()
    test.equal(pontoon.service.snapshot().clients.pinned, 0)
    test.equal(await value(client, 'SHOW statement_timeout'), '200ms')
    const both = "SELECT current_setting('statement_timeout') || current_setting('work_mem')"
    test.strictSame(await everywhere(pontoon, client, both), ['200ms5MB', '200ms5MB'])
  },
)

void t.test('a transaction_timeout does not end its session at that question', async (test) => {
  const newer = await startPostgres({ major: 18, auth: 'trust' })
  test.teardown(() => newer.stop())
  const pontoon = await startPontoon({ source: newer, pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  const [client, holder] = [await pontoon.client(), await rawClient(newer.port)]
  test.teardown(() => holder.wire.destroy())
  await ask(holder, 'BEGIN; LOCK TABLE pg_catalog.pg_locks IN ACCESS EXCLUSIVE MODE')
  await rows(client, "SET transaction_timeout = '60ms'; SET work_mem = '5MB'")
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND clock_timestamp() - query_start > '200ms'`
  await until(async () => (await newer.query(waiting)).length === 1, 'the question is held up')
  await ask(holder, 'ROLLBACK')
  holder.wire.destroy()
  const both = "SELECT current_setting('transaction_timeout') || current_setting('work_mem')"
  test.strictSame(await everywhere(pontoon, client, both), ['60ms5MB', '60ms5MB'])
  await rows(client, "SET transaction_timeout = '120s'")
  test.strictSame(await everywhere(pontoon, client, both), ['2min5MB', '2min5MB'])
  await rows(client, 'RESET transaction_timeout')
  test.strictSame(await everywhere(pontoon, client, both), ['05MB', '05MB'])
  test.equal(pontoon.service.snapshot().clients.pinned, 0)
})

void t.test('search_path is a list', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const client = await pontoon.client()
  await rows(client, 'SET search_path = "odd, name", public')
  const asked = 'SELECT it FROM where_am_i'
  test.strictSame(await everywhere(pontoon, client, asked), ['odd', 'odd'])
  await rows(client, 'SET search_path TO other, "odd, name"')
  test.strictSame(await everywhere(pontoon, client, asked), ['other', 'other'])
})

void t.test('custom settings, set_config and odd values', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, "SET app.tenant = 'anna'")
  await rows(b, "SELECT set_config('app.tenant', $x$O'Brien \\ \"bob\"$x$, false)")
  const asked = "SELECT current_setting('app.tenant', true)"
  test.strictSame(await everywhere(pontoon, a, asked), ['anna', 'anna'])
  test.strictSame(await everywhere(pontoon, b, asked), ['O\'Brien \\ "bob"', 'O\'Brien \\ "bob"'])
  const stranger = await pontoon.client()
  test.notOk(await value(stranger, asked), "nobody's setting is a stranger's")
  await rows(a, "SELECT set_config('app.tenant', 'local', true)")
  test.strictSame(await everywhere(pontoon, a, asked), ['anna', 'anna'])
  await rows(a, 'RESET app.tenant')
  const gone = await everywhere(pontoon, a, asked)
  test.ok(gone.every((one) => one === null || one === ''))
})

void t.test('SET ROLE and SESSION AUTHORIZATION', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  const asked = 'SELECT current_user'
  await rows(a, 'SET ROLE limited')
  test.strictSame(await everywhere(pontoon, a, asked), ['limited', 'limited'])
  test.strictSame(await everywhere(pontoon, b, asked), ['postgres', 'postgres'])
  await rows(a, "SET work_mem = '5MB'")
  test.strictSame(await everywhere(pontoon, a, asked), ['limited', 'limited'])
  await rows(a, 'RESET ROLE')
  test.strictSame(await everywhere(pontoon, a, asked), ['postgres', 'postgres'])
  await rows(a, 'SET SESSION AUTHORIZATION limited')
  test.strictSame(await everywhere(pontoon, a, 'SELECT session_user'), ['limited', 'limited'])
  test.strictSame(await everywhere(pontoon, b, 'SELECT session_user'), ['postgres', 'postgres'])
})

void t.test('UPDATE of pg_settings sets as well', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  const asked = 'SHOW work_mem'
  const before = await value(b, asked)
  await rows(a, "UPDATE pg_settings SET setting = '5120' WHERE name = 'work_mem'")
  test.strictSame(await everywhere(pontoon, b, asked), [before, before])
  test.strictSame(await everywhere(pontoon, a, asked), ['5MB', '5MB'])
})

void t.test('a role stays in force on every server, whoever the session user is', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  const asked = "SELECT session_user || ' ' || current_user"
  await rows(a, 'SET ROLE limited')
  await ask(a, 'BEGIN; SET SESSION AUTHORIZATION short_lived; ROLLBACK')
  test.strictSame(await everywhere(pontoon, a, asked), Array(2).fill('postgres limited'))
  await rows(b, 'SET SESSION AUTHORIZATION other_dba; SET ROLE limited')
  for (const [client, user] of [
    [b, 'other_dba'],
    [a, 'postgres'],
    [b, 'other_dba'],
  ] as const)
    test.strictSame(await everywhere(pontoon, client, asked), Array(2).fill(`${user} limited`))
})

void t.test('a setting that a server refuses never leaves the query without it', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, 'SET ROLE short_lived')
  await ask(b, 'SELECT 1')
  await server.query('DROP ROLE short_lived')
  await a.wire.send(query('SELECT current_user'))
  const messages = await a.wire.until('E')
  test.notOk(
    messages.some(({ type }) => type === 'D'),
    'the query did not run as somebody else',
  )
  test.equal(await value(b, 'SELECT current_user'), 'postgres')
})

for (const sql of ['RESET ALL', 'DISCARD ALL']) {
  void t.test(`${sql} goes back to what the client started with`, async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const client = await pontoon.client({
      parameters: { options: '-c work_mem=5MB -c app.tenant=t1', application_name: 'mine' },
    })
    await rows(client, "SET work_mem = '9MB'; SET statement_timeout = 1000; SET app.tenant = 't2'")
    test.equal(sqlstate(await ask(client, sql)), '')
    const asked = `SELECT concat_ws(' ', current_setting('work_mem'),
      current_setting('statement_timeout'), current_setting('app.tenant'),
      current_setting('application_name'))`
    test.strictSame(await everywhere(pontoon, client, asked), ['5MB 0 t1 mine', '5MB 0 t1 mine'])
  })
}

void t.test('startup parameters', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const plain = await pontoon.client()
  const set = await pontoon.client({
    parameters: {
      options: '-c statement_timeout=4s --work-mem=6MB -c app.note=a\\ b\\\\c',
      DateStyle: 'German',
      TimeZone: 'Asia/Tokyo',
      extra_float_digits: '0',
    },
  })
  for (let round = 0; round < 2; round += 1) {
    test.equal(await show(set, 'statement_timeout'), '4s')
    test.equal(await show(set, 'work_mem'), '6MB')
    test.equal(await show(set, 'app.note'), 'a b\\c')
    test.equal(await value(set, "SELECT '2020-02-01'::date::text"), '01.02.2020')
    test.equal(await show(plain, 'statement_timeout'), '0')
    test.equal(await value(plain, "SELECT '2020-02-01'::date::text"), '2020-02-01')
  }
  test.equal(set.parameters['TimeZone'], 'Asia/Tokyo', 'as the server would report it')
  test.equal(plain.parameters['TimeZone'], 'UTC')
})

void t.test('options that are no settings open a server of their own', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client({ parameters: { options: '-e -c work_mem=6MB' } })
  test.equal(await show(client, 'work_mem'), '6MB')
  const plain = await pontoon.client()
  test.equal(await show(plain, 'work_mem'), '4MB')
})

void t.test('a bad startup parameter gives the error of the server', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  for (const parameters of [
    { options: '-c no_such_setting=1' },
    { work_mem: 'lots' },
    { TimeZone: 'Moon/Base' },
  ]) {
    const outcome = (port: number): Promise<string> =>
      rawClient(port, { parameters }).then(() => 'no error', String)
    test.equal(await outcome(pontoon.port), await outcome(server.port))
  }
  await pontoon.untilIdle()
  test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
})

void t.test("application_name is each client's own, for the server too", async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const a = await pontoon.client({ parameters: { application_name: 'a' } })
  const b = await pontoon.client({ parameters: { application_name: 'b' } })
  const asked = 'SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()'
  for (let round = 0; round < 2; round += 1) {
    test.equal(await value(a, asked), 'a')
    test.equal(await value(b, asked), 'b')
  }
  await rows(a, "SET application_name = 'changed'")
  test.equal(await value(b, asked), 'b')
  test.equal(await value(a, asked), 'changed')
  const names = pontoon.service.clients(10).map(({ applicationName }) => applicationName)
  test.strictSame(names.toSorted(), ['b', 'changed'])
})

void t.test('ParameterStatus tells what differs on another server', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  const told = await ask(a, "SET TimeZone = 'Asia/Tokyo'")
  test.ok(told.some(({ type, body }) => type === 'S' && body.includes('Asia/Tokyo')))
  const others = await ask(b, 'SELECT 1')
  test.notOk(
    others.some(({ type }) => type === 'S'),
    "a's change is none of b's",
  )
  const again = await ask(a, 'SELECT 1')
  test.notOk(
    again.some(({ type }) => type === 'S'),
    'a knows already',
  )
  test.equal(await value(a, 'SHOW TimeZone'), 'Asia/Tokyo')

  // The server itself changes for everyone.
  await server.query("ALTER SYSTEM SET DateStyle = 'SQL'")
  await server.query('SELECT pg_reload_conf()')
  let heard = false
  await until(async () => {
    heard ||= (await ask(b, 'SELECT 1')).some(
      ({ type, body }) => type === 'S' && body.includes('SQL'),
    )
    return heard
  }, 'b to be told')
  test.ok(heard)
  await server.query('ALTER SYSTEM RESET ALL')
})

void t.test(
  'settings of the server that are refused by the client are no settings of ours',
  async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const client = await pontoon.client()
    const failed = await ask(client, 'SET no_such_setting = 1')
    test.equal(sqlstate(failed), '42704')
    test.strictSame(await rows(client, 'SELECT 1'), [['1']])
    await pontoon.untilIdle()
  },
)
