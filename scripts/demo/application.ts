/**
 * Starts the sample application as a process that knows nothing but its connection string, and
 * listens to what it says about itself. Neighbour: sample-app/main.ts, the application.
 */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startChild } from '../../test/support/child-processes.ts'
import type { Child } from '../../test/support/child-processes.ts'
import { endChild } from '../processes.ts'
import type { TallySnapshot } from './sample-app/tally.ts'

const main = join(import.meta.dirname, 'sample-app', 'main.ts')

const nothingYet: TallySnapshot = {
  requests: 0,
  errors: 0,
  ordersPlaced: 0,
  messages: [],
  p50Ms: 0,
  p99Ms: 0,
}

export class Application {
  readonly #child: Child
  readonly #words: string[] = []
  readonly #reported: Promise<void>
  #latest = nothingYet

  private constructor(child: Child) {
    this.#child = child
    const { stdout, stderr } = child.process
    if (stdout === null || stderr === null) throw new Error('the application has no output')
    const lines = createInterface({ input: stdout })
    lines.on('line', (line) => {
      const tally: TallySnapshot = JSON.parse(line)
      this.#latest = tally
    })
    this.#reported = new Promise((resolve) => {
      lines.once('close', resolve)
    })
    stderr.on('data', (chunk: Buffer) => this.#words.push(chunk.toString()))
  }

  static async start(url: string): Promise<Application> {
    const child = await startChild(process.execPath, ['--import=tsx', main], {
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

  /** Lets the requests under way end and returns the last word. */
  async stop(): Promise<TallySnapshot> {
    if (this.#child.isRunning()) await endChild(this.#child)
    await this.#reported
    return this.#latest
  }
}
