/**
 * A source and a target with the roles of a migration, for tests: `pontoon_control` (superuser on
 * the source, none on the target), `pontoon_repl` (superuser only where a subscription needs one:
 * before 16), `app` that owns the tables. Databases are made as tests need them.
 */
import { postgresService, type ServiceConfig } from '../../src/config/schema.ts'
import {
  connectAs,
  type MigrationContext,
  type Purpose,
} from '../../src/migration/pg/side-login.ts'
import type { SqlClient } from '../../src/net/pg/sql-client.ts'
import { Secrets } from '../../src/net/secrets/secrets.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'
import { sides, type Side } from '../../src/shared/side.ts'
import { quickWorkers, startPostgres, type PostgresMajor, type PostgresServer } from './postgres.ts'
import type { PostgresTls } from './postgres-cluster.ts'

export interface PairOptions {
  readonly source: PostgresMajor
  readonly target: PostgresMajor
  readonly targetTls?: PostgresTls
  /** Of both; `targetSettings` of the target beside them. */
  readonly settings?: Readonly<Record<string, string>>
  readonly targetSettings?: Readonly<Record<string, string>>
}

export interface DatabaseOptions {
  /** Run on both sides as `app`, who owns what it makes. */
  readonly schema: string
  /** Laid over the configuration of the sides. */
  readonly source?: object
  readonly target?: object
}

export interface MigratedDatabase {
  readonly context: MigrationContext
  connect(side: Side, purpose: Purpose): Promise<SqlClient>
  /** As the superuser of that side; the rows of the last statement. */
  query(side: Side, sql: string): Promise<Record<string, unknown>[]>
}

export interface MigrationPair {
  readonly source: PostgresServer
  readonly target: PostgresServer
  database(name: string, options: DatabaseOptions): Promise<MigratedDatabase>
  stop(): Promise<void>
}

const replicationPassword = "repl's \\ secret"

export async function startPair(options: PairOptions): Promise<MigrationPair> {
  const settings = { ...quickWorkers, ...options.settings }
  const [source, target] = await Promise.all([
    startPostgres({ major: options.source, settings }),
    startPostgres({
      major: options.target,
      settings: { ...settings, ...options.targetSettings },
      tls: options.targetTls ?? false,
    }),
  ])
  const servers = { source, target }
  await Promise.all(sides.map((side) => servers[side].query(rolesSql(servers[side].major, side))))
  const clients: SqlClient[] = []
  return {
    source,
    target,
    database: async (name, made) => {
      await Promise.all(sides.map((side) => makeDatabase(servers[side], name, made.schema)))
      const context = contextOf(name, servers, made)
      return {
        context,
        connect: async (side, purpose) => {
          const client = await connectAs(context, { side, purpose, task: 'test' })
          clients.push(client)
          return client
        },
        query: (side, sql) => servers[side].query(sql, name),
      }
    },
    stop: async () => {
      for (const client of clients) client.destroy()
      await Promise.all([source.stop(), target.stop()])
    },
  }
}

function rolesSql(major: number, side: Side): string {
  const control = side === 'source' ? 'SUPERUSER' : 'CREATEROLE'
  const replication = major < 16 ? 'SUPERUSER' : ''
  const password = replicationPassword.replaceAll("'", "''")
  return `
    CREATE ROLE app LOGIN PASSWORD 'app';
    CREATE ROLE pontoon_control LOGIN ${control} PASSWORD 'control';
    SET standard_conforming_strings = on;
    CREATE ROLE pontoon_repl LOGIN REPLICATION ${replication} PASSWORD '${password}';
    GRANT app, pg_monitor, pg_signal_backend TO pontoon_control;
    ${major < 16 ? '' : 'GRANT pg_create_subscription TO pontoon_repl;'}`
}

async function makeDatabase(server: PostgresServer, name: string, schema: string): Promise<void> {
  await server.query(`CREATE DATABASE "${name}" OWNER app`)
  await server.query(
    `GRANT CREATE ON DATABASE "${name}" TO pontoon_control, pontoon_repl;
     GRANT ALL ON SCHEMA public TO app, pontoon_repl;
     GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint) TO pontoon_control`,
    name,
  )
  await server.query(
    `SET ROLE app;
     ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO pontoon_repl;
     ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO pontoon_repl;
     ${schema}`,
    name,
  )
}

function contextOf(
  name: string,
  servers: Readonly<Record<Side, PostgresServer>>,
  { source, target }: DatabaseOptions,
): MigrationContext {
  const over = { source, target }
  const sideOf = (side: Side): object => ({
    host: servers[side].host,
    port: servers[side].port,
    controlUser: { user: 'pontoon_control', password: 'control' },
    replicationUser: { user: 'pontoon_repl', password: replicationPassword },
    tls: { mode: 'disable' },
    ...over[side],
  })
  const config: ServiceConfig = postgresService.parse({
    protocol: 'postgres',
    listen: '127.0.0.1:1',
    databases: [name],
    source: sideOf('source'),
    target: sideOf('target'),
  })
  const secrets = new Secrets({ clock: systemClock, log: silentLog })
  return { service: name, config, secrets }
}
