/** Many clients on few servers: nobody is wedged, and who cannot be served is told so. */
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { limitHits } from '../../../src/proxy/limit-hits.ts'
import { query } from '../../support/pg-frontend.ts'
import { errorFields } from '../../support/pg-wire.ts'
import { ask, present, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query(`CREATE TABLE accounts AS SELECT id, 0 AS balance FROM generate_series(1, 50) id;
  ALTER TABLE accounts ADD PRIMARY KEY (id)`)

async function pontoonOf(
  test: Test,
  pool: Readonly<Record<string, unknown>>,
  limits: Readonly<Record<string, unknown>> = {},
): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool, config: { limits } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

/** One of the ways applications use a connection; returns how many times it added one. */
async function work(client: Client, round: number): Promise<number> {
  const id = 1 + (round % 50)
  switch (round % 5) {
    case 0:
      await client.query('SELECT balance FROM accounts WHERE id = $1', [id])
      return 0
    case 1:
      await client.query('BEGIN')
      await client.query('UPDATE accounts SET balance = balance + 1 WHERE id = $1', [id])
      await client.query('COMMIT')
      return 1
    case 2:
      await client.query('BEGIN')
      await client.query('UPDATE accounts SET balance = balance + 1 WHERE id = $1', [id])
      await client.query('ROLLBACK')
      return 0
    case 3:
      await client.query({
        name: 'add',
        text: 'UPDATE accounts SET balance = balance + 1 WHERE id = $1',
        values: [id],
      })
      return 1
    default:
      await client.query('SELECT 1/0').catch(() => undefined)
      return 0
  }
}

const hits = (pontoon: Pontoon, limit: string): number | undefined =>
  limitHits(pontoon.service.stats).get(limit)

void t.test('100 clients on 5 servers never wedge', async (test) => {
  const pontoon = await pontoonOf(test, { size: 5, queueTimeoutMs: 30_000 })
  const clients = Array.from({ length: 100 }, () => new Client({ connectionString: pontoon.url() }))
  await Promise.all(clients.map((client) => client.connect()))
  const added = await Promise.all(
    clients.map(async (client, index) => {
      let count = 0
      for (let round = 0; round < 20; round += 1) count += await work(client, index + round)
      return count
    }),
  )
  const sum = added.reduce((total, one) => total + one, 0)
  const [stored] = await server.query<{ sum: number }>('SELECT sum(balance)::int FROM accounts')
  test.equal(stored?.sum, sum, 'every update once')
  test.ok(pontoon.servers() <= 5, `${pontoon.servers()} servers`)
  await Promise.all(clients.map((client) => client.end()))
  await pontoon.untilIdle()
})

void t.test('clients that come and go leave no server behind', async (test) => {
  const pontoon = await pontoonOf(test, { size: 3 })
  await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const client = await pontoon.client()
      const sql = ['SELECT 1', 'BEGIN', 'SELECT pg_sleep(0.01)', 'SELEC'][index % 4] ?? ''
      await client.wire.send(query(sql))
      if (index % 2 === 0) await client.wire.until('Z')
      client.wire.destroy(index % 3 === 0)
    }),
  )
  await pontoon.untilIdle()
  await until(() => pontoon.service.snapshot().clients.idle === 0, 'all to have left')
  test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
})

void t.test('who waits too long gets 53300', async (test) => {
  const pontoon = await pontoonOf(test, { size: 1 })
  const [holder, waiting] = [await pontoon.client(), await pontoon.client()]
  await ask(holder, 'BEGIN')
  pontoon.tighten({ pool: { queueTimeoutMs: 200 } })
  await waiting.wire.send(query('SELECT 1'))
  const answer = await waiting.wire.until('E')
  test.match(errorFields(present(answer.at(-1))), {
    S: 'FATAL',
    C: '53300',
    M: /no server became free within 200 ms/,
    D: /POOL_TIMEOUT/,
    H: /safe to retry/,
  })
  await waiting.wire.closed()
  test.equal(hits(pontoon, 'pool.queueTimeoutMs'), 1)
  test.equal(await value(holder, 'SELECT 2'), '2', 'the holder notices nothing')
  await ask(holder, 'COMMIT')
  await pontoon.untilIdle()
})

void t.test('when too many wait, the next gets 53300 at once', async (test) => {
  const pontoon = await pontoonOf(test, { size: 1, queueMax: 2, queueTimeoutMs: 20_000 })
  const [holder, a, b, c] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  await ask(holder, 'BEGIN')
  for (const { wire } of [a, b]) await wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.waiting === 2, 'two waiting')
  await c.wire.send(query('SELECT 1'))
  const begun = performance.now()
  test.equal(sqlstate(await c.wire.until('E')), '53300')
  test.ok(performance.now() - begun < 10_000, 'not once its time in the queue is over')
  test.equal(hits(pontoon, 'pool.queueMax'), 1)
  await ask(holder, 'COMMIT')
  for (const { wire } of [a, b]) test.equal(sqlstate(await wire.until('Z')), '')
  await pontoon.untilIdle()
})

void t.test('who leaves the queue is not served', async (test) => {
  const pontoon = await pontoonOf(test, { size: 1 })
  const [holder, leaving, staying] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  await ask(holder, 'BEGIN')
  await leaving.wire.send(query('UPDATE accounts SET balance = -1000'))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'one waiting')
  await staying.wire.send(query('SELECT min(balance) >= 0 FROM accounts'))
  await until(() => pontoon.service.snapshot().clients.waiting === 2, 'two waiting')
  leaving.wire.destroy()
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'one to leave')
  await ask(holder, 'COMMIT')
  const answer = await staying.wire.until('Z')
  test.ok(answer.find(({ type }) => type === 'D')?.body.includes('t'), 'its update did not run')
  await pontoon.untilIdle()
})

void t.test('more clients than clientsMax', async (test) => {
  const pontoon = await pontoonOf(test, { size: 1 }, { clientsMax: 2 })
  const first = await pontoon.client()
  await pontoon.client()
  await test.rejects(pontoon.client(), { message: /53300: sorry, too many clients already/ })
  test.equal(hits(pontoon, 'limits.clientsMax'), 1)
  first.wire.destroy()
  await until(() => pontoon.service.snapshot().clients.idle === 1, 'one to leave')
  test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
})

void t.test('session mode: the pool is the number of clients', async (test) => {
  const pontoon = await startPontoon({ source: server, mode: 'session', pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  const [first] = [await pontoon.client(), await pontoon.client()]
  pontoon.tighten({ pool: { queueTimeoutMs: 200 } })
  await test.rejects(pontoon.client(), { message: /53300/ })
  pontoon.tighten({ pool: { queueTimeoutMs: 20_000 } })
  const next = pontoon.client()
  first.wire.destroy()
  test.equal(await value(await next, 'SELECT 1'), '1', 'who leaves makes room')
})

void t.test('reconnect makes every client go on with new servers', async (test) => {
  const pontoon = await pontoonOf(test, { size: 2 })
  const [idle, busy] = [await pontoon.client(), await pontoon.client()]
  await ask(busy, 'BEGIN')
  const pid = 'SELECT pg_backend_pid()'
  const [idlePid, busyPid] = [await value(idle, pid), await value(busy, pid)]
  pontoon.service.reconnect()
  test.equal(await value(busy, pid), busyPid, 'not within a transaction')
  await ask(busy, 'COMMIT')
  const after = [await value(idle, pid), await value(busy, pid)]
  test.notOk(after.includes(idlePid))
  test.notOk(after.includes(busyPid))
})
