/** Counts of the sample application: requests, errors, records acknowledged, times. */
import { Pace } from './pace.ts'
import { RecordLog } from './records.ts'
import type { WriterRecords } from './records.ts'

export interface TallySnapshot {
  readonly requests: number
  readonly errors: number
  /** The first few errors, in words. */
  readonly messages: readonly string[]
  readonly records: readonly WriterRecords[]
  /** The longest that any client waited from one answer to the next, since the last snapshot. */
  readonly longestGapMs: number
  /** Of the requests of the last few seconds. */
  readonly p50Ms: number
  readonly p99Ms: number
}

const messagesMax = 5
const windowMax = 2_000

export class Tally {
  #requests = 0
  #errors = 0
  readonly #messages: string[] = []
  readonly #window: number[] = []
  readonly #paces: Pace[] = []
  readonly #records: RecordLog[] = []

  /** For one more client. */
  pace(): Pace {
    const pace = new Pace()
    this.#paces.push(pace)
    return pace
  }

  /** For one more client that writes. */
  records(): RecordLog {
    const log = new RecordLog(this.#records.length)
    this.#records.push(log)
    return log
  }

  /**
   * Runs one request, counts it and how long it took; an error is counted, not thrown. Returns
   * whether it went well.
   */
  async request(name: string, run: () => Promise<void>): Promise<boolean> {
    const startedAtMs = performance.now()
    let succeeded = true
    try {
      await run()
    } catch (error) {
      succeeded = false
      this.countError(name, error)
    }
    this.#requests += 1
    this.#window[this.#requests % windowMax] = performance.now() - startedAtMs
    return succeeded
  }

  countError(name: string, error: unknown): void {
    this.#errors += 1
    if (this.#messages.length < messagesMax) this.#messages.push(`${name}: ${describe(error)}`)
  }

  snapshot(): TallySnapshot {
    const sorted = Object.values(this.#window).toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0
    return {
      requests: this.#requests,
      errors: this.#errors,
      messages: this.#messages,
      records: this.#records.map((log) => log.snapshot()),
      longestGapMs: Math.max(0, ...this.#paces.map((pace) => pace.takeLongestMs())),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    }
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? ` (${String(error.code)})` : ''
  return `${error.message}${code}`
}
