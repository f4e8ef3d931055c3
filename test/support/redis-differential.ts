/**
 * Plays the same lines at random (redis-random-lines.ts) to a server and to Pontoon before another
 * one, in pieces cut anywhere, many clients at once, and holds what comes against each other byte for
 * byte; and what is left in the end.
 */
import { sequence } from './redis-model-client.ts'
import type { RedisPontoon } from './redis-pontoon.ts'
import { RandomLines, typed, type Words } from './redis-random-lines.ts'
import { withoutWhatDiffers } from './redis-replies.ts'
import { connectRedis, type RedisWire } from './redis-wire.ts'
import type { RedisServer } from './redis.ts'
import { encodeCommand, itemsOf, textOf } from './resp.ts'
import { until } from './until.ts'

export interface DifferentialOptions {
  readonly single: RedisServer
  /** Empty too, behind `pontoon`. */
  readonly behind: RedisServer
  readonly pontoon: RedisPontoon
  readonly seed: number
  readonly clientCount: number
  readonly durationMs: number
}

export interface Differences {
  readonly played: number
  readonly found: readonly string[]
}

/** How a client ends: with a marker behind RESET, by closing its half, or by what is no command. */
const endings = ['marker', 'marker', 'half', 'broken', 'quit'] as const

type Ending = (typeof endings)[number]

const done = 'all-is-done'
const stepsMax = 8
const linesMax = 5
const differencesMax = 5

export async function findDifferences(options: DifferentialOptions): Promise<Differences> {
  const { seed, clientCount, durationMs } = options
  const endMs = performance.now() + durationMs
  const found: string[] = []
  let played = 0
  const client = async (): Promise<void> => {
    do {
      const difference = await play(options, played++, seed)
      if (difference !== null) found.push(difference)
    } while (performance.now() < endMs && found.length < differencesMax)
  }
  await Promise.all(Array.from({ length: clientCount }, client))
  return { played, found }
}

async function play(
  { single, behind, pontoon }: DifferentialOptions,
  index: number,
  seed: number,
): Promise<string | null> {
  const random = sequence(seed + index * 7_919)
  // The first numbers of neighbouring seeds are alike.
  for (let count = 0; count < 3; count += 1) random()
  const ending = endings[Math.floor(random() * endings.length)] ?? 'marker'
  const leaves = ending === 'half' || ending === 'broken'
  const isSilent = random() < 0.4
  const kinds = { isSilent, leaves, waitsForEver: ending === 'half' }
  const lines = new RandomLines(`k${index}:`, random, kinds)
  const wires = await Promise.all([single, pontoon].map(({ port }) => connectRedis({ port })))
  const script: string[] = []
  try {
    for (let left = 1 + lines.below(stepsMax); left > 0; left -= 1) {
      const batch = Array.from({ length: 1 + lines.below(linesMax) }, () => lines.next()).flat()
      script.push(batch.map((words) => words.join(' ').slice(0, 60)).join(' | '))
      await sendInPieces(wires, Buffer.concat(batch.map(bytesOf)), lines)
    }
    for (const wire of wires) finish(wire, ending, isSilent)
    const [direct = '', proxied = ''] = await Promise.all(wires.map(said))
    // A server drops what it could not write at once for who has left.
    const isSame = ending === 'half' ? proxied.startsWith(direct) : proxied === direct
    const text = `client ${index}, ${ending}:\n${script.join('\n')}\n`
    if (!isSame) return text + differenceOf(direct, proxied)
    const isLeftTheSame = async (): Promise<boolean> =>
      (await leftBy(single, lines.prefix)) === (await leftBy(behind, lines.prefix))
    await until(isLeftTheSame, `${text}the same is left`)
    return null
  } catch (error) {
    const heard = wires.map(({ unread }) => unread.toString('latin1'))
    const text = `client ${index}, ${ending}:\n${script.join('\n')}\n`
    throw new Error(text + differenceOf(...heard), { cause: error })
  } finally {
    for (const wire of wires) wire.destroy()
  }
}

function bytesOf(words: Words): Buffer {
  const [first, second = ''] = words
  return first === typed ? Buffer.from(second) : encodeCommand(...words)
}

async function sendInPieces(
  wires: readonly RedisWire[],
  bytes: Buffer,
  lines: RandomLines,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const next = lines.below(10) < 7 ? bytes.length : at + 1 + lines.below(bytes.length - at)
    for (const wire of wires) wire.raw(bytes.subarray(at, next))
    at = next
    if (lines.below(2) === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

function finish(wire: RedisWire, ending: Ending, isSilent: boolean): void {
  if (ending === 'half') {
    wire.socket.end()
    return
  }
  // Where replies are off a server closes behind the next one only.
  if (isSilent || ending !== 'broken') wire.send('RESET')
  if (ending === 'broken') wire.raw('*1\r\n$x\r\n')
  else if (ending === 'quit') wire.send('QUIT')
  else wire.send('PING', done)
}

async function said(wire: RedisWire): Promise<string> {
  const isOver = (): boolean => wire.isClosed || wire.unread.includes(`${done}\r\n`)
  await until(isOver, 'all is said')
  return withoutWhatDiffers(wire.unread.toString('latin1'))
}

function differenceOf(direct = '', proxied = ''): string {
  let at = 0
  while (at < direct.length && direct[at] === proxied[at]) at += 1
  const shown = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 80), at + 120))
  return `direct:  ${shown(direct)}\nproxied: ${shown(proxied)}`
}

async function leftBy(server: RedisServer, prefix: string): Promise<string> {
  const keys = itemsOf(await server.call('KEYS', `${prefix}*`)).map(textOf)
  const values = keys.toSorted().map(async (key) => {
    // A stream remembers when its consumers came.
    const isStream = (await server.call('TYPE', key)) === 'stream'
    return [key, await server.call(isStream ? 'XLEN' : 'DUMP', key)]
  })
  return JSON.stringify(await Promise.all(values))
}
