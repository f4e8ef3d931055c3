/**
 * Starts the sample application as a process that knows nothing but its connection string, and
 * listens to what it says about itself. Neighbour: sample-app/main.ts, the application.
 */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startChild } from '../../test/support/child-processes.ts'
import type { Child } from '../../test/support/child-processes.ts'
import { programArgs } from '../../test/support/program.ts'
import { endChild } from '../processes.ts'
import type { TallySnapshot } from './sample-app/tally.ts'

const main = programArgs('scripts/demo/sample-app/main.ts')

const nothingYet: TallySnapshot = {
  requests: 0,
  errors: 0,
  messages: [],
  records: [],
  longestGapMs: 0,
  p50Ms: 0,
  p99Ms: 0,
}

/** What the application saw during something. */
export interface Experience {
  readonly requests: number
  readonly errors: number
  /** The longest that any client waited from one answer to the next. */
  readonly longestGapMs: number
}

export class Application {
  readonly #child: Child
  readonly #words: string[] = []
  readonly #reported: Promise<void>
  #latest = nothingYet
  #longestGapMs = 0
  #waiting: (() => void)[] = []

  private constructor(child: Child) {
    this.#child = child
    const { stdout, stderr } = child.process
    if (stdout === null || stderr === null) throw new Error('the application has no output')
    const lines = createInterface({ input: stdout })
    lines.on('line', (line) => {
      const tally: TallySnapshot = JSON.parse(line)
      this.#take(tally)
    })
    this.#reported = new Promise((resolve) => {
      lines.once('close', () => {
        resolve()
        this.#wake()
      })
    })
    stderr.on('data', (chunk: Buffer) => this.#words.push(chunk.toString()))
  }

  static async start(url: string): Promise<Application> {
    const child = await startChild(process.execPath, main, {
      cwd: join(import.meta.dirname, '..', '..'),
      env: { ...process.env, DATABASE_URL: url },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    return new Application(child)
  }

  /** What it said last, at most a fraction of a second ago. Throws when it has died. */
  tally(): TallySnapshot {
    if (!this.#child.isRunning()) {
      throw new Error(`the application ended:\n${this.#words.join('')}`)
    }
    return this.#latest
  }

  /** Records begun less those in doubt. */
  acknowledged(): number {
    return this.tally().records.reduce((sum, { begun, inDoubt }) => sum + begun - inDoubt.length, 0)
  }

  /** Does something and tells what the application saw meanwhile. One at a time. */
  async during<T>(act: () => Promise<T>): Promise<readonly [T, Experience]> {
    const before = this.tally()
    this.#longestGapMs = 0
    const result = await act()
    // The first line may have been on its way; a wait that has just ended stands in the next.
    for (let line = 0; line < 2; line += 1) await this.#nextLine()
    const after = this.tally()
    const experience = {
      requests: after.requests - before.requests,
      errors: after.errors - before.errors,
      longestGapMs: this.#longestGapMs,
    }
    return [result, experience]
  }

  /** Lets the requests under way end and returns the last word. */
  async stop(): Promise<TallySnapshot> {
    if (this.#child.isRunning()) await endChild(this.#child)
    await this.#reported
    return this.#latest
  }

  #take(tally: TallySnapshot): void {
    this.#latest = tally
    this.#longestGapMs = Math.max(this.#longestGapMs, tally.longestGapMs)
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #nextLine(): Promise<void> {
    this.tally()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
