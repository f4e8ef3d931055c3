/** The scripted server plays its part with a real driver and tells when a client deviates. */
import { Client } from 'pg'
import tap from 'tap'
import type { Test } from 'tap'
import {
  close,
  expect,
  expectStartup,
  reset,
  run,
  send,
  silence,
  startMockPostgres,
} from './mock-postgres.ts'
import type { MockPostgres, Step } from './mock-postgres.ts'
import * as backend from './pg-backend.ts'
import * as frontend from './pg-frontend.ts'
import { login } from './pg-login.ts'
import { connect, errorFields, summary } from './pg-wire.ts'

type Script = Parameters<typeof startMockPostgres>[0]

async function serve(t: Test, script: Script): Promise<MockPostgres> {
  const mock = await startMockPostgres(script)
  t.teardown(() => mock.stop())
  return mock
}

const greet: readonly Step[] = [expectStartup(), send(backend.welcome())]

await tap.test('serves node-postgres as the script says', async (t) => {
  const rows = [backend.rowDescription('a', 'b'), backend.dataRow('1', null)]
  const mock = await serve(t, [
    ...greet,
    expect('Q', Buffer.from('SELECT 1\0')),
    send(...rows, backend.commandComplete('SELECT 1'), backend.readyForQuery()),
    expect('X'),
    close(),
  ])
  const client = new Client({ host: mock.host, port: mock.port, user: 'app', database: 'db' })
  await client.connect()
  t.same((await client.query('SELECT 1')).rows, [{ a: '1', b: null }])
  await client.end()
  await mock.done()
  t.equal(mock.messages.map((message) => message.type).join(), ',Q,X')
  t.match(mock.messages[0]?.body.toString(), /user\0app\0database\0db/)
})

await tap.test('a deviation names the step and what came', async (t) => {
  const mock = await serve(t, [...greet, expect('Q', Buffer.from('SELECT 1\0'))])
  const wire = await connect(mock.host, mock.port)
  await login(wire, { user: 'app' })
  await wire.send(frontend.query('SELECT 2'))
  await t.rejects(mock.done(), { message: /step 3/, cause: { message: /^expected 53.*came 53/ } })
  t.match(await wire.closed(), /end|close|ECONNRESET/)
})

await tap.test('each connection may have a script of its own', async (t) => {
  const refusal = backend.errorResponse('53300', 'too many', 'FATAL')
  const mock = await serve(t, (connection) =>
    connection === 0 ? [expectStartup(), send(refusal), close()] : greet,
  )
  const first = await connect(mock.host, mock.port)
  await t.rejects(login(first, { user: 'app' }), { message: '53300: too many' })
  const second = await connect(mock.host, mock.port)
  t.equal((await login(second, { user: 'app' })).method, 'trust')
  t.equal(mock.connections, 2)
  second.destroy()
})

await tap.test('resets, keeps silent, and runs what a test hands in', async (t) => {
  let ran = false
  const act = run(() => {
    ran = true
  })
  const mock = await serve(t, (n) => (n === 0 ? [...greet, act, reset()] : [...greet, silence()]))
  const broken = await connect(mock.host, mock.port)
  await login(broken, { user: 'app' })
  t.match(await broken.closed(), /ECONNRESET|end|close/)
  t.ok(ran)
  const mute = await connect(mock.host, mock.port)
  await login(mute, { user: 'app' })
  await mute.send(frontend.query('SELECT 1'))
  await t.rejects(mute.next(50), { message: /before the deadline/ })
  mute.destroy()
  await mock.done()
})

await tap.test('the raw client reads messages however they are cut', async (t) => {
  const bytes = Buffer.concat([
    backend.noticeResponse('00000', 'careful'),
    backend.notificationResponse(7, 'channel', 'payload'),
    backend.dataRow('x'.repeat(100_000)),
    backend.readyForQuery('T'),
  ])
  const cuts = [1, 4, 5, 6, 40, bytes.length - 1]
  const pieces = [0, ...cuts].map((start, index) => bytes.subarray(start, cuts[index]))
  const turn = run(() => new Promise((resolve) => setImmediate(resolve)))
  const mock = await serve(
    t,
    pieces.flatMap((piece) => [send(piece), turn]),
  )
  const wire = await connect(mock.host, mock.port)
  const messages = await wire.until('Z')
  t.equal(summary(messages), 'NADZ')
  t.equal(messages[0] === undefined ? '' : errorFields(messages[0])['M'], 'careful')
  t.equal(Buffer.concat(wire.received).compare(bytes), 0)
  wire.destroy()
})
