/**
 * Pontoon itself, as a user runs it: a configuration file, `pontoon serve` as a process of its own,
 * and the command line to operate it. Neighbours: databases.ts (its two sides), run.ts.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { stringify } from 'yaml'
import { startChild } from '../../test/support/child-processes.ts'
import type { Child } from '../../test/support/child-processes.ts'
import { endChild, execute } from '../processes.ts'
import type { Databases } from './databases.ts'
import { untilTrue } from './poll.ts'
import { applicationRole, databaseName, probeRole } from './schema.ts'

export interface SidecarPorts {
  readonly service: number
  readonly admin: number
}

const main = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
const serviceName = 'orders'
const startDeadlineMs = 20_000
const commandDeadlineMs = 10_000

export class Sidecar {
  readonly ports: SidecarPorts
  readonly token: string
  readonly configFile: string
  readonly #folder: string
  readonly #environment: NodeJS.ProcessEnv
  #child: Child | undefined

  constructor(databases: Databases, ports: SidecarPorts) {
    this.ports = ports
    this.token = randomBytes(16).toString('hex')
    this.#folder = mkdtempSync(join(tmpdir(), 'pontoon-demo-'))
    this.configFile = join(this.#folder, 'database.yml')
    writeFileSync(this.configFile, configuration(databases, ports, join(this.#folder, 'state')))
    this.#environment = {
      ...process.env,
      PONTOON_TOKEN: this.token,
      APP_PASSWORD: databases.passwords.application,
      PROBE_PASSWORD: databases.passwords.probe,
    }
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports.admin}`
  }

  url(role: string, password: string): string {
    return `postgres://${role}:${password}@localhost:${this.ports.service}/${databaseName}`
  }

  /** Resolves when the application could come: a login and a query went through. */
  async start(databases: Databases, signal: AbortSignal): Promise<void> {
    const log = openSync(this.#logFile, 'a')
    const args = [main, 'serve', '--config', this.configFile]
    const removeFolder = () => rmSync(this.#folder, { recursive: true, force: true })
    this.#child = await startChild(
      process.execPath,
      args,
      { env: this.#environment, stdio: ['ignore', log, log] },
      removeFolder,
    )
    closeSync(log)
    const url = this.url(applicationRole, databases.passwords.application)
    const answering = async () => {
      if (this.#child?.isRunning() !== true) throw new Error('the sidecar ended')
      return answers(url)
    }
    try {
      await untilTrue('the sidecar to answer', answering, startDeadlineMs, signal)
    } catch (error) {
      if (signal.aborted) throw error
      throw new Error(`the sidecar did not start: ${String(error)}\n${this.log()}`, {
        cause: error,
      })
    }
  }

  log(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-4_000)
  }

  /** Runs `pontoon ARGS` against this sidecar, as an operator would; throws when it fails. */
  command(args: readonly string[], signal: AbortSignal): Promise<string> {
    return execute(
      process.execPath,
      [main, ...args, '--admin', this.adminUrl],
      { PONTOON_TOKEN: this.token },
      AbortSignal.any([signal, AbortSignal.timeout(commandDeadlineMs)]),
    )
  }

  async shift(reads: number, signal: AbortSignal): Promise<void> {
    await this.command(['shift', serviceName, '--reads', String(reads)], signal)
  }

  /** The read percentage that Prometheus would see now. */
  async readsInMetrics(): Promise<number | undefined> {
    const response = await fetch(`${this.adminUrl}/metrics`, {
      headers: { authorization: `Bearer ${this.token}` },
      signal: AbortSignal.timeout(commandDeadlineMs),
    })
    if (!response.ok) throw new Error(`/metrics answers ${response.status}`)
    const pattern = /^pontoon_route_reads_percent\{[^}]*service="orders"[^}]*\} (\S+)/m
    const value = pattern.exec(await response.text())?.[1]
    return value === undefined ? undefined : Number(value)
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child?.isRunning() === true) await endChild(child)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #logFile(): string {
    return join(this.#folder, 'log')
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Secrets come from the environment, as in a real installation. */
function configuration(databases: Databases, ports: SidecarPorts, stateFolder: string): string {
  const { source, target, caPath } = databases
  return stringify({
    admin: {
      listen: `127.0.0.1:${ports.admin}`,
      tokens: [{ name: 'demo', role: 'operator', secret: '${PONTOON_TOKEN}' }],
    },
    state: { file: stateFolder },
    services: {
      [serviceName]: {
        protocol: 'postgres',
        listen: `localhost:${ports.service}`,
        databases: [databaseName],
        clientAuth: { mode: 'scram' },
        users: {
          [applicationRole]: userEntry('${APP_PASSWORD}'),
          [probeRole]: userEntry('${PROBE_PASSWORD}'),
        },
        pool: { mode: 'transaction', size: 8 },
        source: { host: source.host, port: source.port, tls: { mode: 'disable' } },
        target: {
          host: 'localhost',
          port: target.port,
          tls: { mode: 'verify-full', ca: caPath },
        },
        route: { phase: 'self-hosted' },
      },
    },
  })
}

/** The same name and password in front of the sidecar and on both sides. */
function userEntry(password: string) {
  return { verifier: password, source: { password }, target: { password } }
}
