/**
 * Measures what the sidecar costs, beside the application and under the same load: the same lookup,
 * in turn straight to each database and through the sidecar.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import type { ClientConfig } from 'pg'
import type { Databases } from './databases.ts'
import { databaseName, probeRole, seedOrdersCount } from './schema.ts'
import { percentile } from '../statistics.ts'

export const probePaths = ['source', 'target', 'sidecar'] as const
export type ProbePath = (typeof probePaths)[number]

/** Milliseconds per lookup; undefined without a sample. */
export interface Latency {
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly samples: number
}

const intervalMs = 10

export class Probe {
  readonly #clients: ReadonlyMap<ProbePath, Client>
  readonly #samples = new Map<ProbePath, number[]>()
  readonly #stopping = new AbortController()
  #loop: Promise<void> = Promise.resolve()
  #errors = 0

  private constructor(clients: ReadonlyMap<ProbePath, Client>) {
    this.#clients = clients
  }

  static async start(databases: Databases, sidecarUrl: string): Promise<Probe> {
    const configs = clientConfigs(databases, sidecarUrl)
    const clients = new Map(probePaths.map((path) => [path, new Client(configs[path])]))
    const probe = new Probe(clients)
    for (const client of clients.values()) {
      client.on('error', () => {
        probe.#errors += 1
      })
      await client.connect()
    }
    probe.#loop = probe.#run()
    return probe
  }

  get errors(): number {
    return this.#errors
  }

  /** Forgets what was measured so far: a new step begins. */
  reset(): void {
    this.#samples.clear()
  }

  latency(path: ProbePath): Latency {
    const sorted = (this.#samples.get(path) ?? []).toSorted((a, b) => a - b)
    return {
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      samples: sorted.length,
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('stopped'))
    await this.#loop
    for (const client of this.#clients.values()) await client.end().catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      for (const [path, client] of this.#clients) await this.#lookUp(path, client)
      await delay(intervalMs, undefined, { signal }).catch(() => undefined)
    }
  }

  async #lookUp(path: ProbePath, client: Client): Promise<void> {
    const id = 1 + Math.floor(Math.random() * seedOrdersCount)
    const startedAtMs = performance.now()
    try {
      await client.query('SELECT status, total FROM orders WHERE id = $1', [id])
    } catch {
      this.#errors += 1
      return
    }
    const samples = this.#samples.get(path)
    if (samples === undefined) this.#samples.set(path, [performance.now() - startedAtMs])
    else samples.push(performance.now() - startedAtMs)
  }
}

function clientConfigs(databases: Databases, sidecarUrl: string): Record<ProbePath, ClientConfig> {
  const { source, target, passwords } = databases
  const login = { user: probeRole, password: passwords.probe, database: databaseName }
  return {
    source: { ...login, host: source.host, port: source.port },
    target: {
      ...login,
      host: 'localhost',
      port: target.port,
      ssl: { ca: readFileSync(databases.caPath, 'utf8') },
    },
    sidecar: { connectionString: sidecarUrl },
  }
}
