/**
 * The parent's side of switch-sidecar-process.ts. A spare process is kept loaded, so that one that
 * was killed is followed by the next as fast as a supervisor would do it.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { startChild, type Child } from './child-processes.ts'
import { programArgs } from './program.ts'
import { until } from './until.ts'

const program = programArgs('test/support/switch-sidecar-process.ts')
const loadMs = 60_000
const logCharsMax = 20_000
const startMs = 30_000
const messageSchema = z.object({
  is: z.enum(['loaded', 'running', 'standing']),
  step: z.string().optional(),
})

interface Loaded {
  readonly child: Child
  isLoaded: boolean
  isRunning: boolean
  standing: string | null
}

export class SwitchSidecar {
  readonly #configFile: string
  readonly #logFile: string
  #current: Loaded | null = null
  #downMs = 0
  #endedMs: number | null = null
  #spare: Promise<Loaded>

  constructor(configFile: string, folder: string) {
    this.#configFile = configFile
    this.#logFile = join(folder, 'sidecar.log')
    this.#spare = this.#load()
    this.#spare.catch(() => undefined)
  }

  /** The step before which it stands. */
  get standing(): string | null {
    return this.#current?.standing ?? null
  }

  /** How long none has run in all, the loading of a program on a busy machine included. */
  get downMs(): number {
    return this.#downMs
  }

  get isRunning(): boolean {
    return this.#current?.child.isRunning() ?? false
  }

  /** Runs it; it will stand before each of `stops`. A switch under recovery may stand at once. */
  async start(stops: readonly string[] = []): Promise<void> {
    const loaded = await this.#spare
    this.#spare = this.#load()
    this.#spare.catch(() => undefined)
    this.#current = loaded
    loaded.child.process.send({ order: 'start', stops })
    await until(
      () => loaded.isRunning || !loaded.child.isRunning(),
      `the sidecar runs (${this.#logFile})`,
      startMs,
    )
    if (!loaded.child.isRunning()) throw new Error(`the sidecar ended:\n${this.log()}`)
    if (this.#endedMs !== null) this.#downMs += performance.now() - this.#endedMs
    this.#endedMs = null
  }

  log(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-logCharsMax)
  }

  async untilStanding(step: string, deadlineMs = 60_000): Promise<void> {
    await until(() => this.standing === step, `the sidecar is about to ${step}`, deadlineMs)
  }

  /** Lets it go on; it will stand before each of `stops`. Also sets the stops while it runs. */
  go(stops: readonly string[] = []): void {
    const current = this.#current
    if (current === null) throw new Error('no sidecar runs')
    current.standing = null
    current.child.process.send({ order: 'go', stops })
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** As a supervisor asks for it; what it is in the middle of is its own matter. */
  async terminate(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const current = this.#current
    if (current === null) return
    current.child.process.kill(signal)
    await current.child.exited
    this.#endedMs = performance.now()
    this.#current = null
  }

  async stop(): Promise<void> {
    await this.kill9()
    const { child } = await this.#spare
    child.process.kill('SIGKILL')
    await child.exited
  }

  async #load(): Promise<Loaded> {
    const log = openSync(this.#logFile, 'a')
    const child = await startChild(process.execPath, [...program, this.#configFile], {
      stdio: ['ignore', log, log, 'ipc'],
      exitSignal: 'SIGKILL',
    })
    closeSync(log)
    const loaded: Loaded = { child, isLoaded: false, isRunning: false, standing: null }
    child.process.on('message', (message) => {
      const { is, step = null } = messageSchema.parse(message)
      if (is === 'loaded') loaded.isLoaded = true
      else if (is === 'running') loaded.isRunning = true
      else loaded.standing = step
    })
    await until(() => loaded.isLoaded, `the sidecar is loaded (${this.#logFile})`, loadMs)
    return loaded
  }
}
