/**
 * EXECUTE, DEALLOCATE and PREPARE of SQL with the names of statements that were prepared by the
 * protocol, as some drivers (psycopg) use them: as on a connection of one's own.
 */
import t from 'tap'
import type { Test } from 'tap'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { errorFields, rowValues, summary } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { ask, rawClient, rows, sqlstate, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function batch({ wire }: RawClient, ...parts: readonly Buffer[]): Promise<BackendMessage[]> {
  await wire.send(...parts, sync())
  return wire.until('Z')
}

const run = (statement: string): Buffer => Buffer.concat([bind({ statement }), execute()])

/** Types, error words and row values: what a client makes of an answer. */
const told = (messages: readonly BackendMessage[]): string =>
  messages
    .map((message) => {
      if (message.type === 'E') return `E ${errorFields(message)['C']} ${errorFields(message)['M']}`
      if (message.type === 'D') return `D ${rowValues(message).join(',')}`
      if (message.type === 'C') return `C ${message.body.toString('latin1')}`
      return message.type === 'Z' ? `Z${message.body.toString('latin1')}` : message.type
    })
    .join(' ')

type Act = (client: RawClient) => Promise<BackendMessage[]>
const ofText =
  (sql: string): Act =>
  (client) =>
    ask(client, sql)
const ofUnnamed =
  (sql: string): Act =>
  (client) =>
    batch(client, parse(sql), bind(), execute())

/** One write; the server says so many times that it is ready. */
const inOneWrite =
  (readies: number, ...parts: readonly Buffer[]): Act =>
  async ({ wire }) => {
    await wire.send(...parts)
    const messages: BackendMessage[] = []
    for (let count = 0; count < readies; count += 1) messages.push(...(await wire.until('Z')))
    return messages
  }

const scripts: Readonly<Record<string, readonly Act[]>> = {
  'a Query in the open batch that parsed its name': [
    inOneWrite(2, parse('SELECT 1', 'fresh'), query('EXECUTE fresh'), sync()),
    inOneWrite(2, parse('SELECT 2', 'other'), query('PREPARE other AS SELECT 9'), sync()),
    inOneWrite(2, parse('SELECT 3', 'third'), query('DEALLOCATE third'), sync()),
    (client) => batch(client, run('fresh')),
    (client) => batch(client, run('third')),
    // The one before has a Sync, the one of the Query has none yet.
    inOneWrite(3, parse('SELECT 4', 'four'), sync(), parse('BEGIN'), query('EXECUTE s1'), sync()),
  ],
  'a Query that an error of its batch makes void': [
    inOneWrite(
      1,
      parse('SELECT 1', 'kept'),
      bind({ statement: 'nobody' }),
      query('SELECT 1'),
      query('DEALLOCATE s1; SELECT 3'),
      sync(),
    ),
    (client) => batch(client, run('s1')),
    (client) => batch(client, run('kept')),
  ],
  'DEALLOCATE by a simple Query': [
    ofText('DEALLOCATE s1'),
    (client) => batch(client, run('s1')),
    (client) => batch(client, run('S 2')),
    ofText('DEALLOCATE PREPARE "S 2"; SELECT 5'),
    (client) => batch(client, run('S 2')),
    ofText('DEALLOCATE s1'),
    (client) => batch(client, parse('SELECT 7', 's1'), run('s1')),
  ],
  'DEALLOCATE by the extended protocol': [
    ofUnnamed('DEALLOCATE s1'),
    (client) => batch(client, run('s1')),
    ofUnnamed('DEALLOCATE s1'),
    (client) => batch(client, parse('DEALLOCATE "S 2"'), bind(), execute()),
    (client) => batch(client, bind(), execute()),
    (client) => batch(client, parse('SELECT 7', 's1'), run('s1')),
  ],
  'DEALLOCATE in a transaction': [
    ofText('BEGIN'),
    ofText('DEALLOCATE s1'),
    ofText('ROLLBACK'),
    (client) => batch(client, run('s1')),
    ofText('BEGIN'),
    ofText('SELECT 1/0'),
    ofText('DEALLOCATE "S 2"'),
    ofText('ROLLBACK'),
    (client) => batch(client, run('S 2')),
  ],
  EXECUTE: [
    ofText('EXECUTE s1'),
    ofUnnamed('EXECUTE s3(4)'),
    ofText("EXPLAIN (COSTS off) EXECUTE s1; EXECUTE s3('5')"),
    ofText('CREATE TEMP TABLE made ON COMMIT DROP AS EXECUTE s1'),
    ofText('EXECUTE s3(1, 2)'),
    ofText('BEGIN'),
    ofText('SELECT 1/0'),
    ofText('EXECUTE s1'),
    ofText('ROLLBACK'),
    ofText('EXECUTE nobody'),
  ],
  'PREPARE of a name in use': [
    ofText('PREPARE s1 AS SELECT 2'),
    (client) => batch(client, run('s1')),
    ofText('DEALLOCATE ALL'),
    ofText('PREPARE s1 AS SELECT 2'),
    ofText('EXECUTE s1'),
    ofText('DEALLOCATE s1'),
    ofText('EXECUTE s1'),
  ],
}

for (const [name, script] of Object.entries(scripts)) {
  void t.test(name, async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const [direct, through, other] = [
      await rawClient(server.port),
      await pontoon.client(),
      await pontoon.client(),
    ]
    const prepare = (client: RawClient): Promise<BackendMessage[]> =>
      batch(
        client,
        parse('SELECT 1', 's1'),
        parse('SELECT 2', 'S 2'),
        parse('SELECT $1::int', 's3'),
      )
    for (const client of [direct, through, other]) await prepare(client)
    for (const act of script) test.equal(told(await act(through)), told(await act(direct)))
    direct.wire.destroy()
    through.wire.destroy()
    test.equal(summary(await batch(other, run('s1'), run('S 2'))), '2DC2DCZ', "others' stay")
    await pontoon.untilIdle()
  })
}

void t.test('EXECUTE and DEALLOCATE follow their client to another server', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [client, holder] = [await pontoon.client(), await pontoon.client()]
  await batch(client, parse('SELECT pg_backend_pid()', 'pid'))
  const here = await value(client, 'EXECUTE pid')
  await ask(holder, 'BEGIN')
  test.not(await value(client, 'EXECUTE pid'), here)
  test.equal(sqlstate(await ask(client, 'DEALLOCATE pid')), '')
  await ask(holder, 'COMMIT')
  test.equal(sqlstate(await ask(client, 'EXECUTE pid')), '26000')
})

void t.test('a DEALLOCATE that is pipelined with what uses the name', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const { wire } = client
  await wire.send(parse('SELECT 1', 'a'), sync(), query('EXECUTE a'), query('DEALLOCATE a'))
  await wire.send(query('EXECUTE a'), parse('SELECT 2', 'a'), run('a'), sync())
  const answers: string[] = []
  for (let index = 0; index < 5; index += 1) answers.push(summary(await wire.until('Z')))
  test.strictSame(answers, ['1Z', 'TDCZ', 'CZ', 'EZ', '12DCZ'])
})

void t.test("a stranger's statement is not reached by a name of ours", async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [client, stranger] = [await pontoon.client(), await pontoon.client()]
  await batch(client, parse("SELECT 'secret'", 's'))
  for (const sql of ['EXECUTE pontoon_1', 'DEALLOCATE pontoon_1'])
    test.equal(sqlstate(await ask(stranger, sql)), '26000', sql)
  test.equal(summary(await batch(client, run('s'))), '2DCZ')
})

void t.test('unknown statements after a DEALLOCATE that nobody could see', async (test) => {
  await server.query(`CREATE FUNCTION forgets() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END $$`)
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await batch(client, parse('SELECT 1', 's'), run('s'))
  await rows(other, 'DO $$ BEGIN DEALLOCATE ALL; END $$')
  test.equal(summary(await batch(client, run('s'))), '2DCZ', 'in a DO it is found out')
  const third = await pontoon.client()
  await rows(third, 'SELECT forgets()')
  test.equal(sqlstate(await batch(client, run('s'))), '26000')
  test.equal(summary(await batch(client, run('s'))), '2DCZ', 'in a function it costs one error')
})
