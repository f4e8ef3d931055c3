/**
 * A source and a target with the roles of a migration, the tables of a small shop on both, and
 * sync between them: what a cutover begins with. `pontoon schema` and `copy` have tests of their
 * own; here the set-up is made by hand, so that a failure there does not show here.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import type { Config, ServiceConfig } from '../../src/config/schema.ts'
import { conninfo } from '../../src/migration/pg/conninfo.ts'
import { controlSchemaSql, writeMarkSql } from '../../src/migration/pg/control-schema.ts'
import { fence } from '../../src/migration/pg/fence.ts'
import { publicationName, subscriptionName } from '../../src/migration/pg/names.ts'
import { ensurePublication } from '../../src/migration/pg/publication.ts'
import { connectAs, type MigrationContext } from '../../src/migration/pg/side-login.ts'
import { subscribe } from '../../src/migration/pg/subscribe.ts'
import { readSubscription } from '../../src/migration/pg/subscription-state.ts'
import { fenceSpec } from '../../src/migration/pg/switch/switch-sides.ts'
import { readTables } from '../../src/migration/pg/tables.ts'
import type { SqlClient } from '../../src/net/pg/sql-client.ts'
import { Secrets } from '../../src/net/secrets/secrets.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'
import { freePort } from './free-port.ts'
import { quickWorkers, startPostgres } from './postgres.ts'
import { SwitchNetwork } from './switch-network.ts'
import type { PostgresMajor, PostgresServer } from './postgres.ts'
import { administer, makeAdministrator, managedRolesSql, plainRolesSql } from './switch-roles.ts'
import { targetTlsText, type TargetTls } from './switch-tls.ts'
import { until } from './until.ts'

export interface PairOptions {
  readonly source?: PostgresMajor
  readonly target?: PostgresMajor
  /** Lines under the service, indented by four. */
  readonly service?: string
  readonly poolSize?: number
  /** Default: accountsCount. */
  readonly accounts?: number
  /** Puts relays between Pontoon and the sides and between the sides: see `network`. */
  readonly relays?: boolean
  /** Pontoon's roles as `pontoon schema` makes them: none is a superuser that need not be one. */
  readonly managed?: boolean
  /** Pontoon and the source's server reach the target with `verify-full`, see switch-tls.ts. */
  readonly targetTls?: TargetTls
  /** Default true. Without it the target's tables are empty and nothing replicates. */
  readonly synced?: boolean
}

const tablesSql = `
  CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
  CREATE TABLE records (id bigserial PRIMARY KEY, writer int NOT NULL, number int NOT NULL);
  CREATE SEQUENCE free_standing CACHE 5;
  ALTER TABLE accounts OWNER TO app; ALTER TABLE records OWNER TO app;
  ALTER SEQUENCE free_standing OWNER TO app`

export const accountsCount = 100
export const balanceEach = 1_000

export class SwitchPair {
  readonly source: PostgresServer
  readonly target: PostgresServer
  readonly network: SwitchNetwork | null
  readonly folder: string
  readonly port: number
  readonly adminPort: number
  readonly configFile: string
  readonly context: MigrationContext
  readonly config: Config

  private constructor(
    servers: { readonly source: PostgresServer; readonly target: PostgresServer },
    folder: string,
    ports: { readonly port: number; readonly adminPort: number },
    network: SwitchNetwork | null,
    options: PairOptions,
  ) {
    this.source = servers.source
    this.target = servers.target
    this.network = network
    this.folder = folder
    this.port = ports.port
    this.adminPort = ports.adminPort
    this.configFile = join(folder, 'database.yml')
    writeFileSync(this.configFile, this.#configText(options))
    this.config = loadConfig([this.configFile], {}).config
    const secrets = new Secrets({ clock: systemClock, log: silentLog })
    this.context = { service: 'orders', config: this.#serviceConfig(), secrets }
  }

  static async start(options: PairOptions = {}): Promise<SwitchPair> {
    const settings = {
      wal_level: 'logical',
      max_connections: '150',
      max_replication_slots: '20',
      max_wal_senders: '20',
      ...quickWorkers,
      // As by default: a pause must not be short only because a test has switched it off.
      jit: 'on',
    }
    const tls = options.targetTls?.server ?? false
    const [source, target] = await Promise.all([
      startPostgres({ major: options.source ?? 15, settings }),
      startPostgres({ major: options.target ?? 15, settings, tls }),
    ])
    const ports = { port: await freePort(), adminPort: await freePort() }
    const folder = mkdtempSync(join(tmpdir(), 'pontoon-pair-'))
    const network = options.relays === true ? await SwitchNetwork.start(source, target) : null
    const pair = new SwitchPair({ source, target }, folder, ports, network, options)
    try {
      await pair.#prepare(options)
    } catch (error) {
      await pair.stop()
      throw error
    }
    return pair
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`
  }

  /** For the application, through Pontoon. */
  url(): string {
    return `postgres://app:app@127.0.0.1:${this.port}/shop`
  }

  async stop(): Promise<void> {
    await this.network?.close()
    await Promise.all([this.source.stop(), this.target.stop()])
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #prepare(options: PairOptions): Promise<void> {
    const { accounts = accountsCount, managed = false, synced = true } = options
    for (const side of ['source', 'target'] as const) {
      const server = this[side]
      const isManaged = managed && side === 'target' && server.major >= 16
      if (isManaged) await makeAdministrator(server)
      const query = (sql: string, database?: string): Promise<unknown> =>
        isManaged ? administer(server, sql, database) : server.query(sql, database)
      await query(`CREATE ROLE app LOGIN PASSWORD 'app'`)
      if (isManaged) await query('GRANT app TO administrator')
      await query('CREATE DATABASE shop OWNER app')
      await query(`SET ROLE app; ${tablesSql}`, 'shop')
      await query(managed ? managedRolesSql(side) : plainRolesSql(server.major), 'shop')
    }
    await this.source.query(
      `INSERT INTO accounts SELECT g, ${balanceEach} FROM generate_series(1, ${accounts}) g`,
      'shop',
    )
    await this.#makeReady(synced)
  }

  async #makeReady(synced: boolean): Promise<void> {
    const { context } = this
    const connect = (side: 'source' | 'target', purpose: 'control' | 'replication') =>
      connectAs(context, { side, purpose, task: 'test' })
    const source = await connect('source', 'control')
    const target = await connect('target', 'control')
    for (const client of [source, target]) {
      await client.run(controlSchemaSql())
      await client.run(writeMarkSql({ epoch: 1, primary: 'source' }))
      await client.run('GRANT ALL ON ALL TABLES IN SCHEMA pontoon TO repl')
    }
    await fence(target, fenceSpec(context, 'target'))
    const publisher = await connect('source', 'replication')
    const owner = await connect('target', 'replication')
    if (synced) await this.#startSync(source, target, publisher, owner)
    for (const client of [source, target, publisher, owner]) client.close()
  }

  async #startSync(
    source: SqlClient,
    target: SqlClient,
    publisher: SqlClient,
    owner: SqlClient,
  ): Promise<void> {
    const { context } = this
    const { service } = context
    const tables = await readTables(source)
    await ensurePublication(source, {
      service,
      direction: 'forward',
      tables,
      receiverMajor: target.major,
    })
    const name = subscriptionName(service, 'forward')
    await subscribe(publisher, owner, {
      name,
      publications: [publicationName(service, 'forward')],
      conninfo: await conninfo(context, 'source', { task: 'sync' }),
      publisherMajor: source.major,
      copyData: true,
      enabled: true,
    })
    await until(
      async () => {
        const state = await readSubscription(owner, name)
        return state?.tables.every((table) => table.state === 'ready') ?? false
      },
      'every table is synced',
      30_000,
    )
  }

  #serviceConfig(): ServiceConfig {
    const service = this.config.services['orders']
    if (service?.protocol !== 'postgres') throw new Error('the service is not there')
    return service
  }

  #configText({ service = '', poolSize = 20, targetTls }: PairOptions): string {
    const toTarget = targetTls === undefined ? plainText : targetTlsText(targetTls, this.source)
    return `
admin: { listen: '127.0.0.1:${this.adminPort}' }
state: { file: ${join(this.folder, 'state')} }
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:${this.port}
    databases: [shop]
    clientAuth: { mode: scram }
    users:
      app: { verifier: app, source: { password: app }, target: { password: app } }
    pool: { mode: transaction, size: ${poolSize} }
    migration: { lagMaxMs: 2000 }
    source: ${sideText(plainText, this.network?.portsOf('source') ?? { port: this.source.port })}
    target: ${sideText(toTarget, this.network?.portsOf('target') ?? { port: this.target.port })}
${service}`
  }
}

const plainText = 'host: 127.0.0.1, tls: { mode: disable }'

function sideText(way: string, ports: Readonly<Record<string, number>>): string {
  const text = Object.entries(ports).map(([name, port]) => `${name}: ${port}`)
  return `{ ${way}, ${text.join(', ')}, database: shop,
      controlUser: { user: control, password: control },
      replicationUser: { user: repl, password: repl },
      readUser: { user: reader, password: reader } }`
}
