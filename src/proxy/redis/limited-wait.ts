/**
 * A blocking command on a server that nobody may tell to end it (CLIENT UNBLOCK is not allowed
 * there). It is sent with a short time instead of its own, again and again until its own is over,
 * so that a pause has to wait for that short time only. Between two of them nothing is lost: what
 * it waits for stays where it is and is taken by the next. Neighbour: blocking-command.ts.
 */
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { blockTimeAt } from '../../routing/redis/command-keys.ts'
import { ArgumentPositions } from '../../wire/redis/argument-positions.ts'
import { command } from '../../wire/redis/write.ts'
import { LatestIds } from './latest-ids.ts'

/** A whole second: servers before 6.0 take no fractions. */
const shortMs = 1_000

/** What the server calls so waits as the commands of Redis do. */
const families: ReadonlySet<string> = new Set(['list', 'sortedset', 'stream'])

export class LimitedWait {
  /** As it is sent. */
  readonly request: Buffer
  readonly #words: readonly Buffer[]
  /** Which word is its time, and how many milliseconds one of it is. */
  readonly #place: number
  readonly #unitMs: number
  readonly #askedMs: number
  readonly #sentAtMs: number

  private constructor(words: readonly Buffer[], { at, unitMs }: TimePlace, nowMs: number) {
    this.#words = words
    this.#place = at
    this.#unitMs = unitMs
    this.#askedMs = Number(words[at]) * unitMs
    this.#sentAtMs = nowMs
    this.request = command(...words.with(at, Buffer.from(String(shortMs / unitMs))))
  }

  /** Null where it is short anyway, or cannot be limited. */
  static of(facts: CommandFacts, words: readonly Buffer[], nowMs: number): LimitedWait | null {
    const place = placeOfTime(facts, words)
    const text = place === null ? '' : (words[place.at]?.toString('latin1') ?? '')
    if (place === null || !/^\d+(?:\.\d+)?$/.test(text)) return null
    const askedMs = Number(text) * place.unitMs
    if (askedMs > 0 && askedMs <= shortMs) return null
    return new LimitedWait(words, place, nowMs)
  }

  /** What is left of it; null when its time is over. */
  rest(nowMs: number): Buffer | null {
    if (this.#askedMs === 0) return command(...this.#words)
    const leftMs = this.#askedMs - (nowMs - this.#sentAtMs)
    if (leftMs <= 0) return null
    const isWhole = Number.isInteger(this.#askedMs / this.#unitMs)
    const left = leftMs / this.#unitMs
    // Rounded to nothing it would wait for ever.
    const text = isWhole ? String(Math.ceil(left)) : Math.max(left, 0.001).toFixed(3)
    return command(...this.#words.with(this.#place, Buffer.from(text)))
  }
}

interface TimePlace {
  readonly at: number
  readonly unitMs: number
}

/** Behind BLOCK, ahead of a number of keys, or behind everything else. */
function placeOfTime(facts: CommandFacts, words: readonly Buffer[]): TimePlace | null {
  const [spec] = facts.keySpecs
  if (spec === undefined || !families.has(facts.family)) return null
  if (spec.begin.kind === 'keyword') {
    const at = blockTimeAt(argumentsOf(words))
    // Entries that came between two of them would be missed.
    const meansNow = facts.name === 'xread' && LatestIds.of(words) !== null
    return at === 0 || meansNow ? null : { at, unitMs: 1 }
  }
  return { at: spec.find.kind === 'count' ? 1 : words.length - 1, unitMs: 1_000 }
}

function argumentsOf(words: readonly Buffer[]): ArgumentPositions {
  const request = command(...words)
  const positions = new ArgumentPositions()
  positions.read(request, 0, request.length)
  return positions
}
