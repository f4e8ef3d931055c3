/**
 * Pontoon itself, as a user runs it: a folder with pontoon.yml, `pontoon serve` as a process of its
 * own, and the command line to operate it. Neighbours: configuration.ts, databases.ts, run.ts.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { startChild } from '../../test/support/child-processes.ts'
import type { Child } from '../../test/support/child-processes.ts'
import { endChild, runToEnd } from '../processes.ts'
import type { Ended } from '../processes.ts'
import { configuration, secretsOf } from './configuration.ts'
import type { SidecarPorts } from './configuration.ts'
import type { Databases } from './databases.ts'
import { untilTrue } from './poll.ts'
import { applicationRole, databaseName } from './schema.ts'

const main = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
const startDeadlineMs = 20_000
const commandDeadlineMs = 120_000

export class Sidecar {
  readonly ports: SidecarPorts
  readonly token = randomBytes(16).toString('hex')
  /** Where commands are run: pontoon.yml is here. */
  readonly folder = mkdtempSync(join(tmpdir(), 'pontoon-demo-'))
  /** For the application: all that it knows. */
  readonly url: string
  readonly #secrets: Readonly<Record<string, string>>
  #child: Child | undefined

  constructor(databases: Databases, ports: SidecarPorts) {
    this.ports = ports
    const login = `${applicationRole}:${databases.passwords.application}`
    this.url = `postgres://${login}@localhost:${ports.service}/${databaseName}`
    this.#secrets = secretsOf(databases, this.token, this.adminUrl)
    writeFileSync(join(this.folder, 'pontoon.yml'), configuration(databases, ports))
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports.admin}`
  }

  /** Resolves when the application could come: a login and a query went through. */
  async start(signal: AbortSignal): Promise<void> {
    const log = openSync(this.#logFile, 'a')
    const options = {
      cwd: this.folder,
      env: { ...process.env, ...this.#secrets },
      stdio: ['ignore' as const, log, log],
    }
    const removeFolder = () => rmSync(this.folder, { recursive: true, force: true })
    this.#child = await startChild(process.execPath, [main, 'serve'], options, removeFolder)
    closeSync(log)
    const answering = async () => {
      if (this.#child?.isRunning() !== true) throw new Error('the sidecar ended')
      return answers(this.url)
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
    return readFileSync(this.#logFile, 'utf8').slice(-8_000)
  }

  /** Runs `pontoon ARGS` in the folder, as an operator would. */
  command(args: readonly string[], signal: AbortSignal): Promise<Ended> {
    return runToEnd(process.execPath, [main, ...args], {
      cwd: this.folder,
      env: this.#secrets,
      signal: AbortSignal.any([signal, AbortSignal.timeout(commandDeadlineMs)]),
    })
  }

  /** Returns the name of a file in the folder for a shell to read, so that commands can be tried by hand. */
  writeEnvironment(): string {
    const name = 'environment'
    const lines = Object.entries(this.#secrets).map(([key, value]) => `export ${key}='${value}'`)
    writeFileSync(join(this.folder, name), `${lines.join('\n')}\n`, { mode: 0o600 })
    return name
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child?.isRunning() === true) await endChild(child)
    rmSync(this.folder, { recursive: true, force: true })
  }

  get #logFile(): string {
    return join(this.folder, 'log')
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
