/** Hosts that die without a farewell, and names that lead elsewhere, under servers in use. */
import { createServer, connect, type LookupFunction, type Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { listenLocally } from '../../support/listen.ts'
import { query } from '../../support/pg-frontend.ts'
import { errorFields, summary } from '../../support/pg-wire.ts'
import { startPgBouncer } from '../../support/pgbouncer.ts'
import { ask, present, rawClient, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({
  major: 15,
  auth: 'trust',
  settings: { listen_addresses: '127.0.0.1, 127.0.0.2' },
})
t.teardown(() => server.stop())

const soonMs = 30_000

/** Quick to suspect, quick to give up. */
async function pontoonOf(
  test: Test,
  { host, port }: { host: string; port: number },
  options: Partial<PontoonOptions> = {},
): Promise<Pontoon> {
  const pontoon = await startPontoon({
    source: { host, port },
    ...options,
    pool: { suspectAfterMs: 400, probeIntervalMs: 400, dnsIntervalMs: 200, ...options.pool },
    config: {
      source: { host, port, tls: { mode: 'disable' }, connectTimeoutMs: 1_000 },
      ...options.config,
    },
  })
  test.teardown(() => pontoon.stop())
  return pontoon
}

async function lastWords({ wire }: RawClient): Promise<Record<string, string>> {
  return errorFields(present((await wire.until('E', soonMs)).at(-1)))
}

await t.test('the network goes away under queries and transactions', async (test) => {
  const relay = await startRelay({ to: server })
  test.teardown(() => relay.close())
  const pontoons = [
    await pontoonOf(test, relay, { mode: 'session' }),
    await pontoonOf(test, relay, { mode: 'transaction' }),
  ]
  const clients: RawClient[] = []
  for (const pontoon of pontoons) {
    const [working, silent] = [await pontoon.client(), await pontoon.client()]
    await ask(silent, 'BEGIN')
    await working.wire.send(query('SELECT pg_sleep(600)'))
    await until(() => pontoon.service.snapshot().clients.active === 2, 'both at work', soonMs)
    clients.push(working, silent)
  }
  relay.stall('both')
  for (const client of clients)
    test.match(await lastWords(client), { S: 'FATAL', C: '08006', M: /host does not answer/ })
  for (const pontoon of pontoons) await pontoon.untilIdle(soonMs)
  relay.heal()
  relay.cut()
  for (const pontoon of pontoons) test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
  await server.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
  )
})

await t.test('a host that is stopped: an error within the deadlines', async (test) => {
  const stopped = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => stopped.stop())
  const pontoon = await pontoonOf(test, stopped)
  const client = await pontoon.client()
  await client.wire.send(query('SELECT pg_sleep(600)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'at work')
  stopped.pause()
  test.match(await lastWords(client), { C: '08006', M: /host does not answer/ })
  stopped.resume()
})

await t.test('a backend that is gone while its connection looks open', async (test) => {
  // Passes bytes on, until it forgets the connections there are, as a firewall does.
  const pairs = new Set<readonly [Socket, Socket]>()
  const firewall = createServer((client) => {
    const destination = connect(server.port, '127.0.0.1')
    const pair = [client, destination] as const
    pairs.add(pair)
    for (const socket of pair) socket.on('error', () => undefined)
    client.pipe(destination).pipe(client)
  })
  const port = await listenLocally(firewall)
  test.teardown(() => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
    firewall.close()
  })
  const pontoon = await pontoonOf(test, { host: '127.0.0.1', port })
  const client = await pontoon.client()
  await client.wire.send(query('SELECT pg_sleep(600)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'at work')
  const [pid] = pontoon.service.clients(1).map(({ serverPid }) => serverPid)
  for (const [near, far] of pairs) {
    far.unpipe(near)
    far.resume()
    near.unpipe(far)
  }
  await server.query(`SELECT pg_terminate_backend(${present(pid)})`)
  test.match(await lastWords(client), { C: '08006', M: /backend is gone/ })
  test.equal(await value(await pontoon.client(), 'SELECT 1'), '1', 'new ones pass')
})

await t.test('behind a load balancer another host knows nothing of a backend', async (test) => {
  const another = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => another.stop())
  let port = server.port
  const to = {
    host: '127.0.0.1',
    get port() {
      return port
    },
  }
  const balancer = await startRelay({ to })
  test.teardown(() => balancer.close())
  const pontoon = await pontoonOf(test, balancer)
  const client = await pontoon.client()
  const pid = await value(client, 'SELECT pg_backend_pid()')
  const holder = await rawClient(server.port)
  await ask(holder, 'SELECT pg_advisory_lock(1)')
  await client.wire.send(query('SELECT pg_advisory_lock(1)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'at work')
  port = another.port
  const before = balancer.accepted
  await until(() => balancer.accepted - before >= 3, 'the other one was asked', soonMs)
  holder.wire.destroy()
  test.equal(summary(await client.wire.until('Z', soonMs)), 'TDCZ')
  test.equal(await value(client, 'SELECT pg_backend_pid()'), pid, 'its server is still there')
})

await t.test('a query that takes long is left alone', async (test) => {
  const bouncer = await startPgBouncer(server.port)
  test.teardown(() => bouncer.stop())
  const direct = await pontoonOf(test, server)
  const pooled = await pontoonOf(test, { host: '127.0.0.1', port: bouncer.port })
  const clients = [await direct.client(), await pooled.client()]
  const sessions = async (): Promise<number> => {
    const [found] = await server.query<{ sessions: string }>(
      "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'",
    )
    return Number(found?.sessions)
  }
  const before = await sessions()
  await Promise.all(clients.map(({ wire }) => wire.send(query('SELECT pg_sleep(2.5)'))))
  for (const { wire } of clients)
    test.equal(summary(await wire.until('Z', soonMs)), 'TDCZ', 'also where a pooler hides backends')
  await until(async () => (await sessions()) - before >= 4, 'it was looked into', soonMs)
})

await t.test('a name that leads elsewhere: servers at the old address are left', async (test) => {
  let address = '127.0.0.1'
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all === true) done(null, [{ address, family: 4 }])
    else done(null, address, 4)
  }
  const endpoint = { host: 'db.example', port: server.port }
  const pontoon = await pontoonOf(test, endpoint, { lookup, pool: { size: 3, minSize: 2 } })
  const [busy, idle] = [await pontoon.client(), await pontoon.client()]
  const here = 'SELECT host(inet_server_addr())'
  test.equal(await value(idle, here), '127.0.0.1')
  await ask(busy, 'BEGIN')
  test.equal(await value(busy, here), '127.0.0.1')
  address = '127.0.0.2'
  await until(async () => (await value(idle, here)) === '127.0.0.2', 'new ones', soonMs)
  test.equal(await value(busy, here), '127.0.0.1', 'not within a transaction')
  await ask(busy, 'COMMIT')
  test.equal(await value(busy, here), '127.0.0.2')
  const { opened, closed } = pontoon.service.stats.servers.source
  test.ok(opened >= 2 && (closed.get('reconnect') ?? 0) >= 2)
  await until(() => (pontoon.pools()[0]?.idle ?? 0) >= 2, 'the minimum is back', soonMs)
  const settled = pontoon.service.stats.servers.source.opened
  await new Promise((resolve) => setTimeout(resolve, 800))
  test.equal(
    pontoon.service.stats.servers.source.opened,
    settled,
    'the same answer changes nothing',
  )
})

await t.test('a cancel request follows its server, not the name', async (test) => {
  let address = '127.0.0.1'
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all === true) done(null, [{ address, family: 4 }])
    else done(null, address, 4)
  }
  const endpoint = { host: 'db.example', port: server.port }
  const limits = { queryTimeoutMs: 500 }
  const config = {
    source: { ...endpoint, tls: { mode: 'disable' }, connectTimeoutMs: 1_000 },
    limits,
  }
  const pontoon = await pontoonOf(test, endpoint, { lookup, config })
  const client = await pontoon.client()
  await client.wire.send(query('SELECT pg_sleep(600)'))
  // Nothing listens there.
  address = '127.0.0.9'
  test.match(await lastWords(client), { C: '57014', S: 'ERROR' })
})
