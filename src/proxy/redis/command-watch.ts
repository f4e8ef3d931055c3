/** The slow log of a service: the slowest commands of late, by name; arguments are never kept. */
import type { Clock } from '../../shared/clock.ts'
import type { CommandRecord } from './command-book.ts'

export interface SlowCommand {
  readonly command: string
  readonly tookMs: number
  /** Wall-clock milliseconds when its reply came. */
  readonly atMs: number
}

const slowKeptMax = 128

export class CommandWatch {
  readonly #clock: Clock
  slowMs: number
  readonly #slow: SlowCommand[] = []

  constructor(clock: Clock, slowMs: number) {
    this.#clock = clock
    this.slowMs = slowMs
  }

  slow(record: CommandRecord, tookMs: number): void {
    // One that waits for data is meant to take its time.
    if (record.facts.blocking) return
    if (this.#slow.length >= slowKeptMax) this.#slow.shift()
    this.#slow.push({ command: record.name, tookMs, atMs: this.#clock.wallMs() })
  }

  /** The latest first. */
  get slowest(): readonly SlowCommand[] {
    return this.#slow.toReversed()
  }
}
