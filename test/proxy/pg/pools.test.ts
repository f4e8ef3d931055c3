/** Pools against real servers: warm minimum, bursts, caps, dead and stalled hosts, standbys. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { query } from '../../support/pg-frontend.ts'
import {
  ask,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  until,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE DATABASE other')

const other = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => other.stop())

async function pontoonOf(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const soonMs = 30_000

const open = (pontoon: Pontoon, side: 'source' | 'target'): number =>
  pontoon
    .pools()
    .filter((pool) => pool.side === side)
    .reduce((sum, pool) => sum + pool.idle + pool.active, 0)

await t.test(
  'the warm minimum of listed users stands on both sides before a client',
  async (test) => {
    const pontoon = await pontoonOf(test, {
      target: other,
      pool: { minSize: 3, size: 5 },
      config: { users: { postgres: {} }, databases: ['postgres'] },
    })
    const isWarm = (): boolean => open(pontoon, 'source') === 3 && open(pontoon, 'target') === 3
    await until(isWarm, 'three on each side', soonMs)
    await server.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    await until(
      () => pontoon.service.stats.servers.source.opened >= 6,
      'lost ones are replaced',
      soonMs,
    )
    await until(isWarm, 'three again', soonMs)
  },
)

await t.test('who uses one side finds servers on the other', async (test) => {
  const pontoon = await pontoonOf(test, { target: other, pool: { minSize: 2 } })
  const client = await pontoon.client()
  await until(() => open(pontoon, 'target') === 2, 'two on the target', soonMs)
  const route = pontoon.service.route
  pontoon.service.applyRoute({ ...route, epoch: 2, primary: 'target' })
  const port = "SELECT current_setting('port')"
  test.equal(await value(client, port), String(other.port))
  test.equal(pontoon.service.stats.servers.target.opened, 2, 'none had to be opened')
})

await t.test('a burst opens as many servers as it needs at once', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 20 } })
  const clients = await Promise.all(Array.from({ length: 20 }, () => pontoon.client()))
  // They work until all are at work, however long that takes.
  const holder = await rawClient(server.port)
  await ask(holder, 'SELECT pg_advisory_lock(7)')
  const working = clients.map((client) => ask(client, 'SELECT pg_advisory_xact_lock_shared(7)'))
  await until(
    () => pontoon.busyServers() === 20 && open(pontoon, 'source') === 20,
    'all at work',
    soonMs,
  )
  holder.wire.destroy()
  for (const answer of await Promise.all(working)) test.equal(sqlstate(answer), '')
})

await t.test('caps over users and databases', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 5, serversMax: 3 } })
  const [first, second] = [await pontoon.client(), await pontoon.client({ database: 'other' })]
  const third = await pontoon.client()
  for (const client of [first, second, third]) await ask(client, 'BEGIN')
  const fourth = await pontoon.client({ database: 'other' })
  const answer = value(fourth, 'SELECT 4')
  await until(
    () => pontoon.service.snapshot().clients.waiting === 1,
    'one waits for a place',
    soonMs,
  )
  test.equal(open(pontoon, 'source'), 3)
  await ask(first, 'COMMIT')
  test.equal(await answer, '4', 'the place of an idle server of another database')
  test.ok(open(pontoon, 'source') <= 3)
  for (const client of [second, third]) await ask(client, 'COMMIT')
  await pontoon.untilIdle()
})

await t.test('a size of its own for a user', async (test) => {
  const pontoon = await pontoonOf(test, { config: { users: { postgres: { poolSize: 1 } } } })
  const [first, second] = [await pontoon.client(), await pontoon.client()]
  await ask(first, 'BEGIN')
  const waiting = value(second, 'SELECT 2')
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'the second to wait', soonMs)
  await ask(first, 'COMMIT')
  test.equal(await waiting, '2')
})

await t.test('kill -9 of the server: who waited is served by what comes up', async (test) => {
  const pontoon = await pontoonOf(test, {
    source: other,
    pool: { size: 3, minSize: 2, holdMs: 30_000, queueTimeoutMs: 30_000 },
  })
  const [busy, idle] = [await pontoon.client(), await pontoon.client()]
  await busy.wire.send(query('SELECT pg_sleep(60)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'at work', soonMs)
  await other.kill9()
  test.equal(sqlstate(await busy.wire.until('E')), '08006')
  const held = value(idle, 'SELECT 1')
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'held', soonMs)
  await other.restart()
  test.equal(await held, '1')
  await until(() => open(pontoon, 'source') >= 2, 'the minimum is back', soonMs)
})

await t.test('a stalled host: idle servers are found out and closed', async (test) => {
  const pontoon = await pontoonOf(test, {
    source: other,
    pool: { size: 3, probeIntervalMs: 300, holdMs: 30_000, queueTimeoutMs: 30_000 },
    config: {
      source: {
        host: other.host,
        port: other.port,
        tls: { mode: 'disable' },
        connectTimeoutMs: 500,
      },
    },
  })
  const clients = [await pontoon.client(), await pontoon.client()]
  await Promise.all(clients.map((client) => ask(client, 'SELECT pg_sleep(0.05)')))
  const { stats } = pontoon.service
  await until(() => stats.servers.source.probes.alive >= 2, 'signs of life', soonMs)
  other.pause()
  test.teardown(() => other.resume())
  await until(() => stats.servers.source.probes.dead >= 2, 'both are found out', soonMs)
  await until(() => open(pontoon, 'source') === 0, 'and closed', soonMs)
  other.resume()
  for (const client of clients) test.equal(await value(client, 'SELECT 1'), '1')
})

await t.test(
  'a standby on the primary side takes no writes, and is left once promoted',
  async (test) => {
    const standby = await startPostgres({ major: 15, auth: 'trust' })
    test.teardown(() => standby.stop())
    const signal = join(standby.folder, 'data', 'standby.signal')
    const pontoon = await pontoonOf(test, {
      source: standby,
      pool: { size: 2, holdMs: 30_000, queueTimeoutMs: 30_000 },
    })
    const client = await pontoon.client()
    await rows(client, 'CREATE TABLE written (n int)')
    await standby.shutdown('fast')
    writeFileSync(signal, '')
    await standby.restart()
    const writing = rows(client, 'INSERT INTO written VALUES (1) RETURNING pg_is_in_recovery()')
    const { openErrors } = pontoon.service.stats.servers.source
    await until(
      () => (openErrors.get('SERVER_IN_RECOVERY') ?? 0) >= 2,
      'refused, and tried again',
      soonMs,
    )
    test.equal(pontoon.service.snapshot().clients.waiting, 1, 'held meanwhile')
    await standby.query('SELECT pg_promote()')
    test.strictSame(await writing, [['f']])
    rmSync(signal, { force: true })
  },
)
