/**
 * Sessions that leave something on their server keep it, for as long as it is there and no longer;
 * what one client leaves never reaches another.
 */
import t from 'tap'
import type { Test } from 'tap'
import { truthAgeMaxMs } from '../../../src/proxy/pg/session-truth.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import {
  bind,
  copyData,
  execute,
  message,
  int16,
  int32,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { rowValues, summary } from '../../support/pg-wire.ts'
import { ask, present, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE kept (n int)')

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const pinned = (pontoon: Pontoon): Readonly<Record<string, number>> =>
  pontoon.service.snapshot().pinned

/** Works on until the pin is gone, which the session asks about now and then. */
async function untilUnpinned(pontoon: Pontoon, client: RawClient): Promise<void> {
  await until(async () => {
    await ask(client, 'SELECT 1')
    return Object.keys(pinned(pontoon)).length === 0
  }, 'unpinned')
}

interface Pin {
  readonly reason: string
  readonly take: string
  readonly give: string
  /** True while somebody on the same server could see it. */
  readonly seen: string
  /** Startup parameters with which it pins. */
  readonly parameters?: Readonly<Record<string, string>>
}

const pins: readonly Pin[] = [
  {
    reason: 'listen',
    take: 'LISTEN news',
    give: 'UNLISTEN *',
    seen: 'SELECT EXISTS (SELECT FROM pg_listening_channels())',
    // With UTF8 it moves to the shared listener: listen.test.ts.
    parameters: { client_encoding: 'LATIN1' },
  },
  {
    reason: 'temp-table',
    take: 'CREATE TEMP TABLE mine AS SELECT 1',
    give: 'DROP TABLE mine',
    seen: "SELECT to_regclass('pg_temp.mine') IS NOT NULL",
  },
  {
    reason: 'advisory-lock',
    take: 'SELECT pg_advisory_lock(42)',
    give: 'SELECT pg_advisory_unlock(42)',
    seen: "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
  },
  {
    reason: 'hold-cursor',
    take: 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
    give: 'CLOSE c',
    seen: 'SELECT EXISTS (SELECT FROM pg_cursors WHERE is_holdable)',
  },
  {
    reason: 'prepare',
    take: 'PREPARE p AS SELECT 1',
    give: 'DEALLOCATE p',
    seen: 'SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)',
  },
]

for (const { reason, take, give, seen, parameters = {} } of pins) {
  void t.test(`${reason} pins, and unpins when it is gone`, async (test) => {
    const pontoon = await pontoonOf(test, 2)
    const [client, other] = [await pontoon.client({ parameters }), await pontoon.client()]
    await rows(client, take)
    await until(() => pinned(pontoon)[reason] === 1, `pinned: ${reason}`)
    const pid = await value(client, 'SELECT pg_backend_pid()')
    test.equal(await value(client, seen), 't')
    test.not(await value(other, 'SELECT pg_backend_pid()'), pid, 'another client, another server')
    test.equal(await value(other, seen), 'f')
    test.equal(await value(client, 'SELECT pg_backend_pid()'), pid)
    test.match(
      pontoon.service.clients(10).find((one) => one.pinReason !== ''),
      { state: 'pinned', pinReason: reason, serverPid: Number(pid) },
    )
    await rows(client, give)
    const isUnpinned = (): boolean => Object.keys(pinned(pontoon)).length === 0
    await until(isUnpinned, 'unpinned, though its client is silent from then on')
    await pontoon.untilIdle()
  })

  void t.test(`${reason} is gone with its client`, async (test) => {
    const pontoon = await pontoonOf(test, 1)
    const client = await pontoon.client({ parameters })
    await rows(client, take)
    const pid = await value(client, 'SELECT pg_backend_pid()')
    client.wire.destroy()
    const next = await pontoon.client()
    test.not(await value(next, 'SELECT pg_backend_pid()'), pid, 'its server serves nobody else')
    test.equal(await value(next, seen), 'f')
    await pontoon.untilIdle()
  })

  void t.test(`${reason} in a transaction that is rolled back pins nobody`, async (test) => {
    if (reason === 'advisory-lock' || reason === 'prepare') {
      test.pass('it survives a rollback')
      return
    }
    const pontoon = await pontoonOf(test, 1)
    const client = await pontoon.client({ parameters })
    await ask(client, `BEGIN; ${take}`)
    await ask(client, 'ROLLBACK')
    await pontoon.untilIdle()
    test.strictSame(pinned(pontoon), {})
    test.equal(pontoon.busyServers(), 0)
  })
}

void t.test(
  'who takes and gives something all the time leaves its server to others',
  async (test) => {
    // No second passes after which the server would be asked anyway what is left there.
    const clock = { ...systemClock, nowMs: () => 1_000 }
    const pontoon = await startPontoon({ source: server, pool: { size: 1 }, clock })
    test.teardown(() => pontoon.stop())
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    for (const { take, give } of pins.filter(({ reason }) => reason !== 'listen')) {
      for (let round = 0; round < 3; round += 1) {
        await rows(client, take)
        await rows(client, give)
        test.strictSame(await rows(other, 'SELECT 1'), [['1']], `after ${give}`)
      }
    }
  },
)

void t.test('a server that is slow to say what is left there serves its client', async (test) => {
  await server.query(`CREATE FUNCTION let_go() RETURNS void LANGUAGE sql
    AS 'SELECT pg_advisory_unlock_all()'`)
  const relay = await startRelay({ to: { host: server.host, port: server.port } })
  const pontoon = await startPontoon({ source: relay, pool: { size: 1 } })
  test.teardown(async () => {
    await pontoon.stop()
    await relay.close()
  })
  const client = await pontoon.client()
  await rows(client, 'SELECT pg_advisory_lock(1)')
  // An answer takes longer than it may be old.
  relay.delay(truthAgeMaxMs * 0.55)
  await client.wire.send(query('SELECT 1'))
  await client.wire.until('Z')
  await client.wire.send(query('SELECT 2'))
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')

  relay.delay(100)
  await rows(client, 'SELECT pg_advisory_lock(2)')
  // Waits for the answer, which does not know of it yet.
  await rows(client, 'SELECT let_go()')
  test.strictSame(pinned(pontoon), { 'advisory-lock': 1 })
  await until(() => Object.keys(pinned(pontoon)).length === 0, 'unpinned')
})

void t.test('DISCARD ALL unpins whatever there was', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  for (const { take } of pins) await rows(client, take)
  await until(() => Object.keys(pinned(pontoon)).length === 1, 'pinned')
  test.equal(sqlstate(await ask(client, 'DISCARD ALL')), '')
  await untilUnpinned(pontoon, client)
  await pontoon.untilIdle()
})

void t.test('NOTIFY arrives, also while its client is idle', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [listener, speaker] = [await pontoon.client(), await pontoon.client()]
  await rows(listener, 'LISTEN news')
  await rows(speaker, "NOTIFY news, 'hello'")
  const [notification] = await listener.wire.until('A')
  test.ok(notification?.body.includes('news\0hello\0'))
  await ask(listener, 'BEGIN')
  await rows(speaker, "NOTIFY news, 'again'")
  const answers = [...(await ask(listener, 'SELECT 1')), ...(await ask(listener, 'COMMIT'))]
  if (!answers.some(({ type }) => type === 'A')) await listener.wire.until('A')
  test.pass('and after a transaction')
})

void t.test(
  'currval and lastval in a transaction of their own pin from the first on',
  async (test) => {
    await server.query(
      'CREATE SEQUENCE drawn; CREATE TABLE rows_of (id int DEFAULT nextval($$drawn$$))',
    )
    const pontoon = await pontoonOf(test, 3)
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await rows(client, 'BEGIN')
    await rows(client, 'INSERT INTO rows_of DEFAULT VALUES')
    test.equal(await value(client, "SELECT currval('drawn')"), '1')
    await rows(client, 'COMMIT')
    await rows(client, 'INSERT INTO rows_of DEFAULT VALUES; SELECT lastval()')
    test.strictSame(pinned(pontoon), {}, 'of the same transaction: nothing is pinned')
    await ask(client, 'SELECT lastval()')
    test.equal(pinned(pontoon)['sequence'], 1)
    for (let round = 0; round < 3; round += 1) {
      await rows(client, 'INSERT INTO rows_of DEFAULT VALUES')
      const drawn = await value(client, 'SELECT max(id) FROM rows_of')
      await rows(other, 'INSERT INTO rows_of DEFAULT VALUES')
      test.equal(await value(client, 'SELECT lastval()'), drawn, "the client's own")
    }
    await rows(client, 'DISCARD ALL')
    await untilUnpinned(pontoon, client)
  },
)

/** As drivers ask: by a simple Query, the unnamed statement, and a named one. */
const lastvalAsked = {
  'a simple Query': (): Buffer => query('SELECT lastval()'),
  'the unnamed statement': (): Buffer =>
    Buffer.concat([parse('SELECT lastval()'), bind(), execute(), sync()]),
  'a named statement': (): Buffer =>
    Buffer.concat([parse('SELECT lastval()', 's'), bind({ statement: 's' }), execute(), sync()]),
} as const

for (const [way, asked] of Object.entries(lastvalAsked)) {
  void t.test(`lastval by ${way} never gives what another client drew`, async (test) => {
    await server.query('CREATE SEQUENCE IF NOT EXISTS given')
    const pontoon = await pontoonOf(test, 1)
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await rows(client, 'SELECT 1')
    await rows(other, "SELECT nextval('given')")
    await client.wire.send(asked())
    test.equal(sqlstate(await client.wire.until('Z')), '55000', 'as on a connection of its own')
    client.wire.destroy()
    await pontoon.untilIdle()
    const drawn = await value(other, "SELECT nextval('given')")
    await other.wire.send(asked())
    const [row] = (await other.wire.until('Z')).filter(({ type }) => type === 'D')
    test.strictSame(rowValues(present(row)), [drawn], 'its own where nobody came between')
    test.equal(pinned(pontoon)['sequence'], 1)
    await rows(other, 'DISCARD SEQUENCES')
    await untilUnpinned(pontoon, other)
  })
}

void t.test('a setting that a called function changed, where it is reported', async (test) => {
  await server.query(`CREATE FUNCTION moves() RETURNS text LANGUAGE sql AS
    $$ SELECT set_config('TimeZone', 'Asia/Tokyo', false) $$`)
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  const before = await value(other, 'SHOW TimeZone')
  await rows(client, 'SELECT moves()')
  test.equal(await value(other, 'SHOW TimeZone'), before, "a stranger keeps the server's")
  test.equal(await value(client, 'SHOW TimeZone'), 'Asia/Tokyo')
})

void t.test('a PREPARE of SQL is found by Bind', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await rows(client, 'PREPARE p (int) AS SELECT $1 + 1')
  test.equal(await value(client, 'EXECUTE p(1)'), '2')
  await client.wire.send(bind({ statement: 'p', values: ['2'] }), execute(), sync())
  const answer = await client.wire.until('Z')
  test.equal(answer.map(({ type }) => type).join(''), '2DCZ')
})

void t.test('a function call by the fast path pins too', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const oid = Number(await value(client, "SELECT 'pg_advisory_lock(bigint)'::regprocedure::oid"))
  const key = Buffer.concat([int16(1), int32(8), Buffer.from([0, 0, 0, 0, 0, 0, 0, 9])])
  const lock = message('F', int32(oid), int16(1), int16(1), key, int16(0))
  await client.wire.send(lock)
  await client.wire.until('Z')
  await until(() => pinned(pontoon)['advisory-lock'] === 1, 'pinned')
  test.pass()
})

void t.test('a client that vanishes in a transaction leaves nothing of it', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await rows(client, 'BEGIN')
  await rows(client, 'INSERT INTO kept VALUES (1)')
  const pid = await value(client, 'SELECT pg_backend_pid()')
  client.wire.destroy(true)
  const next = await pontoon.client()
  test.not(await value(next, 'SELECT pg_backend_pid()'), pid)
  test.equal(await value(next, 'SELECT count(*) FROM kept'), '0')
  await until(
    async () =>
      (await server.query('SELECT FROM pg_stat_activity WHERE pid = $1', 'postgres', [pid]))
        .length === 0,
    'the old server to be gone',
  )
  await pontoon.untilIdle()
})

const halfways: Readonly<Record<string, (client: RawClient) => Promise<void>>> = {
  'in the middle of COPY data': async ({ wire }) => {
    await wire.send(query('COPY kept FROM STDIN'))
    await wire.until('G')
    await wire.send(copyData('1\n2\n'))
  },
  'in the middle of a COPY message': async ({ wire }) => {
    await wire.send(query('COPY kept FROM STDIN'))
    await wire.until('G')
    await wire.send(copyData('1\n2\n3\n').subarray(0, -5))
  },
  'in the middle of a long simple query': async ({ wire }) => {
    const long = query(`INSERT INTO kept SELECT length('${'x'.repeat(1_500_000)}') --xxxxx`)
    await wire.send(long.subarray(0, -5))
  },
  'in the middle of a short simple query': async ({ wire }) => {
    await wire.send(query('INSERT INTO kept VALUES (1)').subarray(0, -3))
  },
  'before the Sync of its batch': async ({ wire }) => {
    await wire.send(parse('INSERT INTO kept VALUES (1)'), bind(), execute())
  },
  'in the middle of a long Bind': async ({ wire }) => {
    const insert = parse('INSERT INTO kept SELECT length($1)')
    const long = bind({ values: ['y'.repeat(300_000)] })
    await wire.send(insert, long.subarray(0, -5))
  },
}

for (const [name, go] of Object.entries(halfways)) {
  void t.test(`a client that vanishes ${name}`, async (test) => {
    for (const reset of [false, true]) {
      const pontoon = await pontoonOf(test, 1)
      const client = await pontoon.client()
      await go(client)
      // What was sent is with the server before the client goes.
      await new Promise((resolve) => setTimeout(resolve, 30))
      client.wire.destroy(reset)
      const next = await pontoon.client()
      test.equal(await value(next, 'SELECT count(*) FROM kept'), '0', 'nothing half done is kept')
      await pontoon.untilIdle()
      test.equal(await value(next, 'SELECT 1'), '1')
      await pontoon.stop()
    }
    const busy =
      "SELECT FROM pg_stat_activity WHERE query ~ 'kept' AND state <> 'idle' AND pid <> pg_backend_pid()"
    await until(async () => (await server.query(busy)).length === 0, 'the servers to be gone')
    test.equal((await server.query('SELECT FROM kept')).length, 0)
  })
}

void t.test('a client that asks and goes is served as by the server itself', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  await client.wire.send(query('INSERT INTO kept VALUES (7)'), query('SELECT 8'), message('X'))
  const first = await client.wire.until('Z')
  const second = await client.wire.until('Z')
  test.equal(sqlstate([...first, ...second]), '')
  await client.wire.closed()
  test.strictSame(await server.query('DELETE FROM kept RETURNING n'), [{ n: 7 }])
  await pontoon.untilIdle()
})
