/**
 * A session through Pontoon gives the same bytes as one with the server itself: every script of
 * the corpus, in both pool modes, with the client's bytes sent whole and one by one, and with the
 * server's bytes arriving in pieces. What may differ stands in exceptions.ts.
 */
import t from 'tap'
import type { Test } from 'tap'
import { startPostgres } from '../../support/postgres.ts'
import { startPontoon } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startRelay } from '../../support/relay.ts'
import { byteByByte, inLanes, pieces, play, sentBytes, smallBytesMax, whole } from './answers.ts'
import type { Sender } from './answers.ts'
import { basics, corpus, corpusSetup } from './corpus.ts'
import type { Script } from './corpus-script.ts'
import { typeScripts } from './corpus-types.ts'
import { exceptions, withoutExceptions } from './exceptions.ts'
import type { Exception } from './exceptions.ts'

const settings = { max_connections: '60' }
const server = await startPostgres({ major: 15, auth: 'trust', settings })
await server.query(corpusSetup)
const relay = await startRelay({ to: { host: server.host, port: server.port } })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})

const { scripts: ofTypes, missing } = await typeScripts(server.port)
const scripts = [...corpus, ...ofTypes]
const small = scripts.filter((script) => sentBytes(script) <= smallBytesMax)
const atOnce = 6
/** Every piece takes a turn of the event loop. */
const receivedBytesMax = 6_000
const direct = new Map<Script, string[]>()
const met = new Set<Exception>()

const eachScript = (some: readonly Script[], run: (script: Script) => Promise<void>) =>
  inLanes(some, ({ uses }) => uses, atOnce, run)

void t.test('the corpus', async (test) => {
  test.strictSame(missing, [], 'has a value of every built-in type')
  await eachScript(scripts, async (script) => {
    direct.set(script, await play(server.port, script, whole))
  })
  test.equal(direct.size, scripts.length)
})

type Mode = 'session' | 'transaction'

interface Comparison {
  readonly pontoon: Pontoon
  readonly mode: Mode
  readonly send: Sender
  readonly some?: readonly Script[]
}

async function compare(test: Test, { pontoon, mode, send, some }: Comparison): Promise<void> {
  await eachScript(some ?? scripts, async (script) => {
    try {
      const found = await play(pontoon.port, script, send)
      const expected = withoutExceptions(direct.get(script) ?? [], script.name, mode, met)
      test.strictSame(withoutExceptions(found, script.name, mode, met), expected, script.name)
    } catch (error) {
      test.fail(script.name, { found: error })
    }
  })
  await pontoon.untilIdle(30_000)
}

for (const mode of ['session', 'transaction'] as const) {
  const size = mode === 'session' ? 20 : 4
  void t.test(`${mode} mode gives the server's own bytes`, async (test) => {
    const pontoon = await startPontoon({ source: server, mode, pool: { size } })
    test.teardown(() => pontoon.stop())
    await test.test('sent whole', (part) => compare(part, { pontoon, mode, send: whole }))
    const inPieces = { pontoon, mode, send: pieces, some: small }
    await test.test('sent in pieces', (part) => compare(part, inPieces))
    const inBytes = { pontoon, mode, send: byteByByte, some: small }
    await test.test('sent byte by byte', (part) => compare(part, inBytes))
  })

  void t.test(`${mode} mode with the server's bytes in pieces`, async (test) => {
    const pontoon = await startPontoon({ source: relay, mode, pool: { size } })
    test.teardown(() => pontoon.stop())
    for (const [bytes, some] of [
      [1, basics],
      [6, corpus],
    ] as const) {
      relay.splitEvery(bytes, 'down')
      const short = some.filter((script) => received(script) < receivedBytesMax)
      const comparison = { pontoon, mode, send: whole, some: short }
      await test.test(`of ${bytes} bytes`, (part) => compare(part, comparison))
    }
    relay.heal()
  })
}

function received(script: Script): number {
  return (direct.get(script) ?? []).reduce((sum, answer) => sum + answer.length, 0)
}

void t.test('every exception is met', async (test) => {
  for (const exception of exceptions) test.ok(met.has(exception), exception.reason)
})
