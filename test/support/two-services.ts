/**
 * Two services on one pair of servers, set up as operators do it: a database each, the same roles of
 * the application and of Pontoon for both, one sidecar.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../src/control/runtime.ts'
import type { StepName } from '../../src/migration/pg/switch/model.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { pontoon, type Captured } from '../cli/capture.ts'
import { freePort } from './free-port.ts'
import { postgresBinFolder } from './postgres-binaries.ts'
import { startPostgres, type PostgresMajor, type PostgresServer } from './postgres.ts'
import { programArgs } from './program.ts'
import { startWriters, type Writers } from './record-client.ts'
import { grantsSql, ownRolesSql } from './switch-roles.ts'

/** With their databases. */
export const databases = { orders: 'shop', billing: 'bills' } as const
export type ServiceName = keyof typeof databases
export const serviceNames = ['orders', 'billing'] as const

const tablesSql = `SET ROLE app;
  CREATE TABLE records (id bigserial PRIMARY KEY, writer int NOT NULL, number int NOT NULL)`

/** The newest pg_dump that is there; where the servers are newer, definitions are made by hand. */
const dumpMajor = 15

const settings = {
  wal_retrieve_retry_interval: '200ms',
  max_logical_replication_workers: '8',
  max_worker_processes: '16',
}

export class TwoServices {
  readonly source: PostgresServer
  readonly target: PostgresServer
  /** Runs before each step of a switch, of either service. */
  before: (step: StepName) => Promise<void> | void = () => undefined
  readonly #folder = mkdtempSync(join(tmpdir(), 'pontoon-two-'))
  readonly #ports: Readonly<Record<ServiceName | 'admin', number>>
  #runtime: Runtime | undefined

  private constructor(
    servers: { readonly source: PostgresServer; readonly target: PostgresServer },
    ports: Readonly<Record<ServiceName | 'admin', number>>,
  ) {
    this.source = servers.source
    this.target = servers.target
    this.#ports = ports
    writeFileSync(this.#configFile, this.#configText())
  }

  /** Both sources have their tables; nothing of a migration is there yet but the sidecar. */
  static async start(major: PostgresMajor): Promise<TwoServices> {
    const [source, target] = await Promise.all([
      startPostgres({ major, settings }),
      startPostgres({ major, settings }),
    ])
    const ports = { orders: await freePort(), billing: await freePort(), admin: await freePort() }
    const both = new TwoServices({ source, target }, ports)
    try {
      await source.createUser({ name: 'app', password: 'app' })
      if (major > dumpMajor) await target.createUser({ name: 'app' })
      for (const database of Object.values(databases)) {
        await source.createDatabase(database, 'app')
        await target.createDatabase(database, major > dumpMajor ? 'app' : undefined)
        await source.query(tablesSql, database)
      }
      await both.#serve()
    } catch (error) {
      await both.stop()
      throw error
    }
    return both
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.#ports.admin}`
  }

  /** Through Pontoon. */
  url(service: ServiceName): string {
    return `postgres://app:app@127.0.0.1:${this.#ports[service]}/${databases[service]}`
  }

  startWriters(service: ServiceName): Promise<Writers> {
    return startWriters({ url: this.url(service), writers: 2, createTable: false, intervalMs: 20 })
  }

  /** One after the other: roles are the cluster's. */
  async bringSchema(): Promise<void> {
    const dump = join(postgresBinFolder(dumpMajor), 'pg_dump')
    if (this.source.major > dumpMajor) await this.#makeByHand()
    else for (const name of serviceNames) await this.run('schema', name, '--pg-dump', dump)
    await this.target.query(`ALTER ROLE app PASSWORD 'app'`)
  }

  /** `pontoon NAME SERVICE ARGS` in this process. Rejects when it fails. */
  async run(name: string, service: ServiceName, ...args: readonly string[]): Promise<Captured> {
    const done = await this.try(name, service, ...args)
    if (done.exit === 0) return done
    throw new Error(`${name} ${service}: ${done.exit}: ${done.out}${done.err}`)
  }

  try(name: string, service: ServiceName, ...args: readonly string[]): Promise<Captured> {
    const asks = name === 'status' ? ['--admin', this.adminUrl] : ['--config', this.#configFile]
    return pontoon([name, service, ...asks, ...args], this.#environment)
  }

  /** In a process of its own, which the keeper of its snapshot outlives. */
  async copy(service: ServiceName, ...args: readonly string[]): Promise<void> {
    const line = [...programArgs('src/main.ts'), 'copy', service, '--config', this.#configFile]
    await promisify(execFile)(process.execPath, [...line, ...args], {
      env: { ...process.env, TAP: '' },
    })
  }

  async stop(): Promise<void> {
    await this.#runtime?.stop('test', 0)
    await Promise.all([this.source.stop(), this.target.stop()])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #makeByHand(): Promise<void> {
    for (const side of ['source', 'target'] as const)
      for (const [index, database] of Object.values(databases).entries()) {
        if (side === 'target') await this.target.query(tablesSql, database)
        if (index === 0) await this[side].query(ownRolesSql())
        await this[side].query(grantsSql(side, database), database)
      }
  }

  async #serve(): Promise<void> {
    const { config } = loadConfig([this.#configFile], {})
    this.#runtime = await startRuntime({
      config,
      configFiles: [this.#configFile],
      log: createLog('error', { write: (line) => process.stderr.write(line) }),
      clock: systemClock,
      beforeStep: (step) => this.before(step),
    })
  }

  get #configFile(): string {
    return join(this.#folder, 'database.yml')
  }

  get #environment(): Readonly<Record<string, string>> {
    return {
      PONTOON_SOURCE_ADMIN: this.source.url(),
      PONTOON_TARGET_ADMIN: this.target.url(),
    }
  }

  #configText(): string {
    const app = { verifier: 'app', source: { password: 'app' }, target: { password: 'app' } }
    const serviceOf = (name: ServiceName): object => ({
      protocol: 'postgres',
      listen: `127.0.0.1:${this.#ports[name]}`,
      databases: [databases[name]],
      clientAuth: { mode: 'scram' },
      users: { app },
      pool: { mode: 'transaction', size: 5 },
      migration: { lagMaxMs: 2_000 },
      source: sideOf(this.source),
      target: sideOf(this.target),
    })
    return stringify({
      admin: { listen: `127.0.0.1:${this.#ports.admin}` },
      state: { file: join(this.#folder, 'state') },
      services: Object.fromEntries(serviceNames.map((name) => [name, serviceOf(name)])),
    })
  }
}

function sideOf({ host, port }: PostgresServer): object {
  return {
    host,
    port,
    tls: { mode: 'disable' },
    controlUser: { user: 'control', password: 'control' },
    replicationUser: { user: 'repl', password: 'repl' },
    readUser: { user: 'reader', password: 'reader' },
  }
}
