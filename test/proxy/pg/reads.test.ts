/** Reads that go to the other side: they and nothing else, and no client notices. */
import { Pool } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import type { Clock } from '../../../src/shared/clock.ts'
import {
  bind,
  describeStatement,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { rowValues, summary } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const [source, target] = await Promise.all([
  startPostgres({ major: 15, auth: 'trust' }),
  startPostgres({ major: 17, auth: 'trust', settings: { timezone: 'Asia/Tokyo' } }),
])
t.teardown(() => Promise.all([source.stop(), target.stop()]))
for (const [name, server] of Object.entries({ source, target })) {
  await server.query(`CREATE TABLE sides AS SELECT '${name}' AS name, 1 AS id;
    CREATE TABLE written (n int);
    CREATE SCHEMA odd; CREATE TABLE odd.sides AS SELECT 'odd ${name}' AS name, 1 AS id;
    CREATE FUNCTION next_n() RETURNS int LANGUAGE sql AS
      'INSERT INTO written VALUES (1) RETURNING n'`)
}

const which = 'SELECT name FROM sides'

async function pontoonWith(
  test: Test,
  reads: number,
  clock: Clock = systemClock,
): Promise<Pontoon> {
  const pontoon = await startPontoon({
    source,
    target,
    clock,
    pool: { holdMs: 300 },
    config: { route: { readAfterWriteMs: 0 } },
    route: { phase: 'canary', reads },
  })
  test.teardown(() => pontoon.stop())
  if (reads === 100) {
    const client = await pontoon.client()
    await until(async () => (await value(client, which)) === 'target', 'reads to be recognised')
    client.wire.destroy()
  }
  return pontoon
}

/** Runs a batch and gives its answer. */
async function batch({ wire }: RawClient, ...parts: readonly Buffer[]): Promise<BackendMessage[]> {
  await wire.send(...parts, sync())
  return wire.until('Z')
}

const firstValue = (messages: readonly BackendMessage[]): string | null => {
  const row = messages.find(({ type }) => type === 'D')
  return row === undefined
    ? `${summary(messages)} ${sqlstate(messages)}`
    : (rowValues(row)[0] ?? null)
}

const statuses = (messages: readonly BackendMessage[]): string =>
  messages
    .filter(({ type }) => type === 'Z')
    .map(({ body }) => body.toString())
    .join('')

void t.test('reads go to the target, the rest to the source', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  test.equal(await value(client, which), 'target')
  test.equal(firstValue(await batch(client, parse(which), bind(), execute())), 'target')
  test.equal(firstValue(await batch(client, parse(which, 's'), describeStatement('s'))), '1tTZ ')
  test.equal(firstValue(await batch(client, bind({ statement: 's' }), execute())), 'target')
  const elsewhere = [
    `${which} FOR UPDATE`,
    `INSERT INTO written VALUES (1) RETURNING (${which})`,
    `SELECT (${which}), next_n()`,
    `${which}; INSERT INTO written VALUES (1)`,
    `WITH w AS (INSERT INTO written VALUES (1) RETURNING n) SELECT (${which}) FROM w`,
  ]
  for (const sql of elsewhere) test.equal(await value(client, sql), 'source', sql)
  await ask(client, 'BEGIN')
  test.equal(await value(client, which), 'source', 'a transaction that may write')
  await ask(client, 'COMMIT')
  test.strictSame(await target.query('SELECT FROM written'), [], 'nothing was written there')
  await pontoon.untilIdle()
})

void t.test('a session that wrote reads from the source for a while', async (test) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const pontoon = await pontoonWith(test, 100, clock)
  pontoon.tighten({ route: { readAfterWriteMs: 10_000 } })
  const [writer, reader] = [await pontoon.client(), await pontoon.client()]
  await rows(writer, 'INSERT INTO written VALUES (2)')
  test.equal(await value(writer, which), 'source')
  test.equal(await value(reader, which), 'target', 'others do not mind')
  aheadMs = 11_000
  test.equal(await value(writer, which), 'target', 'the time has passed')
  test.equal(
    firstValue(await batch(writer, parse('DELETE FROM written'), bind(), execute())),
    'SSSS12CZ ',
  )
  test.equal(await value(writer, which), 'source')
})

void t.test('percentages are of sessions, and sessions stay where they are', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 2, reads: 30 })
  const clients = await Promise.all(Array.from({ length: 20 }, () => pontoon.client()))
  const sides = async (): Promise<(string | null)[]> =>
    Promise.all(clients.map((client) => value(client, which)))
  const first = await sides()
  const share = first.filter((side) => side === 'target').length
  test.ok(share >= 5 && share <= 7, `${share} of 20`)
  test.strictSame(await sides(), first)
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 3, reads: 0 })
  test.strictSame(new Set(await sides()), new Set(['source']), 'effective at once')
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 4, reads: 100 })
  test.strictSame(new Set(await sides()), new Set(['target']))
})

void t.test('a READ ONLY transaction is routed by its first statement', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  for (const begin of ['BEGIN READ ONLY', 'START TRANSACTION READ ONLY']) {
    const begun = await ask(client, begin)
    test.equal(summary(begun), 'CZ')
    test.ok(begun[0]?.body.includes(begin.startsWith('BEGIN') ? 'BEGIN\0' : 'START TRANSACTION\0'))
    test.equal(statuses(begun), 'T')
    test.equal(await value(client, which), 'target')
    test.equal(sqlstate(await ask(client, 'INSERT INTO written VALUES (3)')), '25006')
    test.equal(statuses(await ask(client, 'SELECT 1')), 'E')
    test.equal(statuses(await ask(client, 'ROLLBACK')), 'I')
  }
  await ask(client, 'BEGIN READ ONLY')
  test.equal(statuses(await ask(client, 'COMMIT')), 'I', 'an empty one')
  await ask(client, 'BEGIN READ ONLY')
  test.equal(statuses(await ask(client, '')), 'T', 'an empty query in it')
  test.equal(statuses(await ask(client, 'ROLLBACK')), 'I')
  await ask(client, 'BEGIN READ ONLY')
  await ask(client, 'SET TRANSACTION READ WRITE')
  test.equal(await value(client, which), 'source', 'one that becomes READ WRITE')
  test.equal(sqlstate(await ask(client, 'INSERT INTO written VALUES (3)')), '')
  await ask(client, 'ROLLBACK')
  await ask(client, 'BEGIN READ ONLY')
  test.equal(firstValue(await batch(client, parse(which), bind(), execute())), 'target')
  test.equal(statuses(await batch(client, parse('COMMIT'), bind(), execute())), 'I')
  await ask(client, 'BEGIN READ ONLY')
  client.wire.destroy()
  await pontoon.untilIdle()
  test.equal(pontoon.service.snapshot().clients.pinned, 0)
})

void t.test(
  'nobody leaves a READ ONLY transaction on the side that takes no writes',
  async (test) => {
    const pontoon = await pontoonWith(test, 100)
    const attempts = [
      'COMMIT; INSERT INTO written VALUES (4)',
      'SET TRANSACTION READ WRITE',
      'SET transaction_read_only = off; INSERT INTO written VALUES (4)',
      "SELECT set_config('transaction_read_only', 'off', true)",
      'ROLLBACK; BEGIN; INSERT INTO written VALUES (4)',
    ]
    for (const sql of attempts) {
      const client = await pontoon.client()
      await ask(client, 'BEGIN READ ONLY')
      await value(client, which)
      await client.wire.send(query(sql), query('INSERT INTO written VALUES (4)'), query('COMMIT'))
      await client.wire.closed(1_000).catch(() => undefined)
      client.wire.destroy()
    }
    await pontoon.untilIdle()
    test.strictSame(await target.query('SELECT FROM written'), [])
    await source.query('TRUNCATE written')
  },
)

void t.test('what is pipelined behind a read is routed for itself', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  const insert = query(`INSERT INTO written VALUES (5) RETURNING (${which})`)
  const read = [parse(which), bind(), execute(), sync()]
  await client.wire.send(query(which), insert, ...read, query(which), insert, ...read)
  const found: (string | null)[] = []
  for (let count = 0; count < 6; count += 1) found.push(firstValue(await client.wire.until('Z')))
  const [first, write1, , , write2] = found
  test.equal(first, 'target')
  test.strictSame([write1, write2], ['source', 'source'])
  test.equal(await value(client, which), 'target', 'and the next request again')
})

void t.test('a batch whose end has not come goes to the source', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  await client.wire.send(parse(which), bind(), execute(), flush())
  test.equal(firstValue(await client.wire.until('C')), 'source')
  await client.wire.send(parse('INSERT INTO written VALUES (6)'), bind(), execute(), sync())
  test.equal(sqlstate(await client.wire.until('Z')), '')
})

void t.test('a statement is prepared on both sides as it is needed', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const pool = new Pool({ connectionString: pontoon.url(), max: 3 })
  const named = { name: 'which', text: `SELECT name FROM sides WHERE id = $1`, values: [1] }
  for (const reads of [100, 0, 100, 0]) {
    pontoon.service.applyRoute({ ...pontoon.service.route, reads })
    const found = await Promise.all(
      Array.from(
        { length: 6 },
        async () => (await pool.query<{ name: string }>(named)).rows[0]?.name,
      ),
    )
    test.strictSame(new Set(found), new Set([reads === 100 ? 'target' : 'source']))
  }
  await pool.end()
  await until(() => pontoon.service.snapshot().clients.idle === 0, 'the pool to have left')
})

void t.test('settings go with the client to the other side', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client({ parameters: { options: '-c app.tenant=t9' } })
  test.equal(await value(client, which), 'target', 'with a setting of its own')
  await rows(client, 'SET search_path = odd')
  test.equal(await value(client, which), 'odd target')
  test.equal(await value(await pontoon.client(), which), 'target')
})

void t.test('the client is told of what the other side reports otherwise', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  test.match(client.parameters, { TimeZone: 'UTC', server_version: /^15/ })
  const there = (await ask(client, which)).filter(({ type }) => type === 'S')
  const told = there.map(({ body }) => body.toString().split('\0').slice(0, 2).join('='))
  test.ok(told.includes('TimeZone=Asia/Tokyo'), told.join(' '))
  test.ok(told.some((one) => one.startsWith('server_version=17')))
  // A driver that looks for a host to write to would leave this one.
  test.notOk(told.some((one) => one.startsWith('default_transaction_read_only')))
  test.notOk(
    (await ask(client, which)).some(({ type }) => type === 'S'),
    'once',
  )
  const back = await ask(client, 'INSERT INTO written VALUES (7)')
  test.ok(back.some(({ type, body }) => type === 'S' && body.includes('UTC')))
})

void t.test('a pinned session reads where it is pinned', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const client = await pontoon.client()
  await rows(client, 'CREATE TEMP TABLE sides AS SELECT $$mine$$ AS name')
  test.equal(await value(client, which), 'mine')
  await rows(client, 'DROP TABLE pg_temp.sides')
  await until(async () => (await value(client, which)) === 'target', 'unpinned')
  test.pass()
})

void t.test('while the target is down its reads are answered by the source', async (test) => {
  const away = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => away.stop())
  await away.query("CREATE TABLE sides AS SELECT 'target' AS name, 1 AS id")
  const pontoon = await startPontoon({
    source,
    target: away,
    config: { route: { readAfterWriteMs: 0 } },
    route: { phase: 'canary', reads: 100 },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await until(async () => (await value(client, which)) === 'target', 'reads to be recognised')
  await away.shutdown()
  for (let count = 0; count < 5; count += 1) test.equal(await value(client, which), 'source')
  await away.restart()
  await until(async () => (await value(client, which)) === 'target', 'the target to be back')
  await pontoon.untilIdle()
})

void t.test('shifting back and forth under load loses nothing', async (test) => {
  const pontoon = await pontoonWith(test, 100)
  const pool = new Pool({ connectionString: pontoon.url(), max: 12 })
  await source.query('TRUNCATE written')
  const load = { isOn: true }
  let [written, read] = [0, 0]
  const working = Array.from({ length: 12 }, async (_, who) => {
    while (load.isOn) {
      const { rows: found } = await pool.query<{ name: string }>(
        who % 2 === 0 ? which : { name: 'w', text: which },
      )
      test.ok(found[0]?.name === 'source' || found[0]?.name === 'target')
      read += 1
      if (read % 3 === 0) {
        await pool.query('INSERT INTO written VALUES ($1)', [who])
        written += 1
      }
    }
  })
  for (let epoch = 2; epoch < 22; epoch += 1) {
    pontoon.service.applyRoute({ ...pontoon.service.route, epoch, reads: (epoch % 3) * 50 })
    const before = read
    await until(() => read > before + 30, 'the load to go on')
  }
  load.isOn = false
  await Promise.all(working)
  await pool.end()
  const [stored] = await source.query<{ count: number }>('SELECT count(*)::int FROM written')
  test.equal(stored?.count, written)
  test.strictSame(await target.query('SELECT FROM written'), [])
  await pontoon.untilIdle()
  await until(() => pontoon.service.snapshot().clients.idle === 0, 'the pool to have left')
})
