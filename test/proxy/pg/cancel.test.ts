/** Cancel requests reach the query they are meant for, and nobody else's. */
import t from 'tap'
import type { Test } from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import {
  bind,
  cancelRequest,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { connect, summary } from '../../support/pg-wire.ts'
import {
  ask,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  until,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

async function pontoonOf(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 }, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

/** Sends a cancel request and waits until it is closed without a word. */
async function cancel(pontoon: Pontoon, pid: number, secret: Buffer): Promise<string> {
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(cancelRequest(pid, secret))
  await wire.closed()
  return wire.pending ? 'an answer' : 'silence'
}

/** Statements that run until they are let go on, however long that takes. */
const awaiting = 'SELECT FROM held FOR UPDATE'
await server.query('CREATE TABLE held AS SELECT 1 AS n')

/** Lets them begin; gives what lets them go on. */
async function hold(test: Test): Promise<() => void> {
  const holder = await rawClient(server.port)
  test.teardown(() => holder.wire.destroy())
  await rows(holder, `BEGIN; ${awaiting}`)
  return () => holder.wire.destroy()
}

async function untilRunning(sql: string): Promise<void> {
  const asked = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
  await until(
    async () => (await server.query(asked, 'postgres', [`${sql}%`])).length > 0,
    `${sql} to run`,
  )
}

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode: a cancel ends the running query of that client only`, async (test) => {
    const pontoon = await pontoonOf(test, { mode, pool: { size: 2 } })
    const [mine, other] = [await pontoon.client(), await pontoon.client()]
    const letGo = await hold(test)
    await mine.wire.send(query('SELECT pg_sleep(20) /* mine */'))
    await other.wire.send(query(`${awaiting} /* other */`))
    await untilRunning('SELECT pg_sleep(20) /* mine')
    await untilRunning(`${awaiting} /* other`)
    test.equal(await cancel(pontoon, mine.pid, mine.secret), 'silence')
    test.equal(sqlstate(await mine.wire.until('Z')), '57014')
    letGo()
    test.equal(sqlstate(await other.wire.until('Z')), '')
    test.equal(await value(mine, 'SELECT 1'), '1', 'the session lives on')
    for (const { wire } of [mine, other]) wire.destroy()
    await pontoon.untilIdle()
  })

  void t.test(`${mode} mode: a cancel inside a transaction and of a batch`, async (test) => {
    const pontoon = await pontoonOf(test, { mode })
    const client = await pontoon.client()
    await ask(client, 'BEGIN')
    await client.wire.send(query('SELECT pg_sleep(20)'))
    await untilRunning('SELECT pg_sleep(20)')
    await cancel(pontoon, client.pid, client.secret)
    test.equal(sqlstate(await client.wire.until('Z')), '57014')
    await ask(client, 'ROLLBACK')
    await client.wire.send(
      parse('SELECT pg_sleep(21)', 's'),
      bind({ statement: 's' }),
      execute(),
      sync(),
    )
    await untilRunning('SELECT pg_sleep(21)')
    await cancel(pontoon, client.pid, client.secret)
    test.equal(summary(await client.wire.until('Z')), '12EZ')
    test.equal(await value(client, 'SELECT 1'), '1')
  })

  void t.test(`${mode} mode: a wrong key is ignored`, async (test) => {
    const pontoon = await pontoonOf(test, { mode })
    const client = await pontoon.client()
    const letGo = await hold(test)
    await client.wire.send(query(`${awaiting} /* mine */`))
    await untilRunning(`${awaiting} /* mine`)
    const wrong = Buffer.from(client.secret)
    wrong[3] = (wrong[3] ?? 0) ^ 1
    const keys: readonly (readonly [number, Buffer])[] = [
      [client.pid, wrong],
      [client.pid + 1, client.secret],
      [client.pid, client.secret.subarray(0, 3)],
      [client.pid, Buffer.concat([client.secret, Buffer.from([0])])],
      [client.pid, Buffer.alloc(256)],
      [0, Buffer.alloc(4)],
    ]
    for (const [pid, secret] of keys) await cancel(pontoon, pid, secret)
    letGo()
    test.equal(sqlstate(await client.wire.until('Z')), '')
  })
}

void t.test('a cancel ends a batch whose statement had to be prepared first', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 2 } })
  const client = await pontoon.client()
  await client.wire.send(parse('SELECT pg_sleep(22)', 's'), sync())
  test.equal(summary(await client.wire.until('Z')), '1Z')
  const other = await pontoon.client()
  await ask(other, 'BEGIN')
  const { pid, secret } = client
  // Its answer to the Parse of ours the server keeps until the Sync.
  await client.wire.send(bind({ statement: 's' }), execute(), sync())
  await untilRunning('SELECT pg_sleep(22)')
  await cancel(pontoon, pid, secret)
  test.equal(summary(await client.wire.until('Z')), '2EZ')
  test.equal(await value(client, 'SELECT 1'), '1')
})

void t.test('a cancel after the query never hits the next client', async (test) => {
  const pontoon = await pontoonOf(test)
  const [early, next] = [await pontoon.client(), await pontoon.client()]
  for (let round = 0; round < 20; round += 1) {
    await ask(early, 'SELECT 1')
    await next.wire.send(query('SELECT pg_sleep(0.02)'))
    await cancel(pontoon, early.pid, early.secret)
    test.equal(sqlstate(await next.wire.until('Z')), '')
  }
})

void t.test(
  'a cancel that is under way when the query ends holds its server back',
  async (test) => {
    const relay = await startRelay({ to: { host: server.host, port: server.port } })
    test.teardown(() => relay.close())
    const pontoon = await pontoonOf(test, { source: relay })
    const [early, next] = [await pontoon.client(), await pontoon.client()]
    let cancelled = 0
    for (let round = 0; round < 15; round += 1) {
      await early.wire.send(query('SELECT pg_sleep(0.03)'))
      // The request takes about as long as the query, and is delivered before or after its end.
      relay.delay(round, 'up')
      await new Promise((resolve) => setTimeout(resolve, 20))
      const request = cancel(pontoon, early.pid, early.secret)
      if (sqlstate(await early.wire.until('Z')) !== '') cancelled += 1
      test.equal(sqlstate(await ask(next, 'SELECT pg_sleep(0.03)')), '', `round ${round}`)
      await request
    }
    relay.heal()
    test.pass(`${cancelled} of 15 came in time`)
    await pontoon.untilIdle()
  },
)

void t.test('a client that waits for a server cannot cancel its holder', async (test) => {
  const pontoon = await pontoonOf(test)
  const [holder, waiting] = [await pontoon.client(), await pontoon.client()]
  const letGo = await hold(test)
  await holder.wire.send(query(`${awaiting} /* mine */`))
  await untilRunning(`${awaiting} /* mine`)
  await waiting.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'waiting')
  await cancel(pontoon, waiting.pid, waiting.secret)
  const answers = await waiting.wire.until('Z')
  test.equal(summary(answers), 'EZ', 'its own request is over')
  test.equal(sqlstate(answers), '57014')
  letGo()
  test.equal(sqlstate(await holder.wire.until('Z')), '')
  test.equal(await value(waiting, 'SELECT 1'), '1')
})

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode: a cancel ends a request that is parked at the gate`, async (test) => {
    const pontoon = await pontoonOf(test, { mode })
    const client = await pontoon.client()
    await rows(client, 'CREATE TABLE IF NOT EXISTS never (a int)')
    await pontoon.service.pause(20_000, 1_000, 'a test')
    const parked = (): boolean => pontoon.service.snapshot().clients.parked === 1
    const insert = 'INSERT INTO never VALUES (1)'
    const version = message('F', int32(89), int16(0), int16(0), int16(0))
    const batch = [parse(insert, 'kept'), bind({ statement: 'kept' }), execute()]
    for (const request of [[query(insert)], [...batch, sync()], [version]]) {
      await client.wire.send(...request)
      await until(parked, 'parked')
      await cancel(pontoon, client.pid, client.secret)
      const answers = await client.wire.until('Z')
      test.equal(summary(answers), 'EZ')
      test.equal(sqlstate(answers), '57014')
      test.notOk(parked())
    }
    // Of several requests it is the first; one whose end is not here yet cannot be ended.
    await client.wire.send(...batch, sync(), query("SELECT 'next'"), query('SELECT 2'))
    await until(parked, 'parked')
    await cancel(pontoon, client.pid, client.secret)
    test.equal(summary(await client.wire.until('Z')), 'EZ')
    await until(parked, 'parked again')
    pontoon.service.resume()
    for (const _ of ['next', '2']) test.equal(summary(await client.wire.until('Z')), 'TDCZ')
    await pontoon.service.pause(20_000, 1_000, 'a test')
    await client.wire.send(parse('SELECT 3'), bind(), execute(), flush())
    await until(parked, 'parked')
    await cancel(pontoon, client.pid, client.secret)
    test.ok(parked(), 'a batch without its Sync waits on')
    pontoon.service.resume()
    await client.wire.send(sync())
    test.equal(summary(await client.wire.until('Z')), '12DCZ')
    test.equal(await value(client, 'SELECT count(*) FROM never'), '0')
  })
}

void t.test('behind a BEGIN that was answered here a request waits on', async (test) => {
  const pontoon = await pontoonOf(test, { route: { reads: 100 } })
  const client = await pontoon.client()
  await until(async () => {
    await ask(client, 'BEGIN READ ONLY')
    if (pontoon.busyServers() === 0) return true
    await ask(client, 'COMMIT')
    return false
  }, 'BEGIN is answered here')
  await pontoon.service.pause(20_000, 1_000, 'a test')
  await client.wire.send(query('SELECT 1'))
  const parked = (): boolean => pontoon.service.snapshot().clients.parked === 1
  await until(parked, 'parked')
  await cancel(pontoon, client.pid, client.secret)
  test.ok(parked())
  pontoon.service.resume()
  const answers = await client.wire.until('Z')
  test.equal(summary(answers), 'TDCZ')
  test.equal(answers.at(-1)?.body.toString(), 'T')
})

void t.test('the keys of clients differ and end with them', async (test) => {
  const pontoon = await pontoonOf(test)
  const clients: RawClient[] = []
  for (let count = 0; count < 20; count += 1) clients.push(await pontoon.client())
  test.equal(new Set(clients.map(({ pid }) => pid)).size, 20)
  test.equal(new Set(clients.map(({ secret }) => secret.toString('hex'))).size, 20)
  const [gone] = clients
  gone?.wire.destroy()
  await until(() => pontoon.service.snapshot().clients.idle === 19, 'one to leave')
  test.equal(await cancel(pontoon, gone?.pid ?? 0, gone?.secret ?? Buffer.alloc(4)), 'silence')
})

void t.test('a cancel whose server cannot be reached does no harm', async (test) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  test.teardown(() => relay.close())
  const pontoon = await pontoonOf(test, { source: relay })
  const client = await pontoon.client()
  const letGo = await hold(test)
  await client.wire.send(query(`${awaiting} /* mine */`))
  await untilRunning(`${awaiting} /* mine`)
  relay.refuse()
  await cancel(pontoon, client.pid, client.secret)
  letGo()
  test.equal(sqlstate(await client.wire.until('Z')), '')
  relay.refuse(false)
  test.strictSame(await rows(client, 'SELECT 1'), [['1']])
  await pontoon.untilIdle()
})

void t.test('the close of a cancel request says that it was delivered', async (test) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  test.teardown(() => relay.close())
  const pontoon = await pontoonOf(test, { source: relay })
  const client = await pontoon.client()
  relay.delay(40, 'up')
  for (let round = 0; round < 5; round += 1) {
    await client.wire.send(query('SELECT pg_sleep(20)'))
    await untilRunning('SELECT pg_sleep(20)')
    await cancel(pontoon, client.pid, client.secret)
    // Were it still on its way, it would hit this one.
    await client.wire.send(query('SELECT pg_sleep(0.1)'))
    test.equal(sqlstate(await client.wire.until('Z')), '57014')
    test.equal(sqlstate(await client.wire.until('Z')), '', `round ${round}`)
  }
})

void t.test('a storm of cancels is capped, and does no harm', async (test) => {
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  test.teardown(() => relay.close())
  const pontoon = await pontoonOf(test, { source: relay, pool: { size: 60 } })
  const clients = await Promise.all(Array.from({ length: 50 }, () => pontoon.client()))
  for (const { wire } of clients) await wire.send(query('SELECT pg_sleep(20) /* storm */'))
  const running = async (): Promise<number> => {
    const asked =
      "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* storm */'"
    return (await server.query(asked)).length
  }
  await until(async () => (await running()) === 50, 'all to run')
  const before = relay.connections
  relay.stall('up')
  // Each ten times over, by clients that do not wait for the end, and as many with wrong keys.
  const storm = clients.flatMap(({ pid, secret }) =>
    Array.from({ length: 10 }, async (_, index) => {
      const wire = await connect(pontoon.host, pontoon.port)
      const key = index % 2 === 0 ? secret : Buffer.alloc(4, index)
      await wire.send(cancelRequest(pid, key))
      return wire
    }),
  )
  const wires = await Promise.all(storm)
  await until(() => relay.connections - before >= 100, 'as many as may be')
  for (const wire of wires.slice(0, 250)) wire.destroy()
  test.equal(relay.connections - before, 100, 'and no more at once')
  relay.heal()
  for (const wire of wires.slice(250)) {
    await wire.closed()
    test.notOk(wire.pending, 'no reply bytes')
  }
  // At most four of one client, so that 100 are at least 25 clients'.
  await until(async () => (await running()) <= 25, 'those that were let through to be hit')
  await Promise.all(clients.map(({ pid, secret }) => cancel(pontoon, pid, secret)))
  for (const { wire } of clients) test.equal(sqlstate(await wire.until('Z')), '57014')
  for (const client of clients) test.equal(await value(client, 'SELECT 1'), '1')
  await pontoon.untilIdle()
})

void t.test('a cancel goes over TLS where the server leg does', async (test) => {
  const authority = await createAuthority()
  const tls = { ...(await authority.server()), force: true }
  const encrypted = await startPostgres({
    major: 15,
    auth: 'trust',
    tls,
    settings: { log_connections: 'on' },
  })
  test.teardown(async () => {
    await encrypted.stop()
    authority.remove()
  })
  const { host, port } = encrypted
  const relay = await startRelay({ to: { host, port } })
  test.teardown(() => relay.close())
  const ca = authority.ca.certPath
  const source = { host: relay.host, port: relay.port, tls: { mode: 'verify-full', ca } }
  const pontoon = await pontoonOf(test, { config: { source } })
  const client = await pontoon.client()
  await client.wire.send(query('SELECT pg_sleep(20)'))
  await until(async () => {
    const asked = "SELECT FROM pg_stat_activity WHERE query ~ 'sleep.20'"
    return (await encrypted.query(asked)).length > 1
  }, 'to run')
  const before = relay.bytes.up
  await cancel(pontoon, client.pid, client.secret)
  test.equal(sqlstate(await client.wire.until('Z')), '57014')
  test.ok(relay.bytes.up - before > 200, 'a handshake, not only the 16 bytes of the request')
})
