/** The whole sidecar as its users run it: `pontoon serve` in a process of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import type { Test } from 'tap'
import { pontoon } from '../cli/capture.ts'
import type { Captured } from '../cli/capture.ts'
import { startChild } from '../support/child-processes.ts'
import type { Child } from '../support/child-processes.ts'
import { freePort } from '../support/free-port.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { programArgs } from '../support/program.ts'
import { listOf, send } from './fixture.ts'
import type { Answer, RequestOptions } from './fixture.ts'

const startDeadlineMs = 40_000

export interface Finished {
  readonly exit: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command to its end. */
export async function runPontoon(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const child = await startPontoon(args, env)
  const output = collect(child)
  const exit = await child.exited
  return { exit, ...(await output) }
}

export function startPontoon(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Child> {
  return startChild(process.execPath, [...programArgs('src/main.ts'), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function collect({ process: child }: Child): Promise<{ stdout: string; stderr: string }> {
  const [stdout, stderr] = await Promise.all([readAll(child.stdout), readAll(child.stderr)])
  return { stdout, stderr }
}

async function readAll(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = ''
  for await (const chunk of stream ?? []) text += String(chunk)
  return text
}

/** A client that meets a closed connection with its next query only. */
export async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

export interface SidecarOptions {
  readonly source: Pick<PostgresServer, 'port' | 'password'>
  readonly target: Pick<PostgresServer, 'port' | 'password'>
  /** Lines after the service, e.g. tokens under `admin` do not fit here. */
  readonly extra?: string
  readonly poolSize?: number
}

/** A sidecar with its configuration; it can be ended and started again on the same state. */
export class Sidecar {
  readonly configFile: string
  readonly port: number
  readonly adminUrl: string
  #child: Child | undefined
  #log = ''

  private constructor(configFile: string, port: number, adminPort: number) {
    this.configFile = configFile
    this.port = port
    this.adminUrl = `http://127.0.0.1:${adminPort}`
  }

  static async start(test: Test, options: SidecarOptions): Promise<Sidecar> {
    const folder = test.testdir({})
    const [port, adminPort] = [await freePort(), await freePort()]
    const configFile = join(folder, 'database.yml')
    writeFileSync(configFile, configText(options, port, adminPort))
    const sidecar = new Sidecar(configFile, port, adminPort)
    test.teardown(() => sidecar.kill('SIGKILL'))
    await sidecar.start()
    return sidecar
  }

  /** The log of all starts so far. */
  get log(): string {
    return this.#log
  }

  /** For clients: user postgres, whom the service trusts. */
  url(database = 'postgres'): string {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`
  }

  async start(): Promise<void> {
    const child = await startPontoon(['serve', '--config', this.configFile])
    this.#child = child
    child.process.stderr?.on('data', (data: Buffer) => {
      this.#log += data.toString()
    })
    await this.until('ready', async () => {
      if (!child.isRunning()) throw new Error(`the sidecar has ended: ${this.#log}`)
      const answer = await this.request('/health/ready').catch(() => undefined)
      return answer?.status === 200
    })
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    const child = this.#child
    if (child === undefined) return 0
    if (child.isRunning()) process.kill(child.pid, signal)
    return await child.exited
  }

  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child !== undefined) process.kill(this.#child.pid, signal)
  }

  get exited(): Promise<number | NodeJS.Signals> {
    return this.#child?.exited ?? Promise.resolve(0)
  }

  request(path: string, options: RequestOptions = {}): Promise<Answer> {
    return send(this.adminUrl, path, options)
  }

  async metric(sample: string): Promise<number> {
    const { text } = await this.request('/metrics')
    const line = text.split('\n').find((one) => one.startsWith(`${sample} `))
    return Number(line?.slice(sample.length))
  }

  async clients(): Promise<readonly Record<string, unknown>[]> {
    return listOf(await this.request('/v1/services/orders/clients'), 'clients')
  }

  /** A command against this sidecar, run in this process. */
  cli(line: string): Promise<Captured> {
    return pontoon(line.split(' '), { PONTOON_ADMIN: this.adminUrl })
  }

  /** Polls until the condition holds. */
  async until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
    const deadline = performance.now() + startDeadlineMs
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error(`not ${what} in time: ${this.#log}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function configText(options: SidecarOptions, port: number, adminPort: number): string {
  const side = ({ port: at, password }: SidecarOptions['source']): string =>
    `{ host: 127.0.0.1, port: ${at}, user: postgres, password: ${password}, tls: { mode: disable } }`
  return `
admin: { listen: 127.0.0.1:${adminPort} }
state: { file: ./state }
${options.extra ?? ''}
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    pool: { mode: transaction, size: ${options.poolSize ?? 5} }
    source: ${side(options.source)}
    target: ${side(options.target)}
`
}
