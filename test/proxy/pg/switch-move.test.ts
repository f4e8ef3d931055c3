/** A switch of the primary side under sessions of all kinds, over two real servers. */
import t from 'tap'
import type { Test } from 'tap'
import { lookAtSide } from '../../../src/control/side-probe.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import type { Service } from '../../../src/proxy/service.ts'
import type { Route } from '../../../src/routing/route.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import {
  ask,
  present,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  until,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres, type PostgresServer } from '../../support/postgres.ts'

const [source, target] = await Promise.all([
  startPostgres({ major: 15, auth: 'trust' }),
  startPostgres({ major: 15, auth: 'trust' }),
])
t.teardown(() => Promise.all([source.stop(), target.stop()]))
for (const [name, server] of Object.entries({ source, target }))
  await server.query(`CREATE TABLE here AS SELECT '${name}' AS side`)

async function pontoonOf(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  const pontoon = await startPontoon({ source, target, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const managed: Partial<Route> = { epoch: 2, phase: 'managed', primary: 'target', reads: 100 }

/** Ends what is connected to a side, as its fence does. */
async function fence(server: PostgresServer): Promise<void> {
  await server.query(
    `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()`,
  )
}

async function backendsOf(server: PostgresServer): Promise<number[]> {
  const found = await server.query<{ pid: number }>(
    `SELECT pid FROM pg_catalog.pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() ORDER BY pid`,
  )
  return found.map(({ pid }) => pid)
}

/** The steps of a switch that the data plane sees. */
async function switchOver(service: Service, during?: () => Promise<void>): Promise<void> {
  const hold = service.beginSwitch('cutover of orders')
  const { drained } = await hold.drained(5_000)
  if (!drained) throw new Error('not drained')
  await fence(source)
  await during?.()
  service.applyRoute({ ...service.route, ...managed })
  hold.release({ gradually: true })
}

const sideOf = (client: RawClient): Promise<string | null> => value(client, 'SELECT side FROM here')

void t.test('the backends it holds are those that the database shows', async (test) => {
  const pontoon = await pontoonOf(test, {
    config: {
      clientAuth: { mode: 'scram', query: { user: 'postgres', database: 'postgres' } },
      users: { postgres: { verifier: 'x' } },
    },
  })
  const { service } = pontoon
  const clients = await Promise.all([1, 2, 3].map(() => pontoon.client({ password: 'x' })))
  const [first, pinned] = clients
  await ask(present(first), 'LISTEN news')
  await ask(present(pinned), 'CREATE TEMP TABLE kept ()')
  await test.rejects(pontoon.client({ user: 'nobody', password: 'x' }), 'whom auth_query asks for')
  await lookAtSide(new Secrets({ clock: systemClock, log: silentLog }))(service, 'source')
  const held = (): number[] =>
    [...present(service.backends).source.pids()].toSorted((a, b) => a - b)
  await until(
    async () => JSON.stringify(await backendsOf(source)) === JSON.stringify(held()),
    'both lists are the same',
  )
  test.ok(held().length >= 4, `${held().length}: pool, pinned, listener, auth_query`)
  test.strictSame(present(service.backends).target.pids(), [])
  const bypassing = await rawClient(source.port)
  test.teardown(() => bypassing.wire.destroy())
  const strangers = async (): Promise<number[]> => {
    const known = new Set(held())
    return (await backendsOf(source)).filter((pid) => !known.has(pid))
  }
  await until(async () => (await strangers()).length === 1, 'who comes past Pontoon is found')
})

void t.test('pooled sessions follow, whatever they carry that can be carried', async (test) => {
  const pontoon = await pontoonOf(test)
  const { service } = pontoon
  const [plain, setting, named, listening, parked] = await Promise.all(
    Array.from({ length: 5 }, () => pontoon.client()),
  )
  if (plain === undefined || setting === undefined || named === undefined) throw new Error('none')
  if (listening === undefined || parked === undefined) throw new Error('none')
  await ask(setting, "SET application_name = 'mine'")
  await named.wire.send(
    Buffer.concat([
      parse('SELECT side FROM here', 'q'),
      bind({ statement: 'q' }),
      execute(),
      sync(),
    ]),
  )
  await named.wire.until('Z')
  await ask(listening, 'LISTEN news')
  await until(() => service.snapshot().pinned['listen'] === undefined, 'its LISTEN has moved')
  await switchOver(service, async () => {
    await parked.wire.send(query('SELECT side FROM here'))
    await until(() => service.gate.snapshot().parked === 1, 'parked')
  })
  test.equal(summary(await parked.wire.until('Z')), 'TDCZ')
  test.equal(await sideOf(plain), 'target')
  test.equal(await value(setting, 'SHOW application_name'), 'mine')
  await named.wire.send(Buffer.concat([bind({ statement: 'q' }), execute(), sync()]))
  test.equal(summary(await named.wire.until('Z')), '2DCZ')
  await until(async () => {
    await ask(plain, "NOTIFY news, 'from the target'")
    return listening.wire.pending
  }, 'what it listens to comes from the target')
  test.equal(service.stats.transactions.source > 0, true)
  await until(
    async () => (await backendsOf(source)).length === 0,
    'nothing is left on the old side',
  )
  test.strictSame([...service.stats.ownErrors], [])
})

void t.test('what cannot move is listed, and ends at its next request with 57P01', async (test) => {
  const pontoon = await pontoonOf(test)
  const { service } = pontoon
  const [pinned, ended, free] = await Promise.all([1, 2, 3].map(() => pontoon.client()))
  if (pinned === undefined || ended === undefined || free === undefined) throw new Error('none')
  await ask(pinned, 'CREATE TEMP TABLE kept ()')
  await ask(ended, 'SELECT pg_catalog.pg_advisory_lock(1)')
  await ask(free, 'SELECT 1')
  await until(() => {
    const { pinned: reasons } = service.snapshot()
    return reasons['advisory-lock'] === 1 && reasons['temp-table'] === 1
  }, 'both are pinned')
  const found = service.immovable?.() ?? []
  test.strictSame(found.map(({ pinReason }) => pinReason).toSorted(), [
    'advisory-lock',
    'temp-table',
  ])
  const [lock] = found.filter(({ pinReason }) => pinReason === 'advisory-lock')
  test.equal(service.endSessions({ id: present(lock).id }), 1)
  test.equal(sqlstate(await ended.wire.until('E')), '57P01')

  const hold = service.beginSwitch('cutover of orders')
  test.match(await hold.drained(5_000), { drained: true })
  await pinned.wire.send(query("INSERT INTO here VALUES ('split brain')"))
  await until(() => service.gate.snapshot().parked === 1, 'parked')
  // No fence here: what holds is that nothing is sent any more.
  service.applyRoute({ ...service.route, ...managed })
  hold.release()
  test.equal(sqlstate(await pinned.wire.until('E')), '57P01')
  test.equal(await sideOf(free), 'target')
  const [left] = await source.query<{ n: string }>('SELECT pg_catalog.count(*) AS n FROM here')
  test.equal(left?.n, '1', 'nothing was written to the old side')
})

void t.test('an open transaction does not go on where it could write', async (test) => {
  const pontoon = await pontoonOf(test)
  const client = await pontoon.client()
  await rows(client, 'BEGIN')
  await rows(client, "INSERT INTO here VALUES ('not committed')")
  const hold = pontoon.service.beginSwitch('cutover of orders')
  test.match(await hold.drained(20), { drained: false })
  pontoon.service.applyRoute({ ...pontoon.service.route, ...managed })
  test.equal(sqlstate(await client.wire.until('E')), '57P01')
  hold.release()
  const [left] = await source.query<{ n: string }>('SELECT pg_catalog.count(*) AS n FROM here')
  test.equal(left?.n, '1')
})

void t.test('session mode: who has left nothing is moved, the others are listed', async (test) => {
  const pontoon = await pontoonOf(test, { mode: 'session' })
  const { service } = pontoon
  const clients = await Promise.all(Array.from({ length: 4 }, () => pontoon.client()))
  const [clean, reset, parked, set] = clients
  if (clean === undefined || reset === undefined) throw new Error('none')
  if (parked === undefined || set === undefined) throw new Error('none')
  await ask(clean, 'BEGIN')
  await ask(clean, "INSERT INTO here VALUES ('undone')")
  await ask(clean, 'ROLLBACK')
  await ask(reset, "SET application_name = 'mine'")
  await ask(reset, 'DISCARD ALL')
  await ask(set, "SET application_name = 'mine'")
  const found = service.immovable?.() ?? []
  test.match(found, [{ pinReason: 'settings' }])
  test.equal(found.length, 1)
  service.endSessions({ id: present(found[0]).id })
  await switchOver(service, async () => {
    await parked.wire.send(query('SELECT side FROM here'))
    await until(() => service.gate.snapshot().parked === 1, 'parked')
  })
  test.equal(summary(await parked.wire.until('Z')), 'TDCZ')
  test.equal(await sideOf(clean), 'target')
  test.equal(await sideOf(reset), 'target')
  test.equal(await sideOf(clean), 'target', 'and stays there')
  test.equal(service.snapshot().clients.idle, 3)
})

void t.test('a side that is warmed serves at once, as many as were served before', async (test) => {
  const size = 4
  const pontoon = await pontoonOf(test, { pool: { size } })
  const { service } = pontoon
  const clients = await Promise.all(Array.from({ length: 40 }, () => pontoon.client()))
  await Promise.all(clients.map((client) => ask(client, 'SELECT pg_catalog.pg_sleep(0.01)')))
  await ask(present(clients[0]), 'LISTEN news')
  await until(() => service.snapshot().pinned['listen'] === undefined, 'its LISTEN has moved')
  const hold = service.beginSwitch('cutover of orders')
  test.match(await hold.drained(5_000), { drained: true })
  await fence(source)
  for (const { wire } of clients) await wire.send(query('SELECT side FROM here'))
  await until(() => service.gate.snapshot().parked === clients.length, 'all are parked')
  service.applyRoute({ ...service.route, ...managed })
  test.equal(await service.warm?.('target', 10_000), size)
  const opened = service.stats.servers.target.opened
  const releasedAtMs = performance.now()
  hold.release({ gradually: true })
  for (const { wire } of clients) test.equal(summary(await wire.until('Z')), 'TDCZ')
  const tookMs = performance.now() - releasedAtMs
  test.comment(
    `${clients.length} clients had their answers ${Math.round(tookMs)} ms after the release`,
  )
  test.equal(service.stats.servers.target.opened, opened, 'nobody waited for a login')
  await target.query("NOTIFY news, 'at once'")
  // Its listener was ended by the fence, of which it is told; the notification comes all the same.
  const told = await present(clients[0]).wire.until('A')
  test.match(told.at(-1)?.body.toString('latin1'), /at once/, 'LISTENs are in force')
})
