/**
 * LISTEN in transaction pooling: notifications come through a shared listener, as exactly as from
 * a server of one's own, and no server is held for it.
 */
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import { bind, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { errorFields } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { ask, present, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

async function pontoonOf(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 }, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const isPinned = (pontoon: Pontoon): boolean =>
  Object.keys(pontoon.service.snapshot().pinned).length > 0

const untilMoved = (pontoon: Pontoon): Promise<void> => pontoon.untilIdle()

const payloads = (messages: readonly BackendMessage[]): string[] =>
  messages
    .filter(({ type }) => type === 'A')
    .map(({ body }) => body.subarray(4).toString('utf8').replaceAll('\0', ' ').trim())

/** Notifies with an end mark of the test, and gives what the listener got up to that. */
async function heard(listener: RawClient, channel: string): Promise<string[]> {
  await server.query(`NOTIFY "${channel}", 'end of test'`)
  const found: string[] = []
  for (;;) {
    const [notification] = payloads(await listener.wire.until('A'))
    if (notification === `${channel} end of test`) return found
    if (notification !== undefined) found.push(notification)
  }
}

void t.test(
  'channels asked for while the listener connects do not hold up later ones',
  async (test) => {
    const pontoon = await pontoonOf(test, { pool: { size: 3 } })
    const clients = [await pontoon.client(), await pontoon.client(), await pontoon.client()]
    await Promise.all(clients.map((client, index) => rows(client, `LISTEN channel_${index}`)))
    await untilMoved(pontoon)
    const [first] = clients
    if (first === undefined) throw new Error('three clients')
    await rows(first, 'LISTEN later')
    await until(() => !isPinned(pontoon), 'the move of the later channel')
    test.strictSame(await heard(first, 'later'), [])
  },
)

void t.test('an idle_session_timeout of the role does not end the listening', async (test) => {
  await server.query('CREATE ROLE brief LOGIN')
  const pontoon = await pontoonOf(test)
  const listener = await pontoon.client({ user: 'brief', database: 'postgres' })
  await rows(listener, 'LISTEN quiet')
  await untilMoved(pontoon)
  // Only now, when the client has no server that a slow machine could let idle for so long.
  await server.query("ALTER ROLE brief SET idle_session_timeout = '150ms'")
  const isListener = "usename = 'brief' AND application_name = 'pontoon listener'"
  const [before] = await server.query(`SELECT pid FROM pg_stat_activity WHERE ${isListener}`)
  pontoon.service.reconnect()
  const quiet = `SELECT FROM pg_stat_activity WHERE ${isListener} AND pid <> $1
    AND clock_timestamp() - state_change > '500ms'`
  const pid = present(before)['pid']
  await until(
    async () => (await server.query(quiet, 'postgres', [pid])).length === 1,
    'another one has been quiet for long',
  )
  await server.query("NOTIFY quiet, 'heard'")
  test.strictSame(await heard(listener, 'quiet'), ['quiet heard'])
})

void t.test('LISTEN long after the last UNLISTEN holds no server either', async (test) => {
  const later = { ms: 0 }
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + later.ms }
  const pontoon = await pontoonOf(test, { clock })
  const client = await pontoon.client()
  await rows(client, 'LISTEN first')
  await untilMoved(pontoon)
  await rows(client, 'UNLISTEN first')
  await untilMoved(pontoon)
  later.ms = 61_000
  const listener = "SELECT FROM pg_stat_activity WHERE application_name = 'pontoon listener'"
  await until(async () => (await server.query(listener)).length === 0, 'the listener is closed')
  await rows(client, 'LISTEN second')
  await untilMoved(pontoon)
  test.notOk(isPinned(pontoon))
  await server.query("NOTIFY second, 'heard'")
  test.strictSame(await heard(client, 'second'), ['second heard'])
})

void t.test('LISTEN holds no server, and notifications come in order', async (test) => {
  const pontoon = await pontoonOf(test)
  const [listener, other] = [await pontoon.client(), await pontoon.client()]
  await rows(listener, 'LISTEN news; LISTEN "odd ""name"')
  await untilMoved(pontoon)
  test.notOk(isPinned(pontoon))
  test.equal(await value(other, 'SELECT count(*) FROM pg_listening_channels()'), '0')
  await rows(other, 'NOTIFY news, \'one\'; NOTIFY "odd ""name", \'two\'')
  const early = payloads(await ask(listener, "NOTIFY news, 'own'"))
  await rows(other, "SELECT pg_notify('news', 'n' || i) FROM generate_series(1, 50) i")
  const many = Array.from({ length: 50 }, (_, index) => `news n${index + 1}`)
  test.strictSame(
    [...early, ...(await heard(listener, 'news'))],
    ['news one', 'odd "name two', 'news own', ...many],
  )
})

void t.test('nothing is lost and nothing comes twice while LISTEN moves', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 3 } })
  let sent = 0
  const speech = { isOver: false }
  const speaker = await pontoon.client()
  const speaking = (async () => {
    while (!speech.isOver) await rows(speaker, `NOTIFY flood, '${(sent += 1)}'`)
  })()
  for (let round = 0; round < 10; round += 1) {
    const listener = await pontoon.client()
    await rows(listener, 'LISTEN flood')
    const before = sent
    await until(() => sent > before + 20, 'more to be sent')
    const found = await heard(listener, 'flood')
    const numbers = found.map((one) => Number(one.split(' ')[1]))
    const first = present(numbers[0])
    test.ok(first <= before + 1, 'from the moment that LISTEN was answered')
    test.strictSame(
      numbers,
      numbers.map((_, index) => first + index),
    )
    listener.wire.destroy()
  }
  speech.isOver = true
  await speaking
  await pontoon.untilIdle()
})

void t.test(
  'LISTEN in a transaction takes effect at COMMIT, not when rolled back',
  async (test) => {
    const pontoon = await pontoonOf(test)
    const listener = await pontoon.client()
    await ask(listener, 'BEGIN')
    await rows(listener, 'LISTEN a')
    await server.query("NOTIFY a, 'before'")
    await ask(listener, 'COMMIT')
    await ask(listener, 'BEGIN; LISTEN b; SAVEPOINT s; LISTEN c; ROLLBACK TO s; COMMIT')
    await ask(listener, 'BEGIN; LISTEN d')
    await ask(listener, 'ROLLBACK')
    await ask(listener, 'LISTEN e; SELECT 1/0')
    await untilMoved(pontoon)
    for (const name of ['a', 'b', 'c', 'd', 'e']) await server.query(`NOTIFY ${name}, 'x'`)
    test.strictSame(await heard(listener, 'a'), ['a x', 'b x'])
  },
)

void t.test('notifications wait for the end of a transaction and of an answer', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 2 } })
  const listener = await pontoon.client()
  await rows(listener, 'LISTEN news')
  await untilMoved(pontoon)
  await ask(listener, 'BEGIN')
  await server.query("NOTIFY news, 'held'")
  for (let round = 0; round < 5; round += 1) {
    const answer = await ask(listener, 'SELECT pg_sleep(0.01)')
    test.strictSame(payloads(answer), [])
  }
  test.strictSame(payloads(await ask(listener, 'COMMIT')), [])
  test.strictSame(payloads(await listener.wire.until('A')), ['news held'])
})

const leavings: Readonly<Record<string, (client: RawClient) => Promise<unknown>>> = {
  'UNLISTEN a': (client) => rows(client, 'UNLISTEN A'),
  'UNLISTEN in a transaction': async (client) => {
    await ask(client, 'BEGIN')
    await ask(client, 'UNLISTEN a')
    return ask(client, 'COMMIT')
  },
  'UNLISTEN by the extended protocol': async ({ wire }) => {
    await wire.send(parse('UNLISTEN a'), bind(), execute(), sync())
    return wire.until('Z')
  },
  'UNLISTEN *, then LISTEN': (client) => rows(client, 'UNLISTEN *; LISTEN b'),
  'DISCARD ALL, then LISTEN': async (client) => {
    await rows(client, 'DISCARD ALL')
    return rows(client, 'LISTEN b')
  },
}

for (const [name, leave] of Object.entries(leavings)) {
  void t.test(`${name}: no more notifications of that channel`, async (test) => {
    const pontoon = await pontoonOf(test)
    const listener = await pontoon.client()
    await rows(listener, 'LISTEN a; LISTEN b')
    await untilMoved(pontoon)
    await leave(listener)
    await server.query("NOTIFY a, 'no'")
    await server.query("NOTIFY b, 'yes'")
    await untilMoved(pontoon)
    await server.query("NOTIFY a, 'no'")
    await server.query("NOTIFY b, 'yes'")
    test.strictSame(await heard(listener, 'b'), ['b yes', 'b yes'])
  })
}

void t.test('UNLISTEN that is rolled back or fails leaves nothing', async (test) => {
  const pontoon = await pontoonOf(test)
  const listener = await pontoon.client()
  await rows(listener, 'LISTEN a')
  await untilMoved(pontoon)
  await ask(listener, 'BEGIN; UNLISTEN a')
  await ask(listener, 'ROLLBACK')
  await ask(listener, 'UNLISTEN *; SELECT 1/0')
  await ask(listener, 'BEGIN; UNLISTEN *')
  await ask(listener, 'SELECT 1/0')
  await ask(listener, 'COMMIT')
  await ask(listener, 'BEGIN; UNLISTEN a; LISTEN a; COMMIT')
  await untilMoved(pontoon)
  await server.query("NOTIFY a, 'still'")
  test.strictSame(await heard(listener, 'a'), ['a still'])
})

void t.test('UNLISTEN that fails does not stand for another one in its pipeline', async (test) => {
  const pontoon = await pontoonOf(test)
  const listener = await pontoon.client()
  await rows(listener, 'LISTEN a; LISTEN b; LISTEN c')
  await untilMoved(pontoon)
  const { wire } = listener
  const failing = [parse('SELECT 1/0'), bind(), execute(), parse('UNLISTEN a'), bind(), execute()]
  const leaving = [parse('UNLISTEN c'), bind(), execute(), sync()]
  const simple = [query('SELECT 1/0; UNLISTEN a'), query('UNLISTEN b')]
  await wire.send(...simple, ...failing, sync(), ...leaving)
  for (const state of ['22012', '', '22012', '']) test.equal(sqlstate(await wire.until('Z')), state)
  await untilMoved(pontoon)
  for (const channel of ['b', 'c', 'a']) await server.query(`NOTIFY ${channel}, 'said'`)
  test.strictSame(await heard(listener, 'a'), ['a said'])
})

void t.test('LISTEN by the extended protocol, prepared and pipelined', async (test) => {
  const pontoon = await pontoonOf(test)
  const listener = await pontoon.client()
  const { wire } = listener
  await wire.send(parse('LISTEN a', 'la'), bind({ statement: 'la' }), execute(), sync())
  await wire.send(query('SELECT 1'), query('LISTEN b'), query('SELECT 2'))
  for (let answers = 0; answers < 4; answers += 1) test.equal(sqlstate(await wire.until('Z')), '')
  await untilMoved(pontoon)
  await server.query("NOTIFY a, '1'")
  await server.query("NOTIFY b, '2'")
  test.strictSame(await heard(listener, 'a'), ['a 1', 'b 2'])
})

void t.test(
  'a LISTEN in a DO is found too; in a function that is called it reaches nobody',
  async (test) => {
    await server.query(`CREATE FUNCTION listens() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'LISTEN hidden'; RETURN 1; END $$`)
    const pontoon = await pontoonOf(test)
    const [listener, other] = [await pontoon.client(), await pontoon.client()]
    await rows(listener, 'DO $$ BEGIN LISTEN shown; END $$')
    await untilMoved(pontoon)
    await server.query("NOTIFY shown, 'x'")
    test.strictSame(await heard(listener, 'shown'), ['shown x'])
    await rows(listener, 'SELECT listens()')
    await ask(other, 'BEGIN')
    const pid = await value(other, 'SELECT pg_backend_pid()')
    await server.query("NOTIFY hidden, 'a stranger sees'")
    test.strictSame(payloads(await ask(other, 'COMMIT')), [])
    await until(
      async () => (await value(other, 'SELECT pg_backend_pid()')) !== pid,
      'another server',
    )
    test.notOk(other.wire.pending)
  },
)

void t.test('whoever goes is not listened for any more', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 2 } })
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, 'LISTEN a; LISTEN shared')
  await rows(b, 'LISTEN shared')
  await untilMoved(pontoon)
  const asked = "SELECT query FROM pg_stat_activity WHERE application_name = 'pontoon listener'"
  a.wire.destroy()
  await until(async () => {
    const [row] = await server.query(asked)
    return row?.['query'] === 'UNLISTEN "a"'
  }, 'UNLISTEN of what only one listened to')
  await server.query("NOTIFY shared, 'x'")
  test.strictSame(await heard(b, 'shared'), ['shared x'])
})

void t.test('a listener that is lost listens again and says so', async (test) => {
  const pontoon = await pontoonOf(test)
  const listener = await pontoon.client()
  await rows(listener, 'LISTEN news')
  await untilMoved(pontoon)
  await server.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pontoon listener'",
  )
  const notice = present((await listener.wire.until('N')).at(-1))
  test.match(errorFields(notice), { S: 'WARNING', C: '01000', M: /lost for a moment/ })
  await server.query("NOTIFY news, 'again'")
  test.strictSame(await heard(listener, 'news'), ['news again'])
})

void t.test('a client that does not read its notifications is closed', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 2 } })
  const [slow, good] = [await pontoon.client(), await pontoon.client()]
  for (const client of [slow, good]) await rows(client, 'LISTEN news')
  await untilMoved(pontoon)
  slow.wire.socket.pause()
  let got = 0
  good.wire.socket.on('data', (bytes: Buffer) => (got += bytes.length))
  const flood = "SELECT pg_notify('news', i || repeat('x', 7000)) FROM generate_series(1, 1000) i"
  await until(async () => {
    await server.query(flood)
    return pontoon.service.stats.ownErrors.get('CLIENT_SLOW_READER') === 1
  }, 'the slow client to be closed')
  await until(() => got > 7_000_000, 'the other one to have it all')
  test.equal(pontoon.service.clients(10).length, 1)
})

void t.test('with another client encoding the session keeps its server', async (test) => {
  const pontoon = await pontoonOf(test, { pool: { size: 2 } })
  const listener = await pontoon.client({ parameters: { client_encoding: 'LATIN1' } })
  await rows(listener, 'LISTEN news')
  await until(() => pontoon.service.snapshot().pinned['listen'] === 1, 'pinned')
  await server.query("NOTIFY news, 'grün'")
  const [notification] = await listener.wire.until('A')
  test.equal(present(notification).body.subarray(9).toString('latin1'), 'grün\0')
})

void t.test('the listener goes with the primary side', async (test) => {
  const target = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => target.stop())
  const pontoon = await pontoonOf(test, { target })
  const listener = await pontoon.client()
  await rows(listener, 'LISTEN news')
  await untilMoved(pontoon)
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 2, primary: 'target' })
  const moved =
    "SELECT FROM pg_stat_activity WHERE application_name = 'pontoon listener' AND query = 'LISTEN \"news\"'"
  await until(async () => (await target.query(moved)).length === 1, 'the target to be listened to')
  await until(async () => (await server.query(moved)).length === 0, 'the source to be left')
  await target.query("NOTIFY news, 'from the target'")
  test.strictSame(payloads(await listener.wire.until('A')), ['news from the target'])
})
