/**
 * A session through Pontoon gives the same bytes as one with the server itself: every script of
 * the corpus, in both pool modes, with the client's bytes sent whole and one by one, and with the
 * server's bytes arriving in pieces.
 */
import t from 'tap'
import type { Test } from 'tap'
import { startPostgres } from '../../support/postgres.ts'
import { startPontoon } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { rawClient } from '../../support/pontoon.ts'
import { summary } from '../../support/pg-wire.ts'
import type { PgWire } from '../../support/pg-wire.ts'
import { startRelay } from '../../support/relay.ts'
import { corpus, corpusSetup, refusingSetup } from './corpus.ts'
import type { Script } from './corpus.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query(`${corpusSetup};${refusingSetup}`)
const relay = await startRelay({ to: { host: server.host, port: server.port } })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})

type Sender = (wire: PgWire, parts: readonly Buffer[]) => Promise<void>

const whole: Sender = (wire, parts) => wire.send(...parts)

const byteByByte: Sender = async (wire, parts) => {
  for (const byte of Buffer.concat(parts)) await wire.send(Buffer.from([byte]))
}

/** Every boundary between messages falls inside a piece. */
const pieces: Sender = async (wire, parts) => {
  const bytes = Buffer.concat(parts)
  for (let start = 0; start < bytes.length; start += 7) {
    await wire.send(bytes.subarray(start, start + 7))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** The answers of a script, step by step: types for people, and the bytes. */
async function play(port: number, script: Script, send: Sender): Promise<string[]> {
  const { wire } = await rawClient(port)
  const answers: string[] = []
  try {
    for (const { send: parts, until: types } of script.steps) {
      await send(wire, parts)
      for (const type of types) {
        const messages = await wire.until(type, 5_000).catch((error: unknown) => {
          throw new Error(`${script.name}: answers so far ${answers.join(' | ')}`, { cause: error })
        })
        const bytes = messages.map(({ type: kind, body }) => `${kind}${body.toString('latin1')}`)
        answers.push(`${summary(messages)} ${bytes.join('')}`)
      }
    }
    if (wire.pending) throw new Error(`${script.name}: more came than was expected`)
  } finally {
    wire.destroy()
  }
  return answers
}

async function compare(
  test: Test,
  pontoon: Pontoon,
  send: Sender,
  scripts = corpus,
): Promise<void> {
  for (const script of scripts) {
    const direct = await play(server.port, script, whole)
    try {
      test.strictSame(await play(pontoon.port, script, send), direct, script.name)
    } catch (error) {
      test.fail(script.name, { found: error })
    }
  }
  await pontoon.untilIdle()
}

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode gives the server's own bytes`, async (test) => {
    const pontoon = await startPontoon({ source: server, mode })
    test.teardown(() => pontoon.stop())
    await test.test('sent whole', (part) => compare(part, pontoon, whole))
    await test.test('sent in pieces', (part) => compare(part, pontoon, pieces))
    await test.test('sent byte by byte', (part) => compare(part, pontoon, byteByByte))
  })

  void t.test(`${mode} mode with the server's bytes in pieces`, async (test) => {
    const pontoon = await startPontoon({ source: relay, mode })
    test.teardown(() => pontoon.stop())
    for (const size of [1, 6]) {
      relay.splitEvery(size, 'down')
      const scripts = corpus.filter(({ name }) => !name.startsWith('COPY out'))
      await test.test(`of ${size} bytes`, (part) => compare(part, pontoon, whole, scripts))
    }
    relay.heal()
  })
}
