/** Minor versions of the protocol, `_pq_.` options and the cancel keys that go with them. */
import t from 'tap'
import type { Test } from 'tap'
import { cancelRequest, int32, query, startup, untyped } from '../../support/pg-frontend.ts'
import { connect, errorFields } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { present, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import {
  close,
  expect,
  expectStartup,
  run,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import type { MockPostgres, Step } from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { startPsql } from '../../support/psql.ts'
import { startPostgres } from '../../support/postgres.ts'

const newest = await startPostgres({ major: 18, auth: 'trust' })
const older = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(async () => {
  await Promise.all([newest.stop(), older.stop()])
})

const version = (minor: number): number => 196_608 + minor
const modes = ['session', 'transaction'] as const

async function pontoonOf(test: Test, options: PontoonOptions): Promise<Pontoon> {
  const pontoon = await startPontoon(options)
  test.teardown(() => pontoon.stop())
  return pontoon
}

/** The negotiation, the error or the length of the cancel key: what depends on the version. */
async function answers(port: number, packet: Buffer): Promise<Record<string, string>> {
  const wire = await connect('127.0.0.1', port)
  await wire.send(packet)
  const messages: BackendMessage[] = []
  for (;;) {
    const message = await wire.next().catch(() => null)
    if (message !== null) messages.push(message)
    if (message === null || message.type === 'Z') break
  }
  wire.destroy()
  const found: Record<string, string> = {}
  for (const [index, message] of messages.entries()) {
    if (message.type === 'v') found['negotiated'] = `${index}: ${message.body.toString('hex')}`
    if (message.type === 'K') found['key'] = `${message.body.length - 4} bytes`
    if (message.type !== 'E') continue
    const { S: severity, C: code, M: words } = errorFields(message)
    found['error'] = `${severity} ${code} ${words}`
  }
  return found
}

const who = { user: 'postgres', database: 'postgres' }
const packets: Readonly<Record<string, Buffer>> = {
  '3.0': startup(who),
  '3.1': startup(who, version(1)),
  '3.2': startup(who, version(2)),
  '3.3': startup(who, version(3)),
  '3.9999': startup(who, version(9_999)),
  '3.0 with options': startup({ ...who, '_pq_.one': 'on', '_pq_.two': '' }),
  '3.2 with an option': startup({ ...who, '_pq_.future': 'on' }, version(2)),
  '3.9 with an option': startup({ '_pq_.future': 'on', ...who }, version(9)),
  '3.9 for nobody': startup({ database: 'postgres' }, version(9)),
  'an empty database name': startup({ user: 'postgres', database: '' }),
  '4.0': startup(who, 4 << 16),
  'an unknown request': untyped(int32(80_877_105), Buffer.alloc(8)),
}

void t.test('minor versions and _pq_. options are answered as PostgreSQL 18 does', async (test) => {
  for (const mode of modes) {
    const pontoon = await pontoonOf(test, { source: newest, mode })
    for (const [name, packet] of Object.entries(packets)) {
      const direct = await answers(newest.port, packet)
      test.strictSame(await answers(pontoon.port, packet), direct, `${mode} mode, ${name}`)
    }
  }
})

void t.test(
  'protocol 2 is refused; the server does it in the words of protocol 2',
  async (test) => {
    const pontoon = await pontoonOf(test, { source: newest })
    const packet = untyped(int32(131_072), Buffer.alloc(288))
    test.strictSame(await answers(pontoon.port, packet), {
      error: 'FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2',
    })
  },
)

void t.test('a client of 3.2 and one of 3.0 on an older server', async (test) => {
  for (const mode of modes) {
    const pontoon = await pontoonOf(test, { source: older, mode })
    const [long, short] = [
      await pontoon.client({ protocol: version(2) }),
      await pontoon.client({ protocol: version(0) }),
    ]
    test.equal(long.secret.length, 32, mode)
    test.equal(short.secret.length, 4, mode)
    test.equal(await value(long, 'SELECT 1'), '1')
  }
})

async function cancelled(pontoon: Pontoon, protocol: number): Promise<string> {
  const client = await pontoon.client({ protocol })
  await client.wire.send(query('SELECT pg_sleep(20)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'to run')
  const wire = await connect(pontoon.host, pontoon.port)
  // Running at the server, too: what is not there yet cannot be cancelled.
  await until(async () => {
    const seen = await newest.query("SELECT FROM pg_stat_activity WHERE query ~ 'sleep.20'")
    return seen.length > 1
  }, 'to run on the server')
  await wire.send(cancelRequest(client.pid, client.secret))
  await wire.closed()
  const answer = sqlstate(await client.wire.until('Z'))
  client.wire.destroy()
  await pontoon.untilIdle()
  return answer
}

void t.test('long cancel keys on either leg, both and none', async (test) => {
  for (const mode of modes) {
    for (const protocolVersion of ['3.0', '3.2']) {
      const { host, port } = newest
      const source = { host, port, tls: { mode: 'disable' }, protocolVersion }
      const pontoon = await pontoonOf(test, { source: newest, mode, config: { source } })
      for (const minor of [0, 2]) {
        const name = `${mode} mode, client 3.${minor}, server ${protocolVersion}`
        test.equal(await cancelled(pontoon, version(minor)), '57014', name)
      }
    }
  }
})

/** A server that takes `take` logins of these versions and answers queries. */
const takes = (take: number, keyBytes: number, ...more: readonly Buffer[]): readonly Step[] => {
  const [name, key] = [back.parameterStatus('server_version', '18.4'), Buffer.alloc(keyBytes, 5)]
  const ready = [name, back.backendKeyData(take, key), back.readyForQuery()]
  return [expectStartup(), send(...more, back.authenticationOk(), ...ready), silence()]
}

/** Versions that the mock was asked for, in order. */
const asked = (mock: MockPostgres): readonly number[] =>
  mock.messages.filter(({ type }) => type === '').map(({ body }) => body.readInt32BE(4) - 196_608)

async function mockOf(
  test: Test,
  script: (connection: number) => readonly Step[],
): Promise<MockPostgres> {
  const mock = await startMockPostgres(script)
  test.teardown(() => mock.stop())
  return mock
}

void t.test('auto: 3.2 is asked for once the server is known to be 18', async (test) => {
  const mock = await mockOf(test, () => takes(1, 4))
  const pontoon = await pontoonOf(test, { source: mock, mode: 'session' })
  for (let count = 0; count < 3; count += 1) await pontoon.client()
  test.strictSame(asked(mock), [0, 2, 2])
  const known = await pontoonOf(test, { source: older, mode: 'session' })
  for (let count = 0; count < 2; count += 1) await known.client()
  test.pass('and an older one is asked for 3.0 (nothing to see in its log)')
})

const refusals: Readonly<Record<string, readonly Step[]>> = {
  'in so many words': [
    expectStartup(),
    send(back.errorResponse('0A000', 'unsupported frontend protocol 3.2', 'FATAL')),
    close(),
  ],
  'as a breach of protocol': [
    expectStartup(),
    send(back.errorResponse('08P01', 'no such version', 'FATAL')),
    close(),
  ],
  'by a close': [expectStartup(), close()],
}

for (const [name, refusal] of Object.entries(refusals)) {
  void t.test(`auto: a server that refuses 3.2 ${name} is asked for 3.0`, async (test) => {
    const mock = await mockOf(test, (nth) => (nth === 1 ? refusal : takes(1, 4)))
    const pontoon = await pontoonOf(test, { source: mock, mode: 'session' })
    for (let count = 0; count < 3; count += 1) await pontoon.client()
    test.strictSame(asked(mock), [0, 2, 0, 0], 'at once, and from then on')
  })
}

const negotiation = (minor: number): Buffer =>
  Buffer.concat([Buffer.from('v'), int32(12), int32(version(minor)), int32(0)])

void t.test('3.2: a server that negotiates down, and one that negotiates up', async (test) => {
  for (const [minor, works] of [
    [0, true],
    [2, true],
    [3, false],
  ] as const) {
    const mock = await mockOf(test, () => takes(1, 4, negotiation(minor)))
    const side = { host: mock.host, port: mock.port, tls: { mode: 'disable' } }
    const config = { source: { ...side, protocolVersion: '3.2' } }
    const pool = { holdMs: 0 }
    const pontoon = await pontoonOf(test, { source: mock, mode: 'session', config, pool })
    const login = pontoon.client()
    if (works) test.ok(await login)
    else await test.rejects(login, { message: /^08P01: .*offers version 3\.3/ })
  }
})

void t.test('cancel keys of 4 to 256 bytes from servers, and no others', async (test) => {
  for (const bytes of [3, 4, 32, 256, 257]) {
    const requests: string[] = []
    const mock = await mockOf(test, (connection) =>
      connection === 0
        ? [...takes(9, bytes).slice(0, -1), expect('Q'), silence()]
        : [expectStartup(), run(() => void requests.push('cancel')), close()],
    )
    const pool = { holdMs: 0 }
    const pontoon = await pontoonOf(test, { source: mock, mode: 'session', pool })
    if (bytes < 4 || bytes > 256) {
      await test.rejects(pontoon.client(), { message: /^08P01: .*unexpected message/ }, `${bytes}`)
      continue
    }
    const client = await pontoon.client({ protocol: version(2) })
    test.equal(client.secret.length, 32, "Pontoon's own, whatever the server's is")
    await client.wire.send(query('SELECT 1'))
    await until(() => mock.messages.some(({ type }) => type === 'Q'), 'the query to arrive')
    const wire = await connect(pontoon.host, pontoon.port)
    await wire.send(cancelRequest(client.pid, client.secret))
    await wire.closed()
    const request = present(mock.messages.at(-1)).body
    test.strictSame(request, cancelRequest(9, Buffer.alloc(bytes, 5)), `${bytes} bytes`)
    test.strictSame(requests, ['cancel'])
  }
})

void t.test('a server without a cancel key is not asked to cancel', async (test) => {
  const mock = await mockOf(test, () => [
    expectStartup(),
    send(back.authenticationOk(), back.readyForQuery()),
    expect('Q'),
    silence(),
  ])
  const pontoon = await pontoonOf(test, { source: mock, mode: 'session' })
  const client = await pontoon.client()
  await client.wire.send(query('SELECT 1'))
  await until(() => mock.messages.some(({ type }) => type === 'Q'), 'the query to arrive')
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(cancelRequest(client.pid, client.secret))
  await wire.closed()
  test.equal(mock.connections, 1)
})

void t.test('libpq 18 asks for 3.2, runs a query and cancels one', async (test) => {
  for (const mode of modes) {
    const pontoon = await pontoonOf(test, { source: newest, mode })
    const target =
      `host=127.0.0.1 port=${pontoon.port} user=postgres dbname=postgres ` +
      'min_protocol_version=3.2 max_protocol_version=3.2'
    const plain = await startPsql(18, target, ['SELECT 6 * 7']).done
    test.strictSame(plain, { exit: 0, output: '42\n' }, mode)
    const sleeping = startPsql(18, target, ['SELECT pg_sleep(21)'])
    await until(async () => {
      const seen = await newest.query("SELECT FROM pg_stat_activity WHERE query ~ 'sleep.21'")
      return seen.length > 1
    }, 'to run on the server')
    // As Ctrl-C does: PQcancel with the key of 32 bytes.
    sleeping.child.kill('SIGINT')
    const { output } = await sleeping.done
    test.match(output, /canceling statement due to user request/, mode)
    await pontoon.untilIdle()
  }
})
