/**
 * What an operator wants to know of the commands: counts, slow ones, hot keys and large values.
 * One command in `sampleEvery` is looked at for its key, and its reply is measured; values are never
 * kept.
 */
import type { Clock } from '../../shared/clock.ts'
import type { BucketHistogram } from '../../shared/histogram.ts'
import { readArgument } from '../../wire/redis/arguments.ts'
import type {
  BigValue,
  CommandSnapshot,
  CommandStats,
  HotKey,
  SlowCommand,
} from '../command-stats.ts'
import type { CommandBook, CommandRecord } from './command-book.ts'
import { heldCommandBytesMax } from './limits.ts'

const slowKeptMax = 128
const keysKeptMax = 256
const keysShownMax = 20
const bigKeptMax = 20
const keyBytesShown = 128

/** Power of two. */
const sampleEvery = 128

/** Samples after which older ones count half. */
const halveAfter = 8_192

export class CommandWatch implements CommandStats {
  readonly #book: CommandBook
  readonly #clock: Clock
  slowMs: number
  /** A ring: where everything is slow, this is no time for moving entries about. */
  readonly #slow: SlowCommand[] = []
  #slowCount = 0
  readonly #keys = new Map<string, number>()
  #samples = 0
  #turn = 0
  #big: BigValue[] = []

  constructor(book: CommandBook, clock: Clock, slowMs: number) {
    this.#book = book
    this.#clock = clock
    this.slowMs = slowMs
  }

  slow(record: CommandRecord, tookMs: number): void {
    // One that waits for data is meant to take its time.
    if (record.facts.blocking) return
    const entry = { command: record.name, tookMs, atMs: this.#clock.wallMs() }
    this.#slow[this.#slowCount % slowKeptMax] = entry
    this.#slowCount += 1
  }

  /** Each command passes here; few are looked at. Gives the key whose reply is to be measured. */
  sample(record: CommandRecord, bytes: Buffer, start: number, end: number): string | null {
    this.#turn = (this.#turn + 1) & (sampleEvery - 1)
    return this.#turn === 0 ? this.#look(record, bytes, start, end) : null
  }

  #look(record: CommandRecord, bytes: Buffer, start: number, end: number): string | null {
    const { onlyKeyAt } = record.facts
    const word = onlyKeyAt === 0 ? null : readArgument(bytes, start, end, onlyKeyAt)
    if (word === null) return null
    const key = shown(word)
    this.#samples += 1
    this.#keys.set(key, (this.#keys.get(key) ?? 0) + 1)
    if (this.#keys.size > keysKeptMax) this.#forgetRare()
    if (this.#samples >= halveAfter) this.#halve()
    return key
  }

  /** A command larger than what is held; its beginning is in `bytes[start, end)`. */
  big(record: CommandRecord, bytes: Buffer, start: number, end: number, total: number): void {
    const { onlyKeyAt } = record.facts
    const word = onlyKeyAt === 0 ? null : readArgument(bytes, start, end, onlyKeyAt)
    this.#noteBig(record, word === null ? '' : shown(word), total)
  }

  /** How long the reply was to a command that was sampled. */
  bigReply(record: CommandRecord, key: string, bytes: number): void {
    if (bytes > heldCommandBytesMax) this.#noteBig(record, key, bytes)
  }

  #noteBig(record: CommandRecord, key: string, bytes: number): void {
    const others = this.#big.filter((one) => one.key !== key || one.command !== record.name)
    this.#big = [...others, { command: record.name, key, bytes }]
      .toSorted((a, b) => b.bytes - a.bytes)
      .slice(0, bigKeptMax)
  }

  snapshot(): CommandSnapshot {
    const commands = this.#book
      .records()
      .filter(({ calls }) => calls > 0)
      .map(({ name, calls, errors }) => ({ command: name, calls, errors }))
      .toSorted((a, b) => b.calls - a.calls)
    const hotKeys = this.#sorted()
      .slice(0, keysShownMax)
      .map(([key, count]): HotKey => ({ key, percent: (count / this.#samples) * 100 }))
    return { commands, slow: this.#latestSlow(), hotKeys, bigValues: this.#big }
  }

  families(): Iterable<readonly [string, BucketHistogram]> {
    return this.#book.families.entries()
  }

  /** The latest first. */
  #latestSlow(): SlowCommand[] {
    const oldest = this.#slowCount % slowKeptMax
    return [...this.#slow.slice(oldest), ...this.#slow.slice(0, oldest)].toReversed()
  }

  #sorted(): [string, number][] {
    return [...this.#keys].toSorted((a, b) => b[1] - a[1])
  }

  #forgetRare(): void {
    for (const [key] of this.#sorted().slice(keysKeptMax / 2)) this.#keys.delete(key)
  }

  #halve(): void {
    this.#samples /= 2
    for (const [key, count] of this.#keys) this.#keys.set(key, count / 2)
  }
}

function shown(key: Buffer): string {
  return key.toString('utf8', 0, Math.min(key.length, keyBytesShown))
}
