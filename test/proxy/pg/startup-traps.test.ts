/** Traps of startup and login that other proxies fell into, on either leg. */
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import {
  close,
  expectStartup,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import type { MockPostgres, Step } from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { message, sslRequest, startup, text } from '../../support/pg-frontend.ts'
import { login } from '../../support/pg-login.ts'
import { connect, errorFields, PgWire } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { present, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const authority = await createAuthority()
const own = await authority.server()
const server = await startPostgres({
  major: 15,
  auth: 'scram-sha-256',
  tls: await authority.server(),
})
t.teardown(async () => {
  await server.stop()
  authority.remove()
})

const modes = ['session', 'transaction'] as const

async function pontoonOf(test: Test, options: PontoonOptions): Promise<Pontoon> {
  const pontoon = await startPontoon({ ...options, pool: { holdMs: 0, ...options.pool } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function mockOf(test: Test, script: readonly Step[]): Promise<MockPostgres> {
  const mock = await startMockPostgres(script)
  test.teardown(() => mock.stop())
  return mock
}

/** Everything a client gets that logs in without a password, up to the close. */
async function allOf(pontoon: Pontoon): Promise<BackendMessage[]> {
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(startup({ user: 'postgres', database: 'postgres' }))
  const messages: BackendMessage[] = []
  for (;;) {
    const found = await wire.next().catch(() => null)
    if (found === null) return messages
    messages.push(found)
  }
}

void t.test("CVE-2021-23222: bytes behind the server's S are refused", async (test) => {
  const answers: Readonly<Record<string, Buffer>> = {
    'S and an error': Buffer.concat([Buffer.from('S'), back.errorResponse('28000', 'injected')]),
    'S twice': Buffer.from('SS'),
    'N and an authentication': Buffer.concat([Buffer.from('N'), back.authenticationOk()]),
    'an error of an old server': back.errorResponse('0A000', 'no TLS here'),
    'another letter': Buffer.from('X'),
  }
  for (const [name, bytes] of Object.entries(answers)) {
    const mock = await mockOf(test, [expectStartup(), send(bytes), silence()])
    const source = { host: mock.host, port: mock.port, tls: { mode: 'prefer' } }
    const pontoon = await pontoonOf(test, { source: mock, config: { source } })
    await test.rejects(pontoon.client(), { message: /^08P01: .*wrong answer to SSLRequest/ }, name)
  }
})

void t.test('a whole login byte by byte, in clear and over TLS, on both legs', async (test) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  test.teardown(() => relay.close())
  relay.splitEvery(1, 'both')
  const { password } = server
  const clientTls = { mode: 'prefer', cert: own.certPath, key: own.keyPath }
  for (const mode of ['disable', 'require']) {
    const source = { host: relay.host, port: relay.port, password, tls: { mode } }
    const users = { postgres: { verifier: 'secret' } }
    const clientAuth = { mode: 'scram' }
    const config = { source, users, clientAuth, clientTls }
    const pontoon = await pontoonOf(test, { source: relay, config })
    const wire = await connect(pontoon.host, pontoon.port)
    if (mode === 'require') {
      for (const byte of sslRequest()) await wire.send(Buffer.from([byte]))
      test.equal(await wire.nextByte(), 'S')
      await wire.startTls()
    }
    const slow = new SlowWire(wire)
    await login(slow, { user: 'postgres', database: 'postgres', password: 'secret' })
    test.equal(await value({ wire }, 'SELECT 1'), '1', `tls.mode ${mode}`)
    wire.destroy()
  }
})

/** Sends each byte by itself. */
class SlowWire extends PgWire {
  readonly #wire: PgWire

  constructor(wire: PgWire) {
    super(wire.socket, 10_000)
    this.#wire = wire
  }

  override async send(...parts: readonly Buffer[]): Promise<void> {
    for (const byte of Buffer.concat(parts)) await this.#wire.send(Buffer.from([byte]))
  }

  override next(deadlineMs?: number): Promise<BackendMessage> {
    return this.#wire.next(deadlineMs)
  }
}

void t.test('long options and long tokens fit, and no more than the bound', async (test) => {
  const long = 'x'.repeat(8_000)
  for (const mode of modes) {
    const pontoon = await pontoonOf(test, { source: server, mode })
    const parameters = { options: `-c my.note=${long} -c work_mem=3MB` }
    const client = await pontoon.client({ parameters })
    test.equal(await value(client, 'SHOW my.note'), long, mode)
    test.equal(await value(client, 'SHOW work_mem'), '3MB')
  }
  const pooled = await pontoonOf(test, { source: server, mode: 'transaction' })
  const longer = 'y'.repeat(60_000)
  const parameters = { options: `-c my.note=${longer}` }
  test.equal(await value(await pooled.client({ parameters }), 'SHOW my.note'), longer)
  await test.rejects(
    pooled.client({ parameters: { options: `-c my.note=${'z'.repeat(70_000)}` } }),
    { message: /invalid length of startup packet/ },
  )
  const token = 't'.repeat(9_000)
  await server.createUser({ name: 'token', password: token })
  const clientAuth = { mode: 'passthrough' }
  const { host, port } = server
  const source = { host, port, tls: { mode: 'prefer' } }
  const passing = await pontoonOf(test, { source: server, config: { clientAuth, source } })
  const client = await passing.client({ user: 'token', database: 'postgres', password: token })
  test.equal(await value(client, 'SELECT current_user'), 'token')
  await test.rejects(
    passing.client({ user: 'token', database: 'postgres', password: 'u'.repeat(70_000) }),
    { message: /^08P01: expected password response/ },
  )
})

const fatal = (...fields: readonly string[]): Buffer =>
  message('E', ...fields.map(text), Buffer.from([0]))

void t.test('CVE-2026-6666: a login that is refused without SQLSTATE', async (test) => {
  const refusals: Readonly<Record<string, Buffer>> = {
    'no code': fatal('SFATAL', 'Mno entry'),
    'an empty code': fatal('SFATAL', 'C', 'Mno entry'),
    'a short code': fatal('SFATAL', 'C42', 'Mno entry'),
    'no field at all': fatal(),
    'a bare string, as before 7.4': Buffer.concat([Buffer.from('E'), text('no entry\n')]),
    'a body without an end': message('E', Buffer.from('SFATAL')),
    'an empty body': message('E'),
  }
  for (const mode of modes) {
    for (const [name, bytes] of Object.entries(refusals)) {
      const mock = await mockOf(test, [expectStartup(), send(bytes), close()])
      const pontoon = await pontoonOf(test, { source: mock, mode })
      const errors = (await allOf(pontoon)).filter(({ type }) => type === 'E')
      test.equal(errors.length, 1, `${mode} mode, ${name}: one error`)
      await pontoon.untilIdle()
    }
  }
})

void t.test('one fatal error only, not two', async (test) => {
  const refusal = back.errorResponse('53300', 'sorry, too many clients already', 'FATAL')
  const scripts: Readonly<Record<string, readonly Step[]>> = {
    'before the authentication': [expectStartup(), send(refusal), close()],
    'after it': [expectStartup(), send(back.authenticationOk(), refusal), close()],
    'two in a row': [expectStartup(), send(refusal, refusal), close()],
    'and no close': [expectStartup(), send(refusal), silence()],
    'behind a notice': [
      expectStartup(),
      send(back.noticeResponse('01000', 'about to refuse'), refusal),
      close(),
    ],
  }
  for (const mode of modes) {
    for (const [name, script] of Object.entries(scripts)) {
      const mock = await mockOf(test, script)
      const pontoon = await pontoonOf(test, { source: mock, mode })
      const messages = await allOf(pontoon)
      test.equal(messages.map(({ type }) => type).join(''), 'E', `${mode} mode, ${name}`)
      const { C: code, M: words } = errorFields(present(messages[0]))
      test.strictSame([code, words], ['53300', 'sorry, too many clients already'])
    }
  }
})

void t.test('notices and parameters during the login of a server', async (test) => {
  const notice = back.noticeResponse('01000', 'the certificate of the server ends soon')
  const mock = await mockOf(test, [
    expectStartup(),
    send(notice, back.authenticationOk(), notice, back.parameterStatus('a.b', 'c')),
    send(back.backendKeyData(1, Buffer.alloc(4)), notice, back.readyForQuery()),
    silence(),
  ])
  const pontoon = await pontoonOf(test, { source: mock, mode: 'session' })
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(startup({ user: 'postgres', database: 'postgres' }))
  const types = (await wire.until('Z')).map(({ type }) => type).join('')
  test.equal(types, 'RSKNNZ', 'those behind the authentication reach the client')
  wire.destroy()
})

function header(type: string, length: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.write(type)
  bytes.writeInt32BE(length, 1)
  return bytes
}

void t.test('a server that floods the login, stalls or says what does not belong', async (test) => {
  const wrong: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    'a message of 1 GB': [header('S', 1 << 30), /^08P01: .*does not speak the PostgreSQL protocol/],
    'a negative length': [header('R', -5), /^08P01: .*does not speak/],
    'a length of three': [header('R', 3), /^08P01: .*does not speak/],
    'a row': [back.dataRow('x'), /^08P01: .*unexpected message 0x44/],
    'an HTTP answer': [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /^08P01/],
    'ReadyForQuery at once': [back.readyForQuery(), /^08P01: .*unexpected message 0x5A/],
    'a short authentication': [message('R', Buffer.from([0])), /^08P01: .*unexpected message 0x52/],
    'an unknown authentication': [message('R', Buffer.from([0, 0, 0, 99])), /^28000/],
    'a parameter without an end': [
      Buffer.concat([back.authenticationOk(), message('S', Buffer.from('abc'))]),
      /^08P01/,
    ],
    'bytes behind ReadyForQuery': [
      Buffer.concat([back.welcome(), back.dataRow('x')]),
      /^08P01: .*sent bytes after ReadyForQuery/,
    ],
  }
  for (const mode of modes) {
    for (const [name, [bytes, words]] of Object.entries(wrong)) {
      const { host, port } = await mockOf(test, [expectStartup(), send(bytes), silence()])
      const source = { host, port, password: 'secret' }
      const pontoon = await pontoonOf(test, { source, mode })
      await test.rejects(pontoon.client(), { message: words }, `${mode} mode, ${name}`)
    }
  }
})

void t.test('a flood of parameters and notices is bounded', async (test) => {
  const filler = 'x'.repeat(100_000)
  const floods: Readonly<Record<string, (index: number) => Buffer>> = {
    parameters: (index) => back.parameterStatus(`name${index}`, filler),
    notices: () => back.noticeResponse('01000', filler),
  }
  for (const [name, flood] of Object.entries(floods)) {
    const steps = Array.from({ length: 60 }, (_, index) => send(flood(index)))
    const script = [expectStartup(), send(back.authenticationOk()), ...steps, silence()]
    const pontoon = await pontoonOf(test, { source: await mockOf(test, script) })
    await test.rejects(pontoon.client(), { message: /^08P01: .*floods the login/ }, name)
  }
})

void t.test('clients that reset their connection behind SSLRequest leave at once', async (test) => {
  const pontoon = await pontoonOf(test, {
    source: server,
    config: {
      clientTls: { mode: 'prefer', cert: own.certPath, key: own.keyPath },
      limits: { loginTimeoutMs: 120_000 },
    },
  })
  const clients = Array.from({ length: 100 }, async () => {
    const socket = connectTcp({ host: pontoon.host, port: pontoon.port })
    await once(socket, 'connect')
    socket.write(sslRequest())
    socket.resetAndDestroy()
  })
  await Promise.all(clients)
  const logins = (): number => pontoon.service.snapshot().clients.startup
  // Far below limits.loginTimeoutMs, which ended them before.
  await until(() => logins() === 0, 'no login is left')
  test.equal(logins(), 0)
})
