/**
 * Prepared statements and DDL, in transaction pooling: after DDL or a side switch "cached plan must
 * not change result type" comes to whom it would come on a connection of its own, and to nobody
 * else; a client never gets other columns than those that it was told.
 */
import t from 'tap'
import type { Test } from 'tap'
import {
  bind,
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
import { ask, present, rawClient, rows, sqlstate, startPontoon } from '../../support/pontoon.ts'
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

const firstRow = (messages: readonly BackendMessage[]): (string | null)[] =>
  rowValues(
    present(
      messages.find(({ type }) => type === 'D'),
      `a row in ${summary(messages)} ${sqlstate(messages)}`,
    ),
  )

let tables = 0

/** A table with one column, and DDL that adds another. */
async function table(): Promise<{ sql: string; change: () => Promise<unknown> }> {
  const name = `grows_${(tables += 1)}`
  await server.query(`CREATE TABLE ${name} AS SELECT 1 AS a`)
  return {
    sql: `SELECT * FROM ${name}`,
    change: () => server.query(`ALTER TABLE ${name} ADD COLUMN b int DEFAULT 2`),
  }
}

/** Keeps the server that was used last from the others while the action runs. */
async function onAnotherServer(pontoon: Pontoon, action: () => Promise<unknown>): Promise<void> {
  const holder = await pontoon.client()
  await ask(holder, 'BEGIN')
  await action()
  await ask(holder, 'ROLLBACK')
  holder.wire.destroy()
}

void t.test('who prepares after the DDL never meets a plan from before it', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const { sql, change } = await table()
  const [early, other] = [await pontoon.client(), await pontoon.client()]
  const first = [parse(sql, 'g'), describeStatement('g'), run('g')]
  test.strictSame(firstRow(await batch(early, ...first)), ['1'])
  await onAnotherServer(pontoon, async () => {
    test.strictSame(firstRow(await batch(other, ...first)), ['1'])
  })
  await change()
  // In one batch, in two, behind a Flush, in a pipeline, in a transaction: on both servers.
  const ways: Readonly<Record<string, (client: RawClient) => Promise<BackendMessage[]>>> = {
    'in one batch': (client) => batch(client, parse(sql, 'g'), run('g')),
    'in two batches': async (client) => {
      test.equal(summary(await batch(client, parse(sql, 'g'))), '1Z')
      return batch(client, run('g'))
    },
    'behind a Flush': async ({ wire }) => {
      await wire.send(parse(sql, 'g'), describeStatement('g'), flush())
      await wire.until('T')
      await wire.send(run('g'), sync())
      return wire.until('Z')
    },
    'in a pipeline': async ({ wire }) => {
      await wire.send(parse(sql, 'g'), sync(), run('g'), sync(), run('g'), sync())
      await wire.until('Z')
      await wire.until('Z')
      return wire.until('Z')
    },
    'in a transaction': async (client) => {
      await ask(client, 'BEGIN')
      const answer = await batch(client, parse(sql, 'g'), run('g'))
      await ask(client, 'COMMIT')
      return answer
    },
  }
  for (const [name, way] of Object.entries(ways)) {
    const late = await pontoon.client()
    test.strictSame(firstRow(await way(late)), ['1', '2'], name)
    await onAnotherServer(pontoon, async () => {
      test.strictSame(firstRow(await batch(late, run('g'))), ['1', '2'], `${name}, elsewhere`)
    })
    late.wire.destroy()
  }
})

void t.test('who was told the old columns gets the error of a server of its own', async (test) => {
  for (const describe of [describeStatement('g'), describePortal()]) {
    const pontoon = await pontoonOf(test, 2)
    const { sql, change } = await table()
    const told = await pontoon.client()
    const direct = await rawClient(server.port)
    for (const client of [told, direct])
      await batch(client, parse(sql, 'g'), bind({ statement: 'g' }), describe, execute())
    await change()
    const expected = errorFields(
      present((await batch(direct, run('g'))).find(({ type }) => type === 'E')),
    )
    const error = async (): Promise<Readonly<Record<string, string>>> =>
      errorFields(present((await batch(told, run('g'))).find(({ type }) => type === 'E')))
    const { C: code, M: words, S: severity, R: routine } = expected
    const asExpected = { C: code, M: words, S: severity, R: routine }
    test.match(await error(), asExpected, 'where it was prepared')
    test.match(await error(), asExpected, 'again')
    await onAnotherServer(pontoon, async () => {
      test.match(await error(), asExpected, 'on a server that never had the old plan')
    })
    const late = await pontoon.client()
    test.strictSame(firstRow(await batch(late, parse(sql, 'g'), run('g'))), ['1', '2'])
    test.match(await error(), asExpected, 'where another client has prepared it anew')
    const again = await batch(told, closeStatement('g'), parse(sql, 'g'), run('g'))
    test.strictSame(firstRow(again), ['1', '2'], 'a new Parse helps')
    direct.wire.destroy()
    await pontoon.stop()
  }
})

void t.test('in a transaction the error aborts it, as it would directly', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const { sql, change } = await table()
  const [told, late] = [await pontoon.client(), await pontoon.client()]
  await batch(told, parse(sql, 'g'), describeStatement('g'), run('g'))
  await change()
  await batch(late, parse(sql, 'g'))
  test.equal(sqlstate(await batch(told, run('g'))), '0A000')
  await ask(told, 'BEGIN')
  test.equal(sqlstate(await batch(told, run('g'))), '0A000')
  for (const again of [run('g'), describeStatement('g')])
    test.equal(sqlstate(await batch(told, again)), '25P02')
  test.equal(sqlstate(await ask(told, 'SELECT 1')), '25P02')
  await ask(told, 'ROLLBACK')
  test.strictSame(await rows(told, sql), [['1', '2']])
})

void t.test('who was told nothing goes on after one error of the server', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const { sql, change } = await table()
  const client = await pontoon.client()
  await batch(client, parse(sql, 'g'), run('g'))
  await change()
  test.equal(sqlstate(await batch(client, run('g'))), '0A000', 'as it would directly')
  test.strictSame(firstRow(await batch(client, run('g'))), ['1', '2'])
})

void t.test(
  'the same columns are no change: other servers, formats and a pipeline',
  async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const { sql, change } = await table()
    const [a, b] = [await pontoon.client(), await pontoon.client()]
    for (const client of [a, b])
      await batch(client, parse(sql, 'g'), describeStatement('g'), run('g'))
    await server.query(`ALTER TABLE grows_${tables} ADD CONSTRAINT c CHECK (a > 0)`)
    for (let round = 0; round < 3; round += 1) {
      await onAnotherServer(pontoon, async () => {
        await a.wire.send(run('g'), sync(), bind({ statement: 'g' }), describePortal())
        await a.wire.send(execute(), sync(), query('SELECT 1'))
        test.equal(summary(await a.wire.until('Z')), '2DCZ')
        test.equal(summary(await a.wire.until('Z')), '2TDCZ')
        test.equal(summary(await a.wire.until('Z')), 'TDCZ')
      })
      // Prepares anew on whatever server comes first, under the others.
      const late = await pontoon.client()
      test.strictSame(firstRow(await batch(late, parse(sql, 'g'), run('g'))), ['1'])
      late.wire.destroy()
      test.strictSame(firstRow(await batch(b, run('g'))), ['1'])
    }
    await change()
  },
)

void t.test(
  'a side switch: re-prepared without a word, types of users have other OIDs',
  async (test) => {
    const target = await startPostgres({ major: 15, auth: 'trust' })
    test.teardown(() => target.stop())
    const made = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE moods (m mood, n int)"
    await target.query('CREATE TABLE spent_an_oid (n int)')
    for (const side of [server, target]) {
      await side.query(made)
      await side.query("INSERT INTO moods VALUES ('glad', 3)")
    }
    const pontoon = await startPontoon({ source: server, target, pool: { size: 1 } })
    test.teardown(() => pontoon.stop())
    const client = await pontoon.client()
    const first = [parse('SELECT * FROM moods', 'm'), describeStatement('m'), run('m')]
    test.strictSame(firstRow(await batch(client, ...first)), ['glad', '3'])
    pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 2, primary: 'target' })
    test.strictSame(firstRow(await batch(client, run('m'))), ['glad', '3'])
    await target.query('ALTER TABLE moods ALTER n TYPE bigint')
    await batch(await pontoon.client(), parse('SELECT * FROM moods', 'm'))
    test.equal(sqlstate(await batch(client, run('m'))), '0A000')
  },
)
