/** Limits on clients and what they run: each with its SQLSTATE, its count, and its server freed. */
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import { limitHits } from '../../../src/proxy/limit-hits.ts'
import {
  close,
  expect,
  expectStartup,
  run,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { bind, copyData, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { connect, errorFields, summary } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { ask, present, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.createDatabase('other')
await server.query('CREATE ROLE app LOGIN; CREATE TABLE copied (n int)')

const soonMs = 30_000

async function pontoonOf(
  test: Test,
  limits: Readonly<Record<string, unknown>>,
  options: Partial<PontoonOptions> = {},
): Promise<Pontoon> {
  const config = { ...options.config, limits }
  const pontoon = await startPontoon({ source: server, ...options, config })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const hits = (pontoon: Pontoon, limit: string): number | undefined =>
  limitHits(pontoon.service.stats).get(`limits.${limit}`)

/** The FATAL error that ends a session. */
async function lastWords({ wire }: RawClient): Promise<Record<string, string>> {
  const fields = errorFields(present((await wire.until('E', soonMs)).at(-1)))
  await wire.closed(soonMs)
  return fields
}

/** Only what runs meanwhile must not take long; what came before and comes after has its time. */
async function whileBrief<T>(pontoon: Pontoon, work: () => Promise<T>): Promise<T> {
  pontoon.tighten({ limits: { queryTimeoutMs: 300 } })
  try {
    return await work()
  } finally {
    pontoon.tighten({ limits: { queryTimeoutMs: soonMs } })
  }
}

/** No backend of a client of ours runs or holds anything. */
async function untilServerIsIdle(): Promise<void> {
  await until(
    async () => {
      const busy = await server.query(
        "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()",
      )
      return busy.length === 0
    },
    'no backend at work',
    soonMs,
  )
}

for (const mode of ['session', 'transaction'] as const) {
  await t.test(
    `${mode} mode: queryTimeoutMs cancels the query and spares the session`,
    async (test) => {
      const pontoon = await pontoonOf(test, {}, { mode })
      const hit = async (work: () => Promise<BackendMessage[]>, what: string): Promise<void> => {
        const before = hits(pontoon, 'queryTimeoutMs') ?? 0
        test.equal(sqlstate(await whileBrief(pontoon, work)), '57014', what)
        test.equal(hits(pontoon, 'queryTimeoutMs'), before + 1, what)
      }
      const plain = await pontoon.client()
      await hit(() => ask(plain, 'SELECT pg_sleep(60)'), 'simple')
      test.equal(await value(plain, 'SELECT 1'), '1')
      const extended = await pontoon.client()
      const sleeps = [parse('SELECT pg_sleep(60)'), bind(), execute(), sync()]
      await extended.wire.send(...sleeps, query('SELECT 2'))
      await hit(() => extended.wire.until('Z', soonMs), 'extended')
      const behind = summary(await extended.wire.until('Z', soonMs))
      // The server had it already: it may be hit by the late second signal of the cancel.
      test.match(behind, /^(?:TDC|E)Z$/, 'what was pipelined behind it is answered')
      test.equal(await value(extended, 'SELECT 1'), '1')
      const within = await pontoon.client()
      await ask(within, 'BEGIN')
      await hit(() => ask(within, 'SELECT pg_sleep(60)'), 'in a transaction')
      test.equal(sqlstate(await ask(within, 'SELECT 1')), '25P02', 'which is left to the client')
      await ask(within, 'ROLLBACK')
      test.equal(await value(within, 'SELECT 1'), '1')
      for (const { wire } of [plain, extended, within]) wire.destroy()
      await pontoon.untilIdle()
    },
  )
}

for (const mode of ['session', 'transaction'] as const) {
  await t.test(
    `${mode} mode: what follows a query that is cancelled waits for the cancel`,
    async (test) => {
      const cancel = new EventEmitter()
      const [asked, over] = [once(cancel, 'asked'), once(cancel, 'over')]
      const mock = await startMockPostgres((connection) =>
        connection === 0
          ? [
              expectStartup(),
              send(back.welcome()),
              expect('Q'),
              send(back.commandComplete('BEGIN'), back.readyForQuery('T')),
              expect('Q'),
              run(async () => void (await asked)),
              send(back.errorResponse('57014', 'cancelled'), back.readyForQuery('E')),
              expect('Q'),
              send(back.commandComplete('ROLLBACK'), back.readyForQuery()),
              silence(),
            ]
          : // The server's second signal may still come, until it closes this.
            [
              expectStartup(),
              run(() => void cancel.emit('asked')),
              run(async () => void (await over)),
              close(),
            ],
      )
      test.teardown(() => mock.stop())
      const options = { source: mock, mode, pool: { size: 1 } }
      const pontoon = await pontoonOf(test, { queryTimeoutMs: 300 }, options)
      const client = await pontoon.client()
      await ask(client, 'BEGIN')
      test.equal(sqlstate(await ask(client, 'SELECT pg_sleep(60)')), '57014')
      await client.wire.send(query('ROLLBACK'))
      await new Promise((resolve) => setTimeout(resolve, 300))
      const isThere = mock.messages.some(({ body }) => body.includes('ROLLBACK'))
      test.notOk(isThere, 'it could be hit')
      cancel.emit('over')
      test.equal(summary(await client.wire.until('Z', soonMs)), 'CZ')
      client.wire.destroy()
      await pontoon.untilIdle()
    },
  )
}

await t.test('nobody waits for the cancel of a query that ran on another server', async (test) => {
  const cancel = new EventEmitter()
  const asked = once(cancel, 'asked')
  const answer = send(back.commandComplete('SELECT 0'), back.readyForQuery())
  const scripts = [
    [
      expectStartup(),
      send(back.welcome()),
      expect('Q'),
      run(async () => void (await asked)),
      send(back.errorResponse('57014', 'cancelled'), back.readyForQuery()),
      silence(),
    ],
    // The cancel request, which takes its time.
    [expectStartup(), run(() => void cancel.emit('asked')), silence()],
    [expectStartup(), send(back.welcome()), expect('Q'), answer, expect('Q'), answer, silence()],
  ]
  const mock = await startMockPostgres((connection) => scripts[connection] ?? [])
  test.teardown(() => mock.stop())
  const options = { source: mock, pool: { size: 2 } }
  const pontoon = await pontoonOf(test, { queryTimeoutMs: 300 }, options)
  const client = await pontoon.client()
  const begunMs = performance.now()
  test.equal(sqlstate(await ask(client, 'SELECT pg_sleep(60)')), '57014')
  for (const sql of ['SELECT 1', 'SELECT 2']) test.equal(summary(await ask(client, sql)), 'CZ', sql)
  const pool = pontoon.pools()[0]
  test.equal(pool?.active, 1, 'the first one is still held back')
  test.comment(`${Math.round(performance.now() - begunMs)} ms`)
})

await t.test('many short queries within one transaction are no long one', async (test) => {
  const pontoon = await pontoonOf(test, { queryTimeoutMs: 1_500 })
  const client = await pontoon.client()
  await ask(client, 'BEGIN')
  const begun = performance.now()
  while (performance.now() - begun < 2_500)
    test.equal(sqlstate(await ask(client, 'SELECT pg_sleep(0.2)')), '')
  await ask(client, 'COMMIT')
  test.equal(hits(pontoon, 'queryTimeoutMs'), 0)
})

await t.test('a server that does not obey the cancel request is closed', async (test) => {
  const relay = await startRelay({ to: server })
  test.teardown(() => relay.close())
  const pontoon = await pontoonOf(test, { cancelGraceMs: 500 }, { source: relay })
  const client = await pontoon.client()
  await ask(client, 'SELECT 1')
  relay.stall('down')
  await client.wire.send(query('SELECT 2'))
  const words = await whileBrief(pontoon, () => lastWords(client))
  test.match(words, { S: 'FATAL', C: '57014', D: /QUERY_TIMEOUT/ })
  test.equal(hits(pontoon, 'cancelGraceMs'), 1)
  await pontoon.untilIdle(soonMs)
  relay.resume('down')
  test.equal(await value(await pontoon.client(), 'SELECT 3'), '3')
})

await t.test('so is one whose client never sends the Sync of its batch', async (test) => {
  const pontoon = await pontoonOf(test, { queryTimeoutMs: 300, cancelGraceMs: 500 })
  const client = await pontoon.client()
  await client.wire.send(parse('SELECT 1'), bind(), execute())
  test.match(await lastWords(client), { S: 'FATAL', C: '57014' })
  await pontoon.untilIdle()
})

await t.test('a client that stalls in COPY is a long query, too', async (test) => {
  const pontoon = await pontoonOf(test, { queryTimeoutMs: 300, cancelGraceMs: 500 })
  const client = await pontoon.client()
  await client.wire.send(query('COPY copied FROM STDIN'))
  await client.wire.until('G')
  await client.wire.send(copyData('1\n'))
  const words = errorFields(present((await client.wire.until('E', soonMs)).at(-1)))
  test.equal(words['C'], '57014')
  client.wire.destroy()
  await pontoon.untilIdle(soonMs)
  await untilServerIsIdle()
  test.strictSame(await server.query('SELECT FROM copied'), [])
})

await t.test('transactionTimeoutMs ends a session at work and one that is silent', async (test) => {
  const pontoon = await pontoonOf(test, {})
  const [working, silent, outside] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  await ask(silent, 'BEGIN')
  await working.wire.send(query('SELECT pg_sleep(60)'))
  pontoon.tighten({ limits: { transactionTimeoutMs: 300 } })
  for (const client of [working, silent])
    test.match(await lastWords(client), { S: 'FATAL', C: '25P04', M: /transaction timeout/ })
  pontoon.tighten({ limits: { transactionTimeoutMs: soonMs } })
  await untilServerIsIdle()
  test.equal(await value(outside, 'SELECT 1'), '1')
  test.equal(hits(pontoon, 'transactionTimeoutMs'), 2)
  await pontoon.untilIdle()
})

for (const mode of ['session', 'transaction'] as const) {
  await t.test(
    `${mode} mode: idleInTransactionMs frees what a silent client locks`,
    async (test) => {
      const pontoon = await pontoonOf(test, { idleInTransactionMs: 400 }, { mode })
      const [silent, waiting] = [await pontoon.client(), await pontoon.client()]
      await rows(silent, 'BEGIN; LOCK TABLE copied')
      const locked = ask(waiting, 'LOCK TABLE copied; SELECT pg_sleep(1)')
      test.match(await lastWords(silent), { S: 'FATAL', C: '25P03', D: /IDLE_IN_TRANSACTION/ })
      test.equal(sqlstate(await locked), '', 'who works is not silent')
      test.equal(hits(pontoon, 'idleInTransactionMs'), 1)
      await untilServerIsIdle()
      waiting.wire.destroy()
      await pontoon.untilIdle()
    },
  )
}

await t.test('idleInTransactionMs counts for a BEGIN that no server has seen', async (test) => {
  const limits = { idleInTransactionMs: 300 }
  const pontoon = await pontoonOf(test, limits, { route: { reads: 100 } })
  const client = await pontoon.client()
  await ask(client, 'BEGIN READ ONLY')
  test.match(await lastWords(client), { C: '25P03' })
})

for (const mode of ['session', 'transaction'] as const) {
  await t.test(`${mode} mode: clientIdleMs closes who is silent, not who works`, async (test) => {
    const pontoon = await pontoonOf(test, { clientIdleMs: 500 }, { mode })
    const [silent, working] = [await pontoon.client(), await pontoon.client()]
    const long = ask(working, 'SELECT pg_sleep(1.5)')
    test.match(await lastWords(silent), { S: 'FATAL', C: '57P05', M: /idle-session timeout/ })
    test.equal(sqlstate(await long), '')
    test.match(await lastWords(working), { C: '57P05' }, 'once it is silent, too')
    test.equal(hits(pontoon, 'clientIdleMs'), 2)
    await pontoon.untilIdle()
  })
}

await t.test('clients per user and per database', async (test) => {
  const pontoon = await pontoonOf(
    test,
    { clientsPerUserMax: 2, clientsPerDatabaseMax: 3 },
    { config: { users: { postgres: {}, app: { clientsMax: 1 } } } },
  )
  const first = await pontoon.client()
  await pontoon.client()
  await test.rejects(pontoon.client(), {
    message: /^53300: too many connections for role "postgres"/,
  })
  const app = await pontoon.client({ user: 'app' })
  await test.rejects(pontoon.client({ user: 'app', database: 'other' }), {
    message: /^53300: too many connections for role "app"/,
  })
  app.wire.destroy()
  first.wire.destroy()
  await until(() => pontoon.service.snapshot().clients.idle === 1, 'two to leave')
  const again = await pontoon.client({ user: 'app' })
  await pontoon.client()
  await test.rejects(pontoon.client({ user: 'app' }), { message: /for role "app"/ })
  again.wire.destroy()
  await until(() => pontoon.service.snapshot().clients.idle === 2, 'one to leave')
  test.equal(await value(await pontoon.client({ user: 'app' }), 'SELECT 1'), '1')
  await test.rejects(pontoon.client({ user: 'app', database: 'none' }), {
    message: /for role "app"/,
  })
  test.equal(hits(pontoon, 'clientsPerUserMax'), 4)
})

await t.test('clients per database; a login that fails is not counted', async (test) => {
  const pontoon = await pontoonOf(test, { clientsPerDatabaseMax: 1 })
  for (let round = 0; round < 3; round += 1)
    await test.rejects(pontoon.client({ database: 'nowhere' }), { message: /does not exist/ })
  await pontoon.client({ database: 'other' })
  await test.rejects(pontoon.client({ database: 'other' }), {
    message: /^53300: too many connections for database "other"/,
  })
  await pontoon.client()
  test.equal(hits(pontoon, 'clientsPerDatabaseMax'), 1)
})

await t.test('bufferBytesMax ends those who hold most', async (test) => {
  const pontoon = await pontoonOf(test, { bufferBytesMax: 16 * 1024 * 1024 }, { pool: { size: 2 } })
  const modest = await pontoon.client()
  const unfinished = Buffer.alloc(900 * 1024, 0x20)
  unfinished.write('Q', 'latin1')
  unfinished.writeInt32BE(1_000_000, 1)
  const greedy = await Promise.all(Array.from({ length: 40 }, () => pontoon.client()))
  await Promise.all(greedy.map(({ wire }) => wire.send(unfinished).catch(() => undefined)))
  await until(() => (hits(pontoon, 'bufferBytesMax') ?? 0) >= 40 - 18, 'most are ended', soonMs)
  const left = pontoon.service.snapshot().clients.idle
  test.ok(left >= 2, `${left} are left`)
  test.equal(await value(modest, 'SELECT 1'), '1', 'who holds little goes on')
  const ended = greedy.map(({ wire }) => wire).find((wire) => wire.pending)
  const words = errorFields(present((await present(ended).until('E', soonMs)).at(-1)))
  test.match(words, { S: 'FATAL', C: '53200', D: /BUFFER_LIMIT/ })
})

await t.test('a startup packet beyond startupBytesMax', async (test) => {
  const pontoon = await pontoonOf(test, { startupBytesMax: 1_024 })
  const wire = await connect(pontoon.host, pontoon.port)
  const packet = Buffer.alloc(8)
  packet.writeInt32BE(1_025)
  packet.writeInt32BE(196_608, 4)
  await wire.send(packet)
  test.match(errorFields(await wire.next()), { C: '08P01', M: /invalid length of startup packet/ })
  test.equal(hits(pontoon, 'startupBytesMax'), 1)
})

await t.test('a pause does not make a login late', async (test) => {
  const pontoon = await pontoonOf(test, { loginTimeoutMs: 1_000 })
  const silent = await connect(pontoon.host, pontoon.port)
  await pontoon.service.pause(60_000, 1_000, 'test')
  const login = pontoon.client()
  await silent.closed(soonMs)
  test.equal(hits(pontoon, 'loginTimeoutMs'), 1, 'one that says nothing is late')
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  // It begins anew after the pause, and how long it takes then is not the point.
  pontoon.tighten({ limits: { loginTimeoutMs: soonMs } })
  pontoon.service.resume()
  test.equal(await value(await login, 'SELECT 1'), '1')
})

await t.test(
  'a slow reader: its finished query frees the server, an unfinished one in time',
  async (test) => {
    const pontoon = await pontoonOf(test, { slowReaderMs: 700 }, { pool: { size: 1 } })
    const [finished, unfinished, other] = [
      await pontoon.client(),
      await pontoon.client(),
      await pontoon.client(),
    ]
    for (const { wire } of [finished, unfinished]) wire.socket.pause()
    await finished.wire.send(query("SELECT repeat('x', 100000)"))
    test.equal(await value(other, 'SELECT 1'), '1', 'though nothing of it was read')
    await unfinished.wire.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 1000)"))
    await until(() => pontoon.service.snapshot().clients.active === 1, 'at work')
    test.equal(await value(other, 'SELECT 2'), '2', 'within the deadline of the slow one')
    test.equal(hits(pontoon, 'slowReaderMs'), 1)
    await untilServerIsIdle()
    for (const { wire } of [finished, unfinished]) wire.destroy()
  },
)
