/**
 * The shared listener is opened anew (RECONNECT, another primary side, a server behind the same
 * name, a lost connection): what is notified while it listens comes once, whichever of the two
 * connections is the faster one.
 */
import t from 'tap'
import type { Test } from 'tap'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { present, rawClient, rows, startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'
import type { Relay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
const other = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(async () => {
  await server.stop()
  await other.stop()
})

async function relayTo(test: Test, to: PostgresServer): Promise<Relay> {
  const relay = await startRelay({ to: { host: to.host, port: to.port } })
  test.teardown(() => relay.close())
  return relay
}

async function listening(
  test: Test,
  options: PontoonOptions,
): Promise<{ pontoon: Pontoon; client: RawClient }> {
  const pontoon = await startPontoon({ pool: { size: 2 }, ...options })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  await rows(client, 'LISTEN news')
  await pontoon.untilIdle()
  return { pontoon, client }
}

/** Servers of the source that are opened from now on are reached through another relay. */
function leadNewElsewhere({ service }: Pontoon, { host, port }: Relay): void {
  const { config } = service
  if (config.protocol !== 'postgres') throw new Error('another service')
  service.applyConfig({ ...config, source: { ...config.source, host, port } })
}

function leadElsewhere(pontoon: Pontoon, relay: Relay): void {
  leadNewElsewhere(pontoon, relay)
  pontoon.service.reconnect()
}

// Quick to ask: a connection for each question takes longer than what is waited for.
const watchers = new Map<PostgresServer, RawClient>()
for (const on of [server, other]) watchers.set(on, await rawClient(on.port))

const isThere = "application_name = 'pontoon listener'"
const isListening = `${isThere} AND state = 'idle' AND query ~ 'news|NOTIFY'`

/** The backends of listeners. */
async function listeners(on: PostgresServer, which = isThere): Promise<readonly string[]> {
  const asked = `SELECT pid FROM pg_stat_activity WHERE ${which}`
  const found = await rows(present(watchers.get(on)), asked)
  return found.map(([pid]) => String(pid))
}

/** There is a listener that listens to the channel, and another one than there was. */
async function untilAnother(on: PostgresServer, before: readonly string[]): Promise<void> {
  await until(async () => {
    const now = await listeners(on, isListening)
    return now.some((pid) => !before.includes(pid))
  }, 'the new connection listens')
}

/** None is left of those that were there. */
async function untilLeft(on: PostgresServer, before: readonly string[]): Promise<void> {
  await until(async () => {
    const now = await listeners(on)
    return !now.some((pid) => before.includes(pid))
  }, 'the old connection is closed')
}

const payloads = (messages: readonly BackendMessage[]): string[] =>
  messages
    .filter(({ type }) => type === 'A')
    .map(({ body }) => body.subarray(4).toString('utf8').replaceAll('\0', ' ').trim())

const warned = 'a warning'

/** What the client has got up to a notification of this end. */
async function heardUntil({ wire }: RawClient, end: string): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const messages = await wire.until('A')
    if (messages.some(({ type }) => type === 'N')) found.push(warned)
    const [notification = ''] = payloads(messages)
    if (notification === `news ${end}`) return found
    found.push(notification.replace('news ', ''))
  }
}

const say = (on: PostgresServer, payload: string): Promise<unknown> =>
  on.query(`NOTIFY news, '${payload}'`)

/** What the client has heard once the old connections, those of `before`, are gone. */
async function heardAtLast(
  client: RawClient,
  before: readonly string[],
  on = server,
): Promise<string[]> {
  await untilLeft(server, before)
  await say(on, 'end')
  return await heardUntil(client, 'end')
}

void t.test('what the old connection has still to tell is not lost', async (test) => {
  const [first, second] = [await relayTo(test, server), await relayTo(test, server)]
  const { pontoon, client } = await listening(test, { source: first })
  first.stall('down')
  await say(server, '1')
  const before = await listeners(server)
  leadElsewhere(pontoon, second)
  await untilAnother(server, before)
  await say(server, '2')
  first.resume()
  test.strictSame(await heardAtLast(client, before), ['1', '2'])
})

void t.test('what the old connection has told does not come again', async (test) => {
  const [first, second] = [await relayTo(test, server), await relayTo(test, server)]
  const { pontoon, client } = await listening(test, { source: first })
  second.delay(500, 'down')
  const before = await listeners(server)
  leadElsewhere(pontoon, second)
  await untilAnother(server, before)
  second.stall('down')
  await say(server, '1')
  test.strictSame(payloads(await client.wire.until('A')), ['news 1'], 'over the old one')
  second.heal()
  test.strictSame(await heardAtLast(client, before), [])
})

void t.test('another database behind the same name: both are told once', async (test) => {
  const [first, second] = [await relayTo(test, server), await relayTo(test, other)]
  const { pontoon, client } = await listening(test, { source: first })
  first.stall('down')
  await say(server, 'old')
  const before = await listeners(server)
  leadElsewhere(pontoon, second)
  await untilAnother(other, [])
  await say(other, 'new')
  first.resume()
  test.strictSame(await heardAtLast(client, before, other), ['old', 'new'])
})

void t.test('the primary side moves: both sides are told once', async (test) => {
  const first = await relayTo(test, server)
  const { pontoon, client } = await listening(test, { source: first, target: other })
  first.stall('down')
  await say(server, 'old')
  const before = await listeners(server)
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 2, primary: 'target' })
  await untilAnother(other, [])
  await say(other, 'new')
  first.resume()
  test.strictSame(await heardAtLast(client, before, other), ['old', 'new'])
})

void t.test('who begins to listen on the new side is told nothing of before', async (test) => {
  const first = await relayTo(test, server)
  const { pontoon, client } = await listening(test, { source: first, target: other })
  first.stall('down')
  const before = await listeners(server)
  pontoon.service.applyRoute({ ...pontoon.service.route, epoch: 2, primary: 'target' })
  await untilAnother(other, [])
  await say(other, 'before')
  const late = await pontoon.client()
  await rows(late, 'LISTEN news')
  await pontoon.untilIdle()
  await say(other, 'behind')
  first.resume()
  test.strictSame(await heardAtLast(client, before, other), ['before', 'behind'])
  test.strictSame(await heardUntil(late, 'end'), ['behind'])
})

void t.test('an old connection that is silent holds up the new one for a moment', async (test) => {
  const [first, second] = [await relayTo(test, server), await relayTo(test, server)]
  const { pontoon, client } = await listening(test, { source: first })
  first.stall('both')
  leadElsewhere(pontoon, second)
  const [notice] = (await client.wire.until('N')).slice(-1)
  test.match(notice?.body.toString('utf8'), /lost for a moment/)
  await say(server, 'end')
  test.strictSame(await heardUntil(client, 'end'), [])
})

void t.test('a LISTEN while the mark of another is under way holds no server', async (test) => {
  const [first, second] = [await relayTo(test, server), await relayTo(test, server)]
  const { pontoon, client } = await listening(test, { source: first })
  await rows(client, 'LISTEN more')
  await pontoon.untilIdle()
  const holder = await pontoon.client()
  await rows(holder, 'BEGIN')
  leadNewElsewhere(pontoon, second)
  first.stall('down')
  const late = await pontoon.client()
  await rows(late, 'LISTEN news')
  await rows(late, 'LISTEN more')
  const isPinned = (): boolean => pontoon.service.snapshot().pinned['listen'] === 1
  await until(isPinned, 'it waits for the mark')
  first.resume()
  await until(() => !isPinned(), 'it has left its server')
})

interface Speech {
  isOver: boolean
  sent: number
}

/** Numbers are notified without a pause, and `disturb` goes on meanwhile, while `action` runs. */
async function amid(
  pontoon: Pontoon,
  disturb: (speech: Speech) => Promise<void>,
  action: (speech: Speech) => Promise<void>,
): Promise<void> {
  const speech = { isOver: false, sent: 0 }
  const speaker = await pontoon.client()
  const goOn = async (step: () => Promise<unknown>): Promise<void> => {
    while (!speech.isOver) await step()
  }
  const speaking = goOn(() => rows(speaker, `NOTIFY news, '${(speech.sent += 1)}'`))
  const disturbing = goOn(() => disturb(speech))
  try {
    await action(speech)
  } finally {
    speech.isOver = true
    await Promise.all([speaking, disturbing])
  }
}

/** Clients begin to listen; gives what each has heard, numbers and warnings, and what it must. */
async function someListen(
  pontoon: Pontoon,
  speech: Speech,
  round: number,
): Promise<{ readonly heard: readonly string[]; readonly firstMax: number }[]> {
  const clients = await Promise.all([1, 2, 3].map(() => pontoon.client()))
  const firsts = await Promise.all(
    clients.map(async (client) => {
      await rows(client, 'LISTEN news')
      return speech.sent + 1
    }),
  )
  const atLeast = Math.max(...firsts) + 30
  await until(() => speech.sent > atLeast, 'more to be sent')
  const end = `end ${round}`
  const talk = { isOver: false }
  // Once might be just when nobody listens.
  const ending = (async () => {
    while (!talk.isOver) await say(server, end)
  })()
  try {
    const found = []
    for (const [index, client] of clients.entries()) {
      const heard = (await heardUntil(client, end)).filter((one) => !one.startsWith('end'))
      found.push({ heard, firstMax: firsts[index] ?? 0 })
      client.wire.destroy()
    }
    return found
  } finally {
    talk.isOver = true
    await ending
  }
}

void t.test('sessions move their LISTENs while servers are opened anew', async (test) => {
  const { pontoon } = await listening(test, { source: server, pool: { size: 4 } })
  const renew = async (speech: Speech): Promise<void> => {
    const before = await listeners(server)
    pontoon.service.reconnect()
    // Sometimes once more before the first one has listened.
    if (speech.sent % 3 === 0) pontoon.service.reconnect()
    await untilLeft(server, before)
  }
  await amid(pontoon, renew, async (speech) => {
    for (let round = 0; round < 8; round += 1)
      for (const { heard, firstMax } of await someListen(pontoon, speech, round)) {
        const first = Number(heard[0])
        test.ok(first <= firstMax, 'from the moment that LISTEN was answered')
        test.strictSame(
          heard,
          heard.map((_, at) => String(first + at)),
        )
      }
  })
})

void t.test('what a lost listener misses is told, and nothing comes twice', async (test) => {
  const { pontoon } = await listening(test, { source: server, pool: { size: 4 } })
  const end = async (): Promise<void> => {
    const before = await listeners(server)
    await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${isThere}`)
    await untilAnother(server, before)
  }
  await amid(pontoon, end, async (speech) => {
    for (let round = 0; round < 6; round += 1)
      for (const { heard } of await someListen(pontoon, speech, round)) {
        const numbers = heard.filter((one) => one !== warned).map(Number)
        const missed = numbers.filter((one, at) => at > 0 && one !== (numbers[at - 1] ?? 0) + 1)
        test.strictSame(
          numbers,
          [...new Set(numbers)].toSorted((a, b) => a - b),
        )
        if (missed.length > 0) test.ok(heard.includes(warned), `missed before ${missed.join()}`)
      }
  })
})
