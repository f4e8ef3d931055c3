/**
 * Servers that die, in transaction pooling, before anything of the client's request was sent to
 * them: only Pontoon's own preparations were under way, so the request goes to another server. What
 * may have been sent is never sent a second time.
 */
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import type { Clock } from '../../../src/shared/clock.ts'
import {
  expect,
  expectStartup,
  reset,
  run as act,
  send,
  silence,
  startMockPostgres,
} from '../../support/mock-postgres.ts'
import type { MockPostgres, Step } from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import { bind, describeStatement, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { rowValues, summary } from '../../support/pg-wire.ts'
import { rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'
import { serverDeaths, type Death } from '../../support/server-deaths.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
const relay = await startRelay({ to: { host: server.host, port: server.port } })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})
await server.query('CREATE TABLE taken (number serial, by text)')

const deaths = serverDeaths(server, relay)

async function start(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  await server.query('TRUNCATE taken')
  const pool = { size: 1, holdMs: 30_000 }
  const pontoon = await startPontoon({ source: relay, pool, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function backendOf(client: RawClient): Promise<number> {
  return Number(await value(client, 'SELECT pg_backend_pid()'))
}

/** What the client sends makes Pontoon send something, which is held until the server is dead. */
async function dieAmid(
  { wire }: RawClient,
  pid: number,
  { cause, heal }: Death,
  request: readonly Buffer[],
): Promise<void> {
  relay.stall('up')
  await wire.send(...request)
  await until(() => relay.holding('up') === 1, 'Pontoon has sent something to the server')
  const before = relay.accepted
  await cause(pid)
  await until(() => relay.accepted > before || wire.pending, 'the server is lost')
  relay.heal()
  await heal?.()
}

const insert = "INSERT INTO taken (by) VALUES (current_setting('work_mem'))"

for (const death of deaths) {
  void t.test(`while the settings go ahead, ${death.name}`, async (test) => {
    const pontoon = await start(test)
    const client = await pontoon.client()
    await rows(client, "SET work_mem = '5MB'")
    const requests = {
      Q: [query(insert)],
      batch: [parse(insert), bind(), execute(), sync()],
      pipeline: [parse(insert, 'i'), sync(), bind({ statement: 'i' }), execute(), sync()],
    }
    for (const [name, request] of Object.entries(requests)) {
      const other = await pontoon.client()
      const pid = await backendOf(other)
      await dieAmid(client, pid, death, request)
      const answer = await client.wire.until('C')
      test.equal(sqlstate(answer), '', name)
      await client.wire.until('Z')
      other.wire.destroy()
      await pontoon.untilIdle()
    }
    const taken = await server.query('SELECT by FROM taken')
    test.strictSame(
      taken,
      Array.from({ length: 3 }, () => ({ by: '5MB' })),
      'each once',
    )
  })

  void t.test(`while columns are asked for, ${death.name}`, async (test) => {
    const pontoon = await start(test)
    const client = await pontoon.client()
    const sql = `${insert} RETURNING by`
    await client.wire.send(parse(sql, 's'), describeStatement('s'), sync())
    await client.wire.until('Z')
    pontoon.service.reconnect()
    const pid = await backendOf(client)
    await dieAmid(client, pid, death, [bind({ statement: 's' }), execute(), sync()])
    const answer = await client.wire.until('Z')
    test.equal(summary(answer), '2DCZ', sqlstate(answer))
    // Nothing waits for an answer that the dead server owed.
    await client.wire.send(bind({ statement: 's' }), execute(), sync())
    test.equal(summary(await client.wire.until('Z')), '2DCZ')
    test.strictSame(await server.query('SELECT by FROM taken'), [{ by: '4MB' }, { by: '4MB' }])
    await pontoon.untilIdle()
  })

  void t.test(`what may have been sent is not sent again, ${death.name}`, async (test) => {
    const pontoon = await start(test)
    const client = await pontoon.client()
    const pid = await backendOf(client)
    await dieAmid(client, pid, death, [query(insert)])
    test.match(sqlstate(await client.wire.until('E')), /^(08006|57P01)$/)
    await client.wire.closed()
    test.strictSame(await server.query('SELECT by FROM taken'), [])
    await pontoon.untilIdle()
  })
}

void t.test('a BEGIN that was answered here goes to the next server', async (test) => {
  const pontoon = await start(test, { route: { reads: 100 } })
  const client = await pontoon.client()
  await rows(client, "SET work_mem = '5MB'")
  const [death] = deaths
  const other = await pontoon.client()
  const isHeld = async (): Promise<boolean> => {
    await rows(client, 'BEGIN READ ONLY')
    if (pontoon.busyServers() === 0) return true
    await rows(client, 'COMMIT')
    return false
  }
  await until(isHeld, 'BEGIN is answered here')
  const pid = await backendOf(other)
  if (death === undefined) throw new Error('no death')
  const sql = "SELECT current_setting('transaction_read_only')"
  await dieAmid(client, pid, death, [query(sql)])
  const answer = await client.wire.until('Z')
  test.strictSame(answer.filter(({ type }) => type === 'D').map(rowValues), [['on']])
  await rows(client, 'COMMIT')
})

// What follows is scripted: a server that is lost each time.

const settled = (): Step =>
  send(
    back.rowDescription('set_config'),
    back.dataRow('5MB'),
    back.commandComplete('SELECT 1'),
    back.readyForQuery(),
  )

async function pontoonBefore(
  test: Test,
  mock: MockPostgres,
  options: Partial<PontoonOptions> = {},
): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: mock, pool: { size: 1 }, ...options })
  test.teardown(async () => {
    await pontoon.stop()
    await mock.stop()
  })
  return pontoon
}

/** However long it takes, a server is lost as soon as it was opened. */
const stillClock: Clock = { ...systemClock, nowMs: () => 1_000 }

const withSetting = { parameters: { options: '-c work_mem=5MB' } }
const opened = [expectStartup(), send(back.welcome()), expect('Q')]

/** The request of a client finds servers that are lost, and must not have been sent to any. */
async function isEnded(test: Test, pontoon: Pontoon, mock: MockPostgres): Promise<void> {
  const client = await pontoon.client(withSetting)
  pontoon.service.reconnect()
  await client.wire.send(query(insert))
  test.equal(sqlstate(await client.wire.until('E')), '08006')
  await client.wire.closed()
  test.notOk(mock.messages.some(({ body }) => body.includes('INSERT')))
}

void t.test('servers are not opened in a loop', async (test) => {
  const mock = await startMockPostgres((connection) => [
    ...opened,
    ...(connection === 0 ? [settled(), silence()] : [reset()]),
  ])
  await isEnded(test, await pontoonBefore(test, mock, { clock: stillClock }), mock)
  test.equal(mock.connections, 4)
})

void t.test('no other server is tried for longer than a client may wait', async (test) => {
  let passedMs = 0
  const clock: Clock = { ...systemClock, nowMs: () => 1_000 + passedMs }
  const mock = await startMockPostgres((connection) => [
    ...opened,
    ...(connection === 0 ? [settled(), silence()] : [act(() => void (passedMs += 3_000)), reset()]),
  ])
  const pool = { size: 1, queueTimeoutMs: 2_000 }
  await isEnded(test, await pontoonBefore(test, mock, { pool, clock }), mock)
  test.equal(mock.connections, 3)
})

void t.test('a login goes to another server too', async (test) => {
  const mock = await startMockPostgres((connection) => [
    ...opened,
    ...(connection === 2 ? [settled(), silence()] : [reset()]),
  ])
  const pontoon = await pontoonBefore(test, mock, { clock: stillClock })
  await pontoon.client(withSetting)
  test.equal(mock.connections, 3)
  pontoon.service.reconnect()
  await test.rejects(pontoon.client(withSetting), /08006/)
  test.equal(mock.connections, 6)
})
