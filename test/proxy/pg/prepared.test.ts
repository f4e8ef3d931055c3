/** Prepared statements in transaction pooling: a client's names are its own, on whatever server. */
import t from 'tap'
import type { Test } from 'tap'
import {
  bind,
  closePortal,
  closeStatement,
  describePortal,
  describeStatement,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { errorFields, rowValues, summary } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import {
  ask,
  present,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { isRefusedAsItsParse } from './exceptions.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

/** Sends a batch with its Sync and gives everything up to ReadyForQuery. */
async function batch({ wire }: RawClient, ...parts: readonly Buffer[]): Promise<BackendMessage[]> {
  await wire.send(...parts, sync())
  return wire.until('Z')
}

const run = (statement: string, ...values: readonly string[]): Buffer =>
  Buffer.concat([bind({ statement, values }), execute()])

const firstValue = (messages: readonly BackendMessage[]): string | null => {
  const row = messages.find((message) => message.type === 'D')
  return row === undefined
    ? `no row: ${summary(messages)} ${sqlstate(messages)}`
    : (rowValues(row)[0] ?? null)
}

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

/**
 * Runs `action` while the server that this client used last is taken by somebody else, so that
 * the pool gives it another one.
 */
async function onAnotherServer<T>(pontoon: Pontoon, action: () => Promise<T>): Promise<T> {
  const holder = await pontoon.client()
  await ask(holder, 'BEGIN')
  try {
    return await action()
  } finally {
    await ask(holder, 'ROLLBACK')
    holder.wire.destroy()
  }
}

void t.test('the same name with different texts in two clients', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  test.equal(summary(await batch(a, parse('SELECT 1', 's1'))), '1Z')
  test.equal(summary(await batch(b, parse('SELECT $1::int * 2', 's1'))), '1Z')
  for (let round = 0; round < 2; round += 1) {
    test.equal(firstValue(await batch(a, run('s1'))), '1')
    test.equal(firstValue(await batch(b, run('s1', '21'))), '42')
  }
  await batch(a, closeStatement('s1'))
  test.equal(firstValue(await batch(b, run('s1', '2'))), '4', "a's Close is not b's")
  test.equal(sqlstate(await batch(a, run('s1'))), '26000')
})

void t.test('a statement survives the change of its server', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const client = await pontoon.client()
  await batch(client, parse('SELECT pg_backend_pid() + $1::int', 'pid'))
  const here = firstValue(await batch(client, run('pid', '0')))
  await onAnotherServer(pontoon, async () => {
    const messages = await batch(client, run('pid', '0'))
    test.equal(summary(messages), '2DCZ', 'the Parse on the new server shows nothing')
    test.not(firstValue(messages), here)
    const described = await batch(client, describeStatement('pid'))
    test.equal(summary(described), 'tTZ')
  })
  await onAnotherServer(pontoon, async () => {
    const [second, third] = [run('pid', '0'), run('pid', '0')]
    test.equal(summary(await batch(client, second, third)), '2DC2DCZ')
  })
})

void t.test('Close of a portal does not close the statement of the same name', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await batch(client, parse('SELECT 7', 'x'))
  const named = [bind({ portal: 'x', statement: 'x' }), describePortal('x'), execute('x')]
  test.equal(summary(await batch(client, ...named, closePortal('x'))), '2TDC3Z')
  test.equal(firstValue(await batch(client, run('x'))), '7')
  test.equal(summary(await batch(client, closeStatement('x'))), '3Z')
  test.equal(sqlstate(await batch(client, run('x'))), '26000')
})

void t.test('Close of an unknown name is no error', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  test.equal(summary(await batch(client, closeStatement('never'), closePortal('never'))), '33Z')
})

void t.test('a name in use gives 42P05, also when its text is known', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await batch(client, parse('SELECT 1', 'dup'))
  test.equal(sqlstate(await batch(client, parse('SELECT 2', 'dup'))), '42P05')
  test.equal(sqlstate(await batch(client, parse('SELECT 1', 'dup'))), '42P05')
  test.equal(firstValue(await batch(client, run('dup'))), '1', 'the first one is still there')
})

void t.test('a failed Parse is not remembered', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  test.equal(sqlstate(await batch(client, parse('SELECT * FROM later', 'late'))), '42P01')
  test.equal(sqlstate(await batch(client, run('late'))), '26000')
  await server.query('CREATE TABLE later AS SELECT 5 AS five')
  const again = await batch(client, parse('SELECT * FROM later', 'late'), run('late'))
  test.equal(firstValue(again), '5')
})

void t.test('a Parse in a failed batch is void', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  // The text is known on the server already, so that nothing would have to be prepared.
  await batch(other, parse('SELECT 3', 'known'))
  const failing = parse('SELEC', 'bad')
  test.equal(summary(await batch(client, failing, parse('SELECT 3', 'a'), run('a'))), 'EZ')
  test.equal(sqlstate(await batch(client, run('a'))), '26000')
  test.equal(firstValue(await batch(client, parse('SELECT 3', 'a'), run('a'))), '3')
  await client.wire.send(parse('SELEC', 'bad'), flush())
  await client.wire.until('E')
  test.equal(summary(await batch(client, parse('SELECT 4', 'b'), parse('SELECT 3', 'c'))), 'Z')
  test.equal(sqlstate(await batch(client, run('b'))), '26000')
  for (const name of ['b', 'c']) {
    const messages = await batch(client, parse('SELECT 3', name), run(name))
    test.equal(firstValue(messages), '3', `${name} was never made`)
  }
})

void t.test('a Close in a failed batch is void', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await batch(client, parse('SELECT 1', 'kept'))
  test.equal(summary(await batch(client, parse('SELEC'), closeStatement('kept'))), 'EZ')
  test.equal(firstValue(await batch(client, run('kept'))), '1')
  const replaced = [closeStatement('kept'), parse('SELECT 2', 'kept')]
  test.equal(summary(await batch(client, parse('SELEC'), ...replaced)), 'EZ')
  test.equal(firstValue(await batch(client, run('kept'))), '1', 'Close and Parse undone in turn')
  test.equal(summary(await batch(client, ...replaced)), '31Z')
  test.equal(firstValue(await batch(client, run('kept'))), '2')
})

void t.test('the unnamed statement follows its client across Sync and servers', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await batch(a, parse('SELECT 1 + $1::int'))
  await batch(b, parse('SELECT 2 * $1::int'))
  test.equal(firstValue(await batch(a, run('', '1'))), '2')
  test.equal(firstValue(await batch(b, run('', '5'))), '10')
  await onAnotherServer(pontoon, async () => {
    test.equal(summary(await batch(a, describeStatement(), run('', '2'))), 'tT2DCZ')
  })
  test.equal(firstValue(await batch(a, run('', '3'))), '4')
  await ask(a, 'SELECT 1')
  test.equal(sqlstate(await batch(a, run('', '3'))), '26000', 'a simple Query drops it')
})

void t.test("a stranger's unnamed statement is never visible", async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await batch(a, parse("SELECT 'secret of a'"))
  test.equal(sqlstate(await batch(b, run(''))), '26000')
  test.equal(sqlstate(await batch(b, describeStatement())), '26000')
  test.equal(sqlstate(await batch(b, run('pontoon_1'))), '26000', 'a name of ours')
})

void t.test('nor is one that an ignored Close or Query was to take away', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b, c] = [await pontoon.client(), await pontoon.client(), await pontoon.client()]
  for (const ignored of [closeStatement(), query('SELECT 2'), parse('SELECT 3')]) {
    test.equal(firstValue(await batch(a, parse('SELECT 1'), run(''))), '1')
    const refused = await batch(b, parse('SELEC', 'x'), ignored)
    test.equal(sqlstate(refused), '42601')
    test.equal(sqlstate(await batch(c, run(''))), '26000')
  }
  for (const { wire } of [a, b, c]) wire.destroy()
})

for (const sql of ['DEALLOCATE ALL', 'DISCARD ALL']) {
  void t.test(`${sql} drops the statements of this client only`, async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const [a, b] = [await pontoon.client(), await pontoon.client()]
    for (const client of [a, b]) {
      await batch(client, parse('SELECT 1', 'one'), parse('SELECT 2', 'two'))
    }
    test.equal(sqlstate(await ask(a, sql)), '')
    test.equal(sqlstate(await batch(a, run('one'))), '26000')
    test.equal(firstValue(await batch(a, parse('SELECT 1', 'one'), run('one'))), '1')
    test.equal(firstValue(await batch(b, run('one'))), '1')
    test.equal(firstValue(await batch(b, run('two'))), '2')
    // The same by the extended protocol, pipelined with what uses a statement.
    test.equal(
      summary(await batch(b, parse(sql), run(''), parse('SELECT 9', 'n'), run('n'))),
      '12C12DCZ',
    )
    test.equal(firstValue(await batch(b, run('n'))), '9')
  })
}

void t.test('more statements than a server keeps', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const count = 620
  const parses = Array.from({ length: count }, (_, index) => parse(`SELECT ${index}`, `s${index}`))
  test.equal(summary(await batch(client, ...parses)), `${'1'.repeat(count)}Z`)
  const kept = await value(client, 'SELECT count(*) FROM pg_prepared_statements')
  test.ok(Number(kept) <= 500, `${kept} on the server`)
  const runs = Array.from({ length: count }, (_, index) => run(`s${index}`))
  const messages = await batch(client, ...runs)
  const found = messages.filter(({ type }) => type === 'D').map((row) => rowValues(row)[0])
  test.strictSame(
    found,
    runs.map((_, index) => `${index}`),
  )
})

void t.test(
  'a statement that was to be closed in a failed batch is not lost track of',
  async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const client = await pontoon.client()
    const parses = Array.from({ length: 500 }, (_, index) => parse(`SELECT ${index}`, `s${index}`))
    await batch(client, ...parses)
    // Makes room for a new one, which the server ignores as it ignores the rest of the batch.
    test.equal(summary(await batch(client, parse('SELEC'), parse('SELECT 500', 's500'))), 'EZ')
    test.equal(firstValue(await batch(client, run('s0'))), '0')
    await client.wire.send(parse('SELEC'), flush())
    await client.wire.until('E')
    test.equal(summary(await batch(client, parse('SELECT 501', 's501'))), 'Z')
    for (const name of ['s0', 's1', 's2']) {
      test.equal(firstValue(await batch(client, run(name))), name.slice(1))
    }
  },
)

void t.test(
  'a literal is read as the client reads it, whoever prepared the same text',
  async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const utc = await pontoon.client({ parameters: { TimeZone: 'UTC' } })
    const tokyo = await pontoon.client({ parameters: { TimeZone: 'Asia/Tokyo' } })
    const sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int"
    const inUtc = firstValue(await batch(utc, parse(sql, 'n'), run('n')))
    const inTokyo = firstValue(await batch(tokyo, parse(sql, 'n'), run('n')))
    test.equal(inUtc, '1577836800')
    test.equal(inTokyo, String(1_577_836_800 - 9 * 3_600))
  },
)

void t.test('after DDL a new client gets the new columns', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  await server.query('CREATE TABLE grows AS SELECT 1 AS a')
  const early = await pontoon.client()
  const sql = 'SELECT * FROM grows'
  test.equal(firstValue(await batch(early, parse(sql, 'g'), run('g'))), '1')
  await server.query('ALTER TABLE grows ADD COLUMN b int DEFAULT 2')
  test.equal(sqlstate(await batch(early, run('g'))), '0A000', 'as with a server of its own')
  const late = await pontoon.client()
  const messages = await batch(late, parse(sql, 'g'), run('g'))
  test.strictSame(
    rowValues(
      present(
        messages.find(({ type }) => type === 'D'),
        summary(messages),
      ),
    ),
    ['1', '2'],
  )
  test.strictSame(await rows(late, sql), [['1', '2']])
})

void t.test('an error names what the client can understand', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const messages = await batch(client, run('nobody'))
  const error = errorFields(present(messages.find(({ type }) => type === 'E')))
  test.match(error, { C: '26000', M: 'prepared statement "nobody" does not exist' })
  await client.wire.send(query('SELECT 1'))
  await client.wire.until('Z')
})

const inLatin1 = (messages: readonly BackendMessage[]): string[] =>
  messages.map(({ type, body }) => type + body.toString('latin1'))

void t.test('in a failed transaction what is not on its server is refused', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const other = await pontoon.client()
  /** Prepares, loses the server to somebody else, fails in a transaction, and uses the statement. */
  const used = async (client: RawClient, name: string, sql: string, use: Buffer) => {
    await batch(client, parse(sql, name))
    await ask(other, 'DEALLOCATE ALL')
    await batch(other, parse('SELECT 7'))
    await batch(
      client,
      parse('BEGIN', 'begin'),
      run('begin'),
      parse('SELECT 1/0', 'bad'),
      run('bad'),
    )
    const answer = await batch(client, use)
    client.wire.destroy()
    return answer
  }
  for (const name of ['', 's1']) {
    const wrong = bind({ statement: name, values: ['x'] })
    const refused: readonly (readonly [string, Buffer])[] = [
      ['SELECT 1', wrong],
      ['SELECT 1', run(name)],
      ['SELECT 1', describeStatement(name)],
      ['START TRANSACTION', describeStatement(name)],
    ]
    for (const [sql, use] of refused) {
      const direct = await used(await rawClient(server.port), name, sql, use)
      const through = await used(await pontoon.client(), name, sql, use)
      test.equal(sqlstate(through), '25P02')
      test.ok(isRefusedAsItsParse(inLatin1(direct)[0] ?? '', inLatin1(through)[0] ?? ''), sql)
      test.equal(inLatin1(through).at(-1), 'ZE')
    }
    for (const use of [wrong, run(name), describeStatement(name)])
      test.strictSame(
        await used(await pontoon.client(), name, 'ROLLBACK', use),
        await used(await rawClient(server.port), name, 'ROLLBACK', use),
        'what ends the transaction is parsed, and used, all the same',
      )
  }
})
