/**
 * Traps of the state machine, of injected messages and of asynchronous ones that proxies have
 * fallen into, in transaction pooling, each against a real server. What else is known to go wrong
 * has its test where its subject is: prepared, ddl, pins, session-settings, listen, faults.
 */
import t from 'tap'
import type { Test } from 'tap'
import {
  bind,
  copyData,
  copyDone,
  copyFail,
  describePortal,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { rowValues, summary } from '../../support/pg-wire.ts'
import { ask, present, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE kept (n int); CREATE TABLE filled (n int)')

const run = (name: string): Buffer => Buffer.concat([bind({ statement: name }), execute()])

async function pontoonOf(test: Test, size = 1): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

void t.test('never release at the first ReadyForQuery', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(
    query("SELECT 'a'"),
    query('SELECT pg_sleep(0.05)'),
    Buffer.concat([parse("SELECT 'b'"), bind(), execute(), sync()]),
    query("SELECT 'c'"),
  )
  await other.wire.send(query("SELECT 'of the other'"))
  for (const expected of ['TDCZ', 'TDCZ', '12DCZ', 'TDCZ'])
    test.equal(summary(await client.wire.until('Z')), expected)
  const found = await other.wire.until('Z')
  test.strictSame(rowValues(present(found[1])), ['of the other'])
})

void t.test('tell Query-owed from Sync-owed ReadyForQuery', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  // After the error everything is discarded until Sync, the simple Query too: one ReadyForQuery.
  await client.wire.send(parse('SELEC'), query('INSERT INTO kept VALUES (1)'), bind(), sync())
  test.equal(summary(await client.wire.until('Z')), 'EZ')
  test.equal(await value(other, 'SELECT count(*) FROM kept'), '0')
  test.notOk(client.wire.pending)
  test.equal(await value(client, "SELECT 'next'"), 'next', 'replies are not shifted by one')
})

void t.test('Sync may come after the error', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(parse('SELEC'), flush())
  test.equal(summary(await client.wire.until('E')), 'E')
  const asked = ask(other, 'SELECT 1')
  await client.wire.send(bind(), execute())
  await client.wire.send(sync())
  test.equal(summary(await client.wire.until('Z')), 'Z')
  test.equal(summary(await asked), 'TDCZ', 'then the server is free')
})

void t.test('do not wait for the server while an unread Sync sits in the socket', async (test) => {
  const pontoon = await pontoonOf(test)
  const client = await pontoon.client()
  const parts = [parse('SELECT $1::text', 'long'), bind({ statement: 'long', values: ['x'] })]
  const bytes = Buffer.concat([...parts, execute(), sync()])
  for (const cut of [1, bytes.length - 3]) {
    await client.wire.send(bytes.subarray(0, cut))
    await new Promise((resolve) => setTimeout(resolve, 20))
    await client.wire.send(bytes.subarray(cut), query('DEALLOCATE ALL'))
    test.equal(summary(await client.wire.until('Z')), '12DCZ')
    test.equal(summary(await client.wire.until('Z')), 'CZ')
  }
})

void t.test('Flush forwards at once; PortalSuspended keeps the transaction open', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(parse('SELECT generate_series(1, 3)'), bind(), execute('', 1), flush())
  test.equal(summary(await client.wire.until('s')), '12Ds')
  const asked = ask(other, 'SELECT 1')
  await client.wire.send(execute('', 1), flush())
  test.equal(summary(await client.wire.until('s')), 'Ds', 'the portal is still there')
  test.notOk(other.wire.pending, 'nobody else got that server')
  await client.wire.send(execute(), sync())
  test.equal(summary(await client.wire.until('Z')), 'DCZ')
  test.equal(summary(await asked), 'TDCZ')
})

void t.test('FunctionCall also yields ReadyForQuery', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  const oid = Number(await value(client, "SELECT 'pg_catalog.sqrt(float8)'::regprocedure::oid"))
  const four = Buffer.alloc(8)
  four.writeDoubleBE(4)
  const argument = Buffer.concat([int16(1), int16(1), int16(1), int32(8), four, int16(1)])
  await client.wire.send(message('F', int32(oid), argument), query('SELECT 1'))
  test.equal(summary(await client.wire.until('Z')), 'VZ')
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')
  test.equal(await value(other, 'SELECT 1'), '1')
  await pontoon.untilIdle()
})

void t.test(
  'an implicit transaction spans a pipeline: an injected Sync commits early',
  async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const [client, holder] = [await pontoon.client(), await pontoon.client()]
    await client.wire.send(
      parse('SELECT 1', 'a'),
      parse('INSERT INTO kept VALUES (2)', 'b'),
      sync(),
    )
    await client.wire.until('Z')
    // On another server, so that statements are injected amid the batch.
    await ask(holder, 'BEGIN')
    const batch = [bind({ statement: 'b' }), execute(), bind({ statement: 'a' }), execute()]
    await client.wire.send(...batch, parse('SELECT 1/0'), bind(), execute(), sync())
    const answer = await client.wire.until('Z')
    test.equal(summary(answer), '2C2DC1EZ')
    await ask(holder, 'ROLLBACK')
    test.equal(await value(client, 'SELECT count(*) FROM kept'), '0', 'all of it is rolled back')
  },
)

void t.test('a BEGIN answered locally: Describe of it is answered too', async (test) => {
  const pontoon = await startPontoon({
    source: server,
    pool: { size: 1 },
    route: { reads: 100 },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  const begin = [parse('BEGIN READ ONLY'), bind(), describePortal(), execute(), sync()]
  await client.wire.send(...begin)
  test.equal(summary(await client.wire.until('Z')), '12nCZ')
  await ask(client, 'COMMIT')
  test.equal(summary(await ask(client, 'BEGIN READ ONLY')), 'CZ')
  await client.wire.send(parse('SELECT 1'), bind(), describePortal(), execute(), sync())
  test.equal(summary(await client.wire.until('Z')), '12TDCZ')
  test.equal(summary(await ask(client, 'COMMIT')), 'CZ')
})

void t.test(
  'replies to injected Parse and Close are swallowed in order, also amid errors',
  async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const [client, holder] = [await pontoon.client(), await pontoon.client()]
    const names = ['a', 'b', 'c']
    await client.wire.send(...names.map((name) => parse(`SELECT '${name}'`, name)), sync())
    await client.wire.until('Z')
    await ask(holder, 'BEGIN')
    const fails = Buffer.concat([parse('SELECT 1/0'), bind(), execute()])
    await client.wire.send(
      run('a'),
      fails,
      run('b'),
      sync(),
      run('b'),
      sync(),
      run('c'),
      fails,
      sync(),
    )
    test.equal(summary(await client.wire.until('Z')), '2DC1EZ')
    test.equal(summary(await client.wire.until('Z')), '2DCZ')
    test.equal(summary(await client.wire.until('Z')), '2DC1EZ')
    await client.wire.send(...names.map(run), sync())
    test.equal(summary(await client.wire.until('Z')), '2DC2DC2DCZ')
  },
)

void t.test('an injected SET runs in a transaction of its own', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await rows(client, "SET work_mem = '7MB'")
  await ask(other, 'SELECT 1')
  await ask(client, 'BEGIN')
  test.equal(await value(client, 'SHOW work_mem'), '7MB')
  await ask(client, 'ROLLBACK')
  test.equal(await value(client, 'SHOW work_mem'), '7MB', 'not rolled back with the user’s')
  await client.wire.send(
    parse('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE'),
    bind(),
    execute(),
    sync(),
  )
  test.equal(sqlstate(await client.wire.until('Z')), '', 'first statement of its transaction')
})

void t.test(
  'NoticeResponse and ParameterStatus come when idle, EOF is found at checkout',
  async (test) => {
    const pontoon = await pontoonOf(test)
    const client = await pontoon.client()
    const pid = await value(client, 'SELECT pg_backend_pid()')
    await server.query("ALTER SYSTEM SET DateStyle = 'German'")
    await server.query('SELECT pg_reload_conf()')
    await until(
      async () => (await value(client, 'SHOW DateStyle'))?.startsWith('German') === true,
      'it',
    )
    test.equal(await value(client, 'SELECT pg_backend_pid()'), pid, 'the same server')
    await server.query('ALTER SYSTEM RESET ALL')
    await server.query('SELECT pg_reload_conf()')
    await server.query('SELECT pg_terminate_backend($1::int)', 'postgres', [pid])
    test.not(await value(client, 'SELECT pg_backend_pid()'), pid, 'no error, another server')
  },
)

void t.test('COPY IN that fails: what is sent after that is drained', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(query('COPY filled FROM STDIN'))
  await client.wire.until('G')
  await client.wire.send(copyData('not a number\n'))
  test.equal(sqlstate(await client.wire.until('Z')), '22P02')
  await client.wire.send(copyData('1\n'), copyData('2\n'), copyDone())
  test.equal(await value(client, "SELECT 'still in step'"), 'still in step')
  test.equal(await value(other, 'SELECT count(*) FROM filled'), '0')
  await client.wire.send(query('COPY filled FROM STDIN'))
  await client.wire.until('G')
  await client.wire.send(copyFail('given up'), query('SELECT 1'))
  test.equal(sqlstate(await client.wire.until('Z')), '57014')
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')
})

void t.test('Syncs during COPY are ignored by the server', async (test) => {
  const pontoon = await pontoonOf(test)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(parse('COPY filled FROM STDIN'), bind(), execute(), sync())
  await client.wire.until('G')
  await client.wire.send(copyData('1\n'), sync(), copyData('2\n'), sync(), copyDone(), sync())
  test.equal(summary(await client.wire.until('Z')), 'CZ')
  test.equal(await value(client, 'SELECT count(*) FROM filled'), '2')
  test.equal(await value(other, "SELECT 'free'"), 'free')
  test.notOk(client.wire.pending, 'one ReadyForQuery')
})
