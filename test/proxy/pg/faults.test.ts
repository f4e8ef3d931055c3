/** Servers and networks that fail: the clients concerned are told, the others live on. */
import t from 'tap'
import type { Test } from 'tap'
import { listenLocally } from '../../support/listen.ts'
import {
  expect,
  expectStartup,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { freePort } from '../../support/free-port.ts'
import { query } from '../../support/pg-frontend.ts'
import { errorFields, summary } from '../../support/pg-wire.ts'
import { ask, present, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'
import { createServer } from 'node:net'

const server = await startPostgres({ major: 15, auth: 'trust' })
const relay = await startRelay({ to: { host: server.host, port: server.port } })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})

async function pontoonOf(test: Test, options: PontoonOptions): Promise<Pontoon> {
  // Short, so that what is down for good shows soon; failover.test.ts has the rest.
  const pool = { holdMs: 300, queueTimeoutMs: 30_000, ...options.pool }
  const pontoon = await startPontoon({ ...options, pool })
  test.teardown(() => pontoon.stop())
  return pontoon
}

/** Far less than anybody may wait for a server, far more than holdMs and a connection take. */
const soonMs = 10_000

const fastSide = (port: number): object => ({
  host: '127.0.0.1',
  port,
  tls: { mode: 'disable' },
  connectTimeoutMs: 400,
})

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode: a side that refuses connections`, async (test) => {
    const source = { host: '127.0.0.1', port: await freePort() }
    const pontoon = await pontoonOf(test, { source, mode })
    const begun = performance.now()
    await test.rejects(pontoon.client(), { message: /^08001: cannot connect to .*ECONNREFUSED/ })
    test.ok(performance.now() - begun < soonMs)
    await pontoon.untilIdle()
  })

  void t.test(`${mode} mode: a side that accepts and says nothing`, async (test) => {
    const mock = await startMockPostgres([silence()])
    test.teardown(() => mock.stop())
    const source = fastSide(mock.port)
    const pontoon = await pontoonOf(test, { source: mock, mode, config: { source } })
    const begun = performance.now()
    await test.rejects(pontoon.client(), { message: /^08001: .* within 400 ms/ })
    test.ok(performance.now() - begun < soonMs)
    await pontoon.untilIdle()
  })

  void t.test(`${mode} mode: a server killed in the middle of a query`, async (test) => {
    const fragile = await startPostgres({ major: 15, auth: 'trust' })
    test.teardown(() => fragile.stop())
    const pontoon = await pontoonOf(test, { source: fragile, mode })
    const [busy, idle, inTransaction] = [
      await pontoon.client(),
      await pontoon.client(),
      await pontoon.client(),
    ]
    await ask(inTransaction, 'BEGIN')
    await busy.wire.send(query('SELECT pg_sleep(20)'))
    await until(() => pontoon.service.snapshot().clients.active === 2, 'both to run')
    await fragile.kill9()
    for (const { wire } of [busy, inTransaction]) {
      test.match(sqlstate(await wire.until('E')), /^08006$|^57P0/)
      await wire.closed()
    }
    await fragile.restart()
    if (mode === 'transaction')
      test.equal(await value(idle, 'SELECT 1'), '1', 'who had no server notices nothing')
    test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
  })

  void t.test(`${mode} mode: the administrator ends one backend`, async (test) => {
    const pontoon = await pontoonOf(test, { source: server, mode })
    const [victim, other] = [await pontoon.client(), await pontoon.client()]
    await ask(victim, 'BEGIN')
    await ask(other, 'BEGIN')
    const pid = await value(victim, 'SELECT pg_backend_pid()')
    await victim.wire.send(query('SELECT pg_sleep(20)'))
    await server.query('SELECT pg_terminate_backend($1::int)', 'postgres', [pid])
    const answer = await victim.wire.until('E')
    test.equal(sqlstate(answer), '57P01', "the server's own words")
    await victim.wire.closed()
    test.notOk(victim.wire.pending, 'and no second error')
    test.equal(await value(other, 'SELECT 1'), '1')
    test.equal(sqlstate(await ask(other, 'COMMIT')), '')
  })

  void t.test(`${mode} mode: the link to the server is cut`, async (test) => {
    const pontoon = await pontoonOf(test, { source: relay, mode })
    const client = await pontoon.client()
    await client.wire.send(query('SELECT pg_sleep(20)'))
    await until(() => pontoon.service.snapshot().clients.active === 1, 'active')
    relay.cut()
    const error = errorFields(present((await client.wire.until('E')).at(-1)))
    test.match(error, { S: 'FATAL', C: '08006', D: /SERVER_LOST/ })
    test.notOk(/safe to retry/.test(error['H'] ?? ''), 'its fate is unknown')
    await client.wire.closed()
    test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
  })

  void t.test(`${mode} mode: the link is cut in the middle of a row`, async (test) => {
    const pontoon = await pontoonOf(test, { source: relay, mode })
    const client = await pontoon.client()
    relay.cutAfterBytes(1_000_000, 'down')
    await client.wire.send(query("SELECT repeat('x', 3000000)"))
    await client.wire.closed()
    const received = Buffer.concat(client.wire.received).toString('latin1')
    test.notMatch(received.slice(-2_000), /SERVER_LOST/, 'no error inside the row')
    relay.heal()
    test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
  })
}

void t.test('a restart of the server is not noticed between transactions', async (test) => {
  const restarting = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => restarting.stop())
  const pontoon = await pontoonOf(test, { source: restarting, pool: { size: 3 } })
  const clients = [await pontoon.client(), await pontoon.client(), await pontoon.client()]
  await Promise.all(clients.map((client) => ask(client, 'SELECT pg_sleep(0.02)')))
  await restarting.restart()
  for (const client of clients) test.equal(await value(client, 'SELECT 1'), '1')
  await pontoon.untilIdle()
})

void t.test(
  'a server that is down: an error within the deadline, then all is well',
  async (test) => {
    const stopping = await startPostgres({ major: 15, auth: 'trust' })
    test.teardown(() => stopping.stop())
    const pontoon = await pontoonOf(test, { source: stopping, pool: { size: 2 } })
    const [early, late] = [await pontoon.client(), await pontoon.client()]
    await ask(early, 'SELECT 1')
    await stopping.shutdown()
    await early.wire.send(query('SELECT 1'))
    const begun = performance.now()
    test.equal(sqlstate(await early.wire.until('E')), '08001')
    test.ok(performance.now() - begun < soonMs)
    await stopping.restart()
    await until(async () => {
      const client = await pontoon.client().catch(() => null)
      return client !== null && (await value(client, 'SELECT 1')) === '1'
    }, 'the server to be back')
    test.equal(await value(late, 'SELECT 1'), '1')
    await pontoon.untilIdle()
  },
)

void t.test('a stalled link holds up only who is on it', async (test) => {
  const pontoon = await pontoonOf(test, { source: relay, pool: { size: 2 } })
  const client = await pontoon.client()
  relay.stall('down')
  await client.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'active')
  test.notOk(client.wire.pending)
  relay.resume('down')
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')
  await pontoon.untilIdle()
})

void t.test('an idle server that says something odd serves nobody', async (test) => {
  const login = [expectStartup(), send(back.welcome())]
  const answer = send(
    back.rowDescription('a'),
    back.dataRow('1'),
    back.commandComplete('SELECT 1'),
    back.readyForQuery(),
  )
  const oddities: Readonly<Record<string, Buffer>> = {
    'a row': back.dataRow('stray'),
    'a second ReadyForQuery': back.readyForQuery(),
    garbage: Buffer.from('no protocol at all'),
    'a negative length': Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff]),
  }
  for (const [name, bytes] of Object.entries(oddities)) {
    const first = [...login, expect('Q'), answer, send(bytes), silence()]
    const other = [...login, expect('Q'), answer, silence()]
    const mock = await startMockPostgres((connection) => (connection === 0 ? first : other))
    const pontoon = await startPontoon({ source: mock, pool: { size: 1 } })
    const client = await pontoon.client()
    test.equal(summary(await ask(client, 'SELECT 1')), 'TDCZ', name)
    await until(() => pontoon.servers() === 0, 'the server to be dropped')
    test.equal(summary(await ask(client, 'SELECT 1')), 'TDCZ', `after ${name}`)
    test.equal(mock.connections, 2)
    await pontoon.stop()
    await mock.stop()
  }
})

void t.test('a server that breaks the protocol amid an answer', async (test) => {
  const breaks: Readonly<Record<string, Buffer>> = {
    'a reply nobody asked for': back.parseComplete(),
    'a negative length': Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff]),
    'a length of three': Buffer.from([0x44, 0, 0, 0, 3]),
  }
  for (const [name, bytes] of Object.entries(breaks)) {
    const script = [expectStartup(), send(back.welcome()), expect('Q'), send(bytes), silence()]
    const mock = await startMockPostgres(script)
    const pontoon = await startPontoon({ source: mock, pool: { size: 1 } })
    const client = await pontoon.client()
    await client.wire.send(query('SELECT 1'))
    const error = errorFields(present((await client.wire.until('E')).at(-1)))
    test.match(error, { S: 'FATAL', C: '08P01', D: /SERVER_PROTOCOL/ }, name)
    await client.wire.closed()
    await pontoon.untilIdle()
    await pontoon.stop()
    await mock.stop()
  }
})

void t.test('a server that does not answer the settings of a login is given up', async (test) => {
  const script = [expectStartup(), send(back.welcome()), expect('Q'), silence()]
  const mock = await startMockPostgres(script)
  test.teardown(() => mock.stop())
  const limits = { loginTimeoutMs: 300 }
  const pontoon = await pontoonOf(test, { source: mock, pool: { size: 1 }, config: { limits } })
  const parameters = { application_name: 'anything' }
  await test.rejects(pontoon.client({ parameters }))
  await until(() => pontoon.servers() === 0, 'the server to be closed')
})

void t.test('a server without SQLSTATE in its error', async (test) => {
  const bare = Buffer.concat([Buffer.from('SERROR\0Mbare words\0'), Buffer.from([0])])
  const error = Buffer.concat([Buffer.from('E'), Buffer.alloc(4), bare])
  error.writeInt32BE(bare.length + 4, 1)
  const script = [
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    send(error, back.readyForQuery()),
    silence(),
  ]
  const mock = await startMockPostgres(script)
  const pontoon = await pontoonOf(test, { source: mock, pool: { size: 1 } })
  test.teardown(() => mock.stop())
  const client = await pontoon.client()
  const [found] = await ask(client, 'SELECT 1')
  test.strictSame(found?.body, bare, 'passed on as it is')
  await pontoon.untilIdle()
})

void t.test('the port is in use', async (test) => {
  const holder = createServer()
  const port = await listenLocally(holder)
  test.teardown(() => holder.close())
  await test.rejects(startPontoon({ source: server, config: { listen: `127.0.0.1:${port}` } }), {
    code: 'LISTEN_IN_USE',
    message: new RegExp(`127.0.0.1:${port}: another process holds it`),
  })
})

void t.test('close lets transactions end and tells the rest', async (test) => {
  const pontoon = await pontoonOf(test, { source: server })
  const [busy, stuck, idle] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  for (const client of [busy, stuck]) await rows(client, 'BEGIN')
  const closing = pontoon.service.close(3_000)
  test.equal(sqlstate(await idle.wire.until('E')), '57P01')
  test.equal(await value(busy, 'SELECT 1'), '1')
  test.equal(sqlstate(await ask(busy, 'COMMIT')), '')
  test.equal(sqlstate(await busy.wire.until('E')), '57P01', 'after its transaction')
  test.equal(sqlstate(await stuck.wire.until('E')), '57P01', 'at the deadline')
  await closing
  await test.rejects(pontoon.client())
})
