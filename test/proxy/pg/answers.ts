/**
 * Plays a script on a connection of its own and gives what came back, for comparing the same
 * script through Pontoon and without it. Neighbours: corpus-script.ts, exceptions.ts.
 */
import { startup } from '../../support/pg-frontend.ts'
import { connect, summary } from '../../support/pg-wire.ts'
import type { BackendMessage, PgWire } from '../../support/pg-wire.ts'
import type { Script } from './corpus-script.ts'

/** How the bytes of a step leave. */
export type Sender = (wire: PgWire, parts: readonly Buffer[]) => Promise<void>

export const whole: Sender = (wire, parts) => wire.send(...parts)

export const byteByByte: Sender = async (wire, parts) => {
  for (const byte of Buffer.concat(parts)) await wire.send(Buffer.from([byte]))
}

/** Every boundary between messages falls inside a piece. */
export const pieces: Sender = async (wire, parts) => {
  const bytes = Buffer.concat(parts)
  for (let start = 0; start < bytes.length; start += 7) {
    await wire.send(bytes.subarray(start, start + 7))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Longer than that, a script that is sent in small pieces takes too long. */
export const smallBytesMax = 4_000

export function sentBytes(script: Script): number {
  return script.steps.flatMap(({ send }) => send).reduce((sum, part) => sum + part.length, 0)
}

/** First of the login, then of each step: types for people, and the bytes. */
export async function play(port: number, script: Script, send: Sender): Promise<string[]> {
  const wire = await connect('127.0.0.1', port)
  const answers: string[] = []
  try {
    await wire.send(startup({ user: 'postgres', database: 'postgres', ...script.parameters }))
    answers.push(await loginAnswer(wire))
    for (const { send: parts, until: types } of script.steps) {
      await send(wire, parts)
      for (const type of types) answers.push(textOf(await wire.until(type, 30_000)))
    }
    if (script.ends === true) answers.push(await ending(wire))
    else if (wire.pending) throw new Error('more came than was expected')
  } catch (error) {
    const last = Buffer.concat(wire.received).toString('latin1').slice(-500)
    const words = `${script.name}: after ${answers.length} answers, the last bytes are ${last}`
    throw new Error(words, { cause: error })
  } finally {
    wire.destroy()
  }
  return answers
}

async function loginAnswer(wire: PgWire): Promise<string> {
  const messages: BackendMessage[] = []
  for (;;) {
    const message = await wire.next(30_000)
    messages.push(message)
    if (message.type === 'Z' || message.type === 'E') return textOf(messages)
  }
}

/** What comes before the server hangs up. */
async function ending(wire: PgWire): Promise<string> {
  await wire.closed(30_000)
  const messages: BackendMessage[] = []
  while (wire.pending) messages.push(await wire.next())
  return `${textOf(messages)} closed`
}

function textOf(messages: readonly BackendMessage[]): string {
  const bytes = messages.map(({ type, body }) => `${type}${readable(type, body)}`)
  return `${summary(messages)} ${bytes.join('')}`
}

/** Numbers of processes and their secrets differ from one connection to the next. */
function readable(type: string, body: Buffer): string {
  if (type === 'K') return `<${body.length} bytes>`
  return (type === 'A' ? body.subarray(4) : body).toString('latin1')
}

/** Runs the jobs a few at a time; those with the same lane one after the other. */
export async function inLanes<T>(
  items: readonly T[],
  laneOf: (item: T) => string | undefined,
  atOnce: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const lanes = new Map<string, T[]>()
  for (const [index, item] of items.entries()) {
    const name = laneOf(item) ?? `alone ${index}`
    lanes.set(name, [...(lanes.get(name) ?? []), item])
  }
  // The longest first, so that the end is not a wait for one lane.
  const waiting = [...lanes.values()].toSorted((a, b) => b.length - a.length)
  const work = async (): Promise<void> => {
    for (let lane = waiting.shift(); lane !== undefined; lane = waiting.shift()) {
      for (const item of lane) await run(item)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}
