/** Counts of the sample application: requests, errors, orders acknowledged, response times. */
export interface TallySnapshot {
  readonly requests: number
  readonly errors: number
  /** Orders whose COMMIT was acknowledged. */
  readonly ordersPlaced: number
  /** The first few errors, in words. */
  readonly messages: readonly string[]
  /** Of the requests of the last few seconds; milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
}

const messagesMax = 5
const windowMax = 2_000

export class Tally {
  ordersPlaced = 0
  #requests = 0
  #errors = 0
  readonly #messages: string[] = []
  readonly #window: number[] = []

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
      ordersPlaced: this.ordersPlaced,
      messages: this.#messages,
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
