/**
 * What keeps a client from its server is told to the client and written to the log, both times with
 * the code that docs/errors.md explains. Certificates of clients: client-certificate.test.ts.
 */
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { silentLog } from '../../../src/shared/log.ts'
import type { Log } from '../../../src/shared/log.ts'
import { startPontoon, until } from '../../support/pontoon.ts'
import { expectStartup, send, silence, startMockPostgres } from '../../support/mock-postgres.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'scram-sha-256' })
t.teardown(() => server.stop())

interface Told {
  readonly pontoon: Pontoon
  /** The codes of what was logged. */
  readonly codes: unknown[]
}

async function start(test: Test, options: Partial<PontoonOptions>): Promise<Told> {
  const codes: unknown[] = []
  const log: Log = {
    ...silentLog,
    info: (fields) => 'code' in fields && codes.push(fields.code),
  }
  const pontoon = await startPontoon({ source: server, log, ...options })
  test.teardown(() => pontoon.stop())
  return { pontoon, codes }
}

async function client(test: Test, { port }: Pontoon): Promise<Client> {
  const made = new Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  made.on('error', () => undefined)
  test.teardown(() => made.end().catch(() => undefined))
  await made.connect()
  return made
}

void t.test('a password of Pontoon that the server refuses is not the client’s', async (test) => {
  const source = { host: server.host, port: server.port, password: 'wrong' }
  for (const mode of ['session', 'transaction'] as const) {
    const { pontoon, codes } = await start(test, { source, mode })
    await test.rejects(client(test, pontoon), {
      code: '28P01',
      message: /^127\.0\.0\.1:\d+ refused the login: password authentication failed for user/,
      detail: 'Pontoon error SERVER_AUTH_FAILED.',
    })
    test.same(codes, ['SERVER_AUTH_FAILED'])
  }
})

void t.test('a side that is silent, and what else may listen at its port', async (test) => {
  const ask = expectStartup()
  const cases = [
    [[ask, silence()], /did not answer SSLRequest within \d+ ms$/, 'CONNECT_TIMEOUT'],
    [
      [ask, send(Buffer.from('S')), silence()],
      /did not finish the TLS handshake within \d+ ms$/,
      'CONNECT_TIMEOUT',
    ],
    [
      [ask, send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), silence()],
      /gave a wrong answer to SSLRequest: is it PostgreSQL\?$/,
      'SERVER_PROTOCOL',
    ],
  ] as const
  for (const [script, message, code] of cases) {
    const mock = await startMockPostgres(() => script)
    test.teardown(() => mock.stop())
    const source = {
      host: mock.host,
      port: mock.port,
      tls: { mode: 'prefer' },
      connectTimeoutMs: 500,
    }
    const { pontoon, codes } = await start(test, {
      source: mock,
      config: { source },
      pool: { holdMs: 0 },
    })
    await test.rejects(client(test, pontoon), { message, detail: `Pontoon error ${code}.` })
    test.same(codes, [code])
  }
})

void t.test('a session that gets no server', async (test) => {
  const { pontoon, codes } = await start(test, { pool: { size: 1, queueMax: 1 } })
  const busy = await client(test, pontoon)
  const late = await client(test, pontoon)
  const over = await client(test, pontoon)
  await busy.query('BEGIN')
  pontoon.tighten({ pool: { queueTimeoutMs: 1_500 } })
  const refused = test.rejects(late.query('SELECT 1'), {
    code: '53300',
    detail: 'Pontoon error POOL_TIMEOUT.',
  })
  await until(() => pontoon.pools().some(({ waiting }) => waiting === 1), 'one waits')
  await test.rejects(over.query('SELECT 1'), {
    code: '53300',
    detail: 'Pontoon error POOL_QUEUE_FULL.',
  })
  await refused
  test.same(codes, ['POOL_QUEUE_FULL', 'POOL_TIMEOUT'])
})

void t.test('nothing is said of each client that an operator ends', async (test) => {
  const { pontoon, codes } = await start(test, {})
  const ended = await client(test, pontoon)
  const told = test.rejects(ended.query('SELECT pg_sleep(60)'), {
    code: '57P01',
    detail: 'Pontoon error SHUTTING_DOWN.',
  })
  await until(() => pontoon.busyServers() === 1, 'it runs')
  await pontoon.stop()
  await told
  test.same(codes, [])
})
