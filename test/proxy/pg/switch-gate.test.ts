/** The gate held for a switch of the primary side, over a real server. */
import t from 'tap'
import type { Test } from 'tap'
import { query, startup } from '../../support/pg-frontend.ts'
import { connect, summary } from '../../support/pg-wire.ts'
import { ask, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15 })
t.teardown(() => server.stop())

async function pontoonOf(test: Test, options: Partial<PontoonOptions>): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const longMs = 60_000
/** Long enough for all to come to the gate. */
const limitMs = 2_500

const parked = (pontoon: Pontoon): number => pontoon.service.gate.snapshot().parked

void t.test('a switch drains, and nobody else opens the gate meanwhile', async (test) => {
  const pontoon = await pontoonOf(test, {})
  const { service } = pontoon
  const [busy, idle] = [await pontoon.client(), await pontoon.client()]
  await ask(busy, 'BEGIN')
  const hold = service.beginSwitch('cutover of orders')
  test.match(await hold.drained(20), { drained: false, waitingFor: [{ work: /transaction/ }] })
  await idle.wire.send(query('SELECT 2'))
  await until(() => parked(pontoon) === 1, 'parked')
  const refusal = { code: 'GATE_REFUSED', message: /cutover of orders/ }
  await test.rejects(service.pause(1_000, 0, 'an operator'), refusal)
  test.throws(() => service.resume(), refusal)
  test.throws(() => service.beginSwitch('another'), refusal)
  service.applyConfig(service.config)
  service.reconnect()
  const drained = hold.drained(5_000)
  await ask(busy, 'COMMIT')
  test.match(await drained, { drained: true, waitingFor: [] })
  test.notOk(idle.wire.pending)
  hold.release()
  test.equal(summary(await idle.wire.until('Z')), 'TDCZ')
  test.match(await hold.drained(20), { drained: false }, 'after the release nothing is drained')
})

void t.test('who waits for a server when a switch begins meets no deadline', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 1 } })
  const { service } = pontoon
  const busy = await pontoon.client()
  const waiting = await pontoon.client()
  const late = await Promise.all([pontoon.client(), pontoon.client()])
  await ask(busy, 'BEGIN')
  pontoon.tighten({ pool: { queueTimeoutMs: limitMs } })
  await waiting.wire.send(query("SELECT 'waited'"))
  await until(() => service.snapshot().clients.waiting === 1, 'one waits')
  const hold = service.beginSwitch('cutover of orders')
  pontoon.tighten({ pool: { queueMax: 1 }, limits: { loginTimeoutMs: limitMs } })
  for (const { wire } of late) await wire.send(query("SELECT 'late'"))
  // Of a kind that no server has been asked for yet, so that its login needs one.
  const newcomer = pontoon.client({ parameters: { application_name: 'new' } })
  await until(() => parked(pontoon) === 4, 'all are at the gate')
  pontoon.tighten({ limits: { clientIdleMs: limitMs } })
  const heldAtMs = performance.now()
  await until(() => performance.now() - heldAtMs > limitMs * 1.4, 'every limit is over')
  test.equal(parked(pontoon), 4)
  pontoon.tighten({ pool: { queueTimeoutMs: longMs }, limits: { loginTimeoutMs: longMs } })
  pontoon.tighten({ limits: { clientIdleMs: longMs } })
  await ask(busy, 'COMMIT')
  test.match(await hold.drained(longMs), { drained: true })
  hold.release({ gradually: true })
  test.equal(summary(await waiting.wire.until('Z')), 'TDCZ')
  for (const { wire } of late) test.equal(summary(await wire.until('Z')), 'TDCZ')
  test.equal(await value(await newcomer, 'SELECT 1'), '1')
  test.strictSame([...service.stats.ownErrors], [])
})

void t.test(
  'released gradually, a small pool serves many in order and at its pace',
  async (test) => {
    const size = 3
    const count = 90
    const pontoon = await pontoonOf(test, { pool: { size } })
    const { service } = pontoon
    const clients = await Promise.all(Array.from({ length: count }, () => pontoon.client()))
    // All three servers are there.
    await Promise.all(clients.map((client) => ask(client, 'SELECT pg_catalog.pg_sleep(0.01)')))
    const hold = service.beginSwitch('cutover of orders')
    for (const [index, { wire }] of clients.entries()) {
      await wire.send(query('SELECT pg_catalog.pg_sleep(0.1)'))
      await until(() => parked(pontoon) === index + 1, `${index} parked`)
    }
    // Not enough for all of them: only who stands in the queue is held to it.
    pontoon.tighten({ pool: { queueMax: size, queueTimeoutMs: 2_000 } })
    let waitingMost = 0
    const order: number[] = []
    const releasedAtMs = performance.now()
    hold.release({ gradually: true })
    await Promise.all(
      clients.map(async ({ wire }, index) => {
        const answer = summary(await wire.until('Z'))
        if (answer !== 'TDCZ') test.fail(`${index} got ${answer}`)
        order.push(index)
        waitingMost = Math.max(waitingMost, pontoon.pools()[0]?.waiting ?? 0)
      }),
    )
    const tookMs = performance.now() - releasedAtMs
    test.ok(waitingMost <= size, `${waitingMost} stood in the queue`)
    const ahead = order.map((index, at) => Math.abs(index - at))
    test.ok(Math.max(...ahead) < 2 * size, 'in order, but for what runs at the same time')
    const leastMs = (count / size) * 100
    test.comment(`${count} queries of 100 ms on ${size} servers took ${Math.round(tookMs)} ms`)
    test.ok(tookMs < leastMs * 2 + 1_000, `${tookMs} ms: no server idles while somebody waits`)
  },
)

void t.test('a pause in force when a switch begins goes on after it', async (test) => {
  const pontoon = await pontoonOf(test, {})
  const client = await pontoon.client()
  await pontoon.service.pause(60_000, 1_000, 'maintenance')
  await client.wire.send(query('SELECT 1'))
  await until(() => parked(pontoon) === 1, 'parked')
  pontoon.service.beginSwitch('cutover of orders').release()
  test.match(pontoon.service.gate.snapshot(), { keptBy: 'pause', parked: 1 })
  pontoon.service.resume()
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')
})

void t.test('who leaves while a switch cuts off its login is counted no more', async (test) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  test.teardown(() => relay.close())
  const { host, port } = relay
  const pontoon = await pontoonOf(test, {
    source: { host, port, password: server.password },
  })
  const { service } = pontoon
  const first = await pontoon.client()
  pontoon.tighten({ limits: { clientsPerUserMax: 2 } })
  relay.stall()
  // Its setting goes to the one server that is there, and is not answered.
  const leaving = await connect('127.0.0.1', pontoon.port)
  const parameters = { user: 'postgres', database: 'postgres', TimeZone: 'Asia/Tokyo' }
  await leaving.send(startup(parameters))
  await until(() => pontoon.busyServers() === 1, 'its login has the server')
  leaving.destroy()
  await until(() => service.snapshot().clients.startup === 0, 'it has left')
  const hold = service.beginSwitch('cutover of orders')
  relay.heal()
  relay.cut()
  await until(() => pontoon.busyServers() === 0, 'the server is lost')
  hold.release()
  const second = await pontoon.client()
  test.equal(await value(second, 'SELECT 1'), '1')
  test.equal(await value(first, 'SELECT 1'), '1')
})

void t.test('a service that closes ends a switch', async (test) => {
  const pontoon = await pontoonOf(test, {})
  const client = await pontoon.client()
  const hold = pontoon.service.beginSwitch('cutover of orders')
  await client.wire.send(query('SELECT 1'))
  await until(() => parked(pontoon) === 1, 'parked')
  await pontoon.stop()
  test.equal(sqlstate(await client.wire.until('E')), '57P01')
  test.notOk(hold.isInForce)
  test.throws(() => pontoon.service.beginSwitch('too late'), { code: 'SHUTTING_DOWN' })
})

void t.test(
  'a password that the fence refuses is asked for again after the switch',
  async (test) => {
    await server.createUser({ name: 'shopper', password: 'right' })
    const { host, port } = server
    const pontoon = await pontoonOf(test, {
      source: { host, port },
      config: { clientAuth: { mode: 'passthrough' }, limits: { loginTimeoutMs: 1_000 } },
    })
    const hold = pontoon.service.beginSwitch('cutover of orders')
    await server.query('ALTER ROLE shopper NOLOGIN')
    const login = pontoon.client({ user: 'shopper', password: 'right', database: 'postgres' })
    login.catch(() => undefined)
    const heldAtMs = performance.now()
    await until(() => performance.now() - heldAtMs > 1_300, 'its login would be too late', 5_000)
    await server.query('ALTER ROLE shopper LOGIN')
    pontoon.tighten({ limits: { loginTimeoutMs: longMs } })
    hold.release()
    test.equal(await value(await login, 'SELECT current_user'), 'shopper')
  },
)
