/**
 * Plays the scenarios of corpus/*.txt against a port and gives every reply, byte for byte. Lines are
 * commands as redis-cli takes them; `#` begins a scenario. `a:` names the client where there are
 * several, `2>` how many replies the command gets (one without it), `<1` waits for another reply.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectRedis } from '../../support/redis-wire.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { encodeCommand } from '../../support/resp.ts'

export interface Step {
  /** As it stands in the file. */
  readonly line: string
  readonly client: string
  /** Empty when there is only something to wait for. */
  readonly words: readonly Buffer[]
  readonly replies: number
}

export interface Scenario {
  readonly name: string
  readonly steps: readonly Step[]
}

export interface Played {
  readonly line: string
  /** The replies' bytes; `closed` for one that never came because the connection was closed. */
  readonly replies: readonly (Buffer | 'closed')[]
}

export type Version = 2 | 3

const folder = join(import.meta.dirname, 'corpus')

export function readCorpus(): Scenario[] {
  return readdirSync(folder)
    .toSorted()
    .flatMap((file) => {
      const chunks = readFileSync(join(folder, file), 'utf8').split(/^# /m).slice(1)
      return chunks.map((chunk) => {
        const [title = '', ...lines] = chunk.trim().split('\n')
        return { name: `${file.replace('.txt', '')}: ${title}`, steps: lines.map(readStep) }
      })
    })
}

function readStep(line: string): Step {
  const [, client = 'a', count, waited, rest = ''] =
    /^(?:([a-z]): )?(?:(\d+)> |<(\d+))?(.*)$/.exec(line) ?? []
  return { line, client, words: splitWords(rest), replies: Number(waited ?? count ?? 1) }
}

/** Quotes and escapes as in JSON, and `\xNN`. */
function splitWords(text: string): Buffer[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) => {
    if (quoted === undefined) return Buffer.from(plain ?? '')
    const bytes = quoted.replace(/\\(x[0-9a-f]{2}|.)/g, (_, escape: string) => {
      if (escape.startsWith('x')) return String.fromCharCode(Number.parseInt(escape.slice(1), 16))
      return { n: '\n', r: '\r', t: '\t' }[escape] ?? escape
    })
    return Buffer.from(bytes, 'latin1')
  })
}

/** One step after the other, each when the one before has its replies. */
export async function play(port: number, scenario: Scenario, version: Version): Promise<Played[]> {
  const clients = new Map<string, RedisWire>()
  const played: Played[] = []
  try {
    for (const step of scenario.steps) {
      let wire = clients.get(step.client)
      if (wire === undefined) {
        wire = await greet(port, version)
        clients.set(step.client, wire)
      }
      if (step.words.length > 0) wire.send(...step.words)
      played.push({ line: step.line, replies: await take(wire, step.replies) })
    }
    return played
  } finally {
    for (const wire of clients.values()) wire.destroy()
  }
}

/** All commands in one write; for scenarios of one client. */
export async function playAtOnce(
  port: number,
  scenario: Scenario,
  version: Version,
): Promise<Played[]> {
  const wire = await greet(port, version)
  const played: Played[] = []
  try {
    const commands = scenario.steps.filter(({ words }) => words.length > 0)
    wire.raw(Buffer.concat(commands.map(({ words }) => encodeCommand(...words))))
    for (const step of scenario.steps) {
      played.push({ line: step.line, replies: await take(wire, step.replies) })
    }
    return played
  } finally {
    wire.destroy()
  }
}

async function greet(port: number, version: Version): Promise<RedisWire> {
  const wire = await connectRedis({ port })
  if (version === 3) await wire.call('HELLO', 3)
  return wire
}

async function take(wire: RedisWire, count: number): Promise<(Buffer | 'closed')[]> {
  const replies: (Buffer | 'closed')[] = []
  while (replies.length < count) {
    const reply = await wire.next().catch((error: unknown) => {
      if (wire.isClosed) return undefined
      throw new Error(`reply ${replies.length + 1} of ${count} is missing`, { cause: error })
    })
    replies.push(reply === undefined ? 'closed' : reply.bytes)
  }
  return replies
}
