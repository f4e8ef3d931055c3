/**
 * Messages that a server sends unasked: while it lets Pontoon in, while it idles in the pool, amid
 * an answer. Scripted, because a real server does it when it likes.
 */
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import {
  expect,
  expectStartup,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import type { MockPostgres, Step } from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { errorFields, summary } from '../../support/pg-wire.ts'
import { ask, present, startPontoon } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'

const answer = (value: string): Step =>
  send(
    back.rowDescription('a'),
    back.dataRow(value),
    back.commandComplete('SELECT 1'),
    back.readyForQuery(),
  )

/** Pontoon with the scripted server, and no other, behind it. */
async function pontoonOf(
  test: Test,
  mock: MockPostgres,
  options: Partial<PontoonOptions> = {},
): Promise<Pontoon> {
  const pool = { size: 1, holdMs: 0 }
  const pontoon = await startPontoon({ source: mock, pool, ...options })
  test.teardown(async () => {
    await pontoon.stop()
    await mock.stop()
  })
  return pontoon
}

/** The server's last word comes, then the end of the connection and nothing in between. */
async function untilLastWord(test: Test, { wire }: RawClient): Promise<void> {
  const error = errorFields(present((await wire.until('E')).at(-1)))
  test.match(error, { C: '57P01', M: 'the last word' })
  await wire.closed()
  test.notOk(wire.pending)
}

void t.test('notices and parameters during authentication', async (test) => {
  const mock = await startMockPostgres([
    expectStartup(),
    send(back.noticeResponse('00000', 'maintenance tonight'), back.authenticationOk()),
    send(back.parameterStatus('server_version', '15.0'), back.noticeResponse('00000', 'again')),
    send(back.parameterStatus('client_encoding', 'UTF8'), back.backendKeyData(1, Buffer.alloc(4))),
    send(back.parameterStatus('late', 'one'), back.readyForQuery()),
    expect('Q'),
    answer('1'),
    silence(),
  ])
  test.teardown(() => mock.stop())
  for (const mode of ['session', 'transaction'] as const) {
    const pontoon = await startPontoon({ source: mock, mode, pool: { size: 1 } })
    const client = await pontoon.client()
    test.equal(client.parameters['late'], 'one', mode)
    test.equal(summary(await ask(client, 'SELECT 1')), 'TDCZ', mode)
    await pontoon.stop()
  }
  await mock.done()
})

void t.test('notices and parameters while a server idles in the pool', async (test) => {
  const events = new EventEmitter()
  const [idle, said] = [once(events, 'idle'), once(events, 'said')]
  const mock = await startMockPostgres([
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    answer('first'),
    { kind: 'run', action: async () => void (await idle) },
    send(back.noticeResponse('00000', 'to nobody'), back.parameterStatus('TimeZone', 'Mars')),
    { kind: 'run', action: () => void events.emit('said') },
    expect('Q'),
    answer('second'),
    silence(),
  ])
  const pontoon = await pontoonOf(test, mock)
  const [first, second] = [await pontoon.client(), await pontoon.client()]
  test.equal(summary(await ask(first, 'SELECT 1')), 'TDCZ')
  await pontoon.untilIdle()
  events.emit('idle')
  await said
  // The mock is in this process, so its bytes are with Pontoon after some turns of the loop.
  await new Promise((resolve) => setTimeout(resolve, 200))
  const messages = await ask(second, 'SELECT 1')
  test.equal(summary(messages), 'STDCZ', 'the parameter is told, the notice is for nobody')
  test.match(messages[0]?.body.toString(), 'TimeZone\0Mars\0')
  test.equal(mock.connections, 1, 'by the same server')
})

void t.test('a notification and a parameter amid an answer', async (test) => {
  const mock = await startMockPostgres([
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    send(
      back.rowDescription('a'),
      back.notificationResponse(7, 'news', 'hello'),
      back.dataRow('1'),
      back.parameterStatus('TimeZone', 'Mars'),
      back.commandComplete('SELECT 1'),
      back.noticeResponse('00000', 'late'),
      back.readyForQuery(),
    ),
    silence(),
  ])
  const pontoon = await pontoonOf(test, mock, { mode: 'session' })
  const client = await pontoon.client()
  test.equal(summary(await ask(client, 'SELECT 1')), 'TADSCNZ', 'in their order')
})

void t.test('bytes behind the answer to SSLRequest are refused', async (test) => {
  const injected = [back.authenticationOk(), back.readyForQuery()]
  const mock = await startMockPostgres([
    expectStartup(),
    send(Buffer.from('S'), ...injected),
    silence(),
  ])
  const tls = { mode: 'require' }
  const source = { host: mock.host, port: mock.port, tls }
  const pontoon = await pontoonOf(test, mock, { config: { source } })
  await test.rejects(pontoon.client(), { message: /wrong answer to SSLRequest/ })
})

void t.test('one fatal error, and none of ours behind it', async (test) => {
  const mock = await startMockPostgres([
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    send(back.errorResponse('57P01', 'the last word', 'FATAL')),
    { kind: 'close' },
  ])
  const pontoon = await pontoonOf(test, mock)
  const client = await pontoon.client()
  await client.wire.send(query('SELECT 1'))
  await untilLastWord(test, client)
})

const lastWord = back.errorResponse('57P01', 'the last word', 'FATAL')

void t.test('a last word behind the last answer ends the server, not its client', async (test) => {
  const mock = await startMockPostgres((connection) =>
    connection === 0
      ? [
          expectStartup(),
          send(back.welcome()),
          expect('Q'),
          send(back.commandComplete('SELECT 0'), back.readyForQuery(), lastWord),
          { kind: 'close' },
        ]
      : [expectStartup(), send(back.welcome()), expect('Q'), answer('2'), silence()],
  )
  const pontoon = await pontoonOf(test, mock)
  const client = await pontoon.client()
  test.equal(summary(await ask(client, 'SELECT')), 'CZ')
  test.equal(summary(await ask(client, 'SELECT 2')), 'TDCZ', 'on another server')
  test.strictSame([...pontoon.service.stats.ownErrors], [])
})

void t.test('unless the client has left there what nobody can tell any more', async (test) => {
  const mock = await startMockPostgres([
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    send(back.commandComplete('SET'), back.readyForQuery(), lastWord),
    { kind: 'close' },
  ])
  const pontoon = await pontoonOf(test, mock)
  const client = await pontoon.client()
  await client.wire.send(query("SET work_mem = '5MB'"))
  test.equal(summary(await client.wire.until('Z')), 'CZ')
  await untilLastWord(test, client)
})

void t.test('nor behind one that comes for what the client did not send', async (test) => {
  const mock = await startMockPostgres((connection) =>
    connection === 0
      ? [
          expectStartup(),
          send(back.welcome()),
          expect('P'),
          expect('S'),
          send(back.parseComplete(), back.readyForQuery()),
          silence(),
        ]
      : [
          expectStartup(),
          send(back.welcome()),
          // Of the statement that this server does not know.
          expect('P'),
          send(back.errorResponse('57P01', 'the last word', 'FATAL')),
          { kind: 'close' },
        ],
  )
  const pontoon = await pontoonOf(test, mock)
  const client = await pontoon.client()
  const { wire } = client
  await wire.send(parse('SELECT 1', 'kept'), sync())
  test.equal(summary(await wire.until('Z')), '1Z')
  pontoon.service.reconnect()
  await wire.send(bind({ statement: 'kept' }), execute(), sync())
  await untilLastWord(test, client)
})
