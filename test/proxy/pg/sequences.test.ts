/**
 * What sequences gave last is a server's memory, and servers are shared: whoever asks for it never
 * gets what another client has drawn. The pin that follows is in pins.test.ts.
 */
import t from 'tap'
import type { Test } from 'tap'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { ask, rows, sqlstate, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query(`
  CREATE TABLE parents (id serial, note text);
  CREATE TABLE children (parent int);
  CREATE TABLE remembering (parent bigint DEFAULT lastval());
  CREATE VIEW last_drawn AS SELECT lastval()`)

interface Pair {
  readonly pontoon: Pontoon
  readonly client: RawClient
  readonly other: RawClient
}

/** Two clients of one server; the one has drawn something, and the other after it. */
async function bothHaveDrawn(test: Test): Promise<Pair> {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
  test.teardown(() => pontoon.stop())
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  test.teardown(() => [client, other].forEach(({ wire }) => wire.destroy()))
  await rows(client, 'INSERT INTO parents DEFAULT VALUES')
  await rows(other, 'INSERT INTO parents DEFAULT VALUES')
  return { pontoon, client, other }
}

const insertChild = "INSERT INTO children VALUES (currval('parents_id_seq'))"

/** The texts of one pipeline each, of which the last one asks. */
const askedFirst: Readonly<Record<string, readonly (readonly Buffer[])[]>> = {
  'an INSERT': [[query(insertChild)]],
  'an INSERT by the extended protocol': [[parse(insertChild), bind(), execute(), sync()]],
  'an INSERT with a query': [
    [query('WITH made AS (INSERT INTO children VALUES (1)) SELECT lastval()')],
  ],
  'a transaction that begins with it': [[query('BEGIN')], [query('SELECT lastval()')]],
  'a transaction whose BEGIN goes with it': [[query('BEGIN;'), query('SELECT lastval()')]],
  'a transaction in the words of the standard, by the extended protocol': [
    [query('START TRANSACTION ISOLATION LEVEL SERIALIZABLE')],
    [parse('SELECT lastval()', 'named'), bind({ statement: 'named' }), execute(), sync()],
  ],
}

for (const [way, pipelines] of Object.entries(askedFirst)) {
  void t.test(`what another client has drawn is not in ${way}`, async (test) => {
    const { client } = await bothHaveDrawn(test)
    const states: string[] = []
    for (const pipeline of pipelines) {
      await client.wire.send(...pipeline)
      const readies = pipeline.filter((bytes) => bytes[0] === 0x51 || bytes[0] === 0x53)
      for (const _ of readies) states.push(sqlstate(await client.wire.until('Z')))
    }
    test.equal(states.at(-1), '55000', 'as on a connection of its own')
  })
}

void t.test('what the same text has drawn before is right, and pins nobody', async (test) => {
  const { pontoon, client } = await bothHaveDrawn(test)
  const drawn = await value(client, 'SELECT last_value + 1 FROM parents_id_seq')
  test.equal(await value(client, 'INSERT INTO parents DEFAULT VALUES; SELECT lastval()'), drawn)
  await rows(client, "SELECT nextval('parents_id_seq'), currval('parents_id_seq')")
  test.strictSame(pontoon.service.snapshot().pinned, {})
  await ask(client, insertChild)
  test.strictSame(pontoon.service.snapshot().pinned, { sequence: 1 }, 'of a text before this one')
})

void t.test('once a client has asked, servers forget between clients', async (test) => {
  const { pontoon, client, other } = await bothHaveDrawn(test)
  const inTransaction = [
    'BEGIN',
    "INSERT INTO parents (note) VALUES ('mine')",
    'INSERT INTO children SELECT lastval()',
    'COMMIT',
  ]
  for (const sql of inTransaction) test.equal(sqlstate(await ask(client, sql)), '')
  test.strictSame(pontoon.service.snapshot().pinned, {}, 'the transaction has drawn it itself')
  const hidden = ['INSERT INTO remembering DEFAULT VALUES', 'TABLE last_drawn']
  for (const sql of ['SELECT 1; SELECT lastval()', ...hidden]) {
    await rows(client, 'INSERT INTO parents DEFAULT VALUES')
    await rows(other, 'BEGIN')
    await rows(other, 'SELECT 1')
    test.equal(sqlstate(await ask(other, sql)), '55000', sql)
    await rows(other, 'ROLLBACK')
  }
})
