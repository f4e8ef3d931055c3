/** A source and a target with a database each, and logical replication from one to the other. */
import { postgresService } from '../../src/config/schema.ts'
import { controlSchemaSql } from '../../src/migration/pg/control-schema.ts'
import { publicationName, subscriptionName } from '../../src/migration/pg/names.ts'
import type { Direction } from '../../src/migration/pg/names.ts'
import type { MigrationContext } from '../../src/migration/pg/side-login.ts'
import { Secrets } from '../../src/net/secrets/secrets.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'
import { sides, type Side } from '../../src/shared/side.ts'
import { quickWorkers, startPostgres, type PostgresMajor, type PostgresServer } from './postgres.ts'

export interface VerifiedDatabase {
  readonly context: MigrationContext
  query(side: Side, sql: string): Promise<Record<string, unknown>[]>
  both(sql: string): Promise<void>
  /** Carries what is written from now on in `public` and the heartbeats. */
  replicate(direction: Direction): Promise<void>
}

export interface VerifyPair {
  readonly servers: Readonly<Record<Side, PostgresServer>>
  database(name: string, schema: string, over?: object): Promise<VerifiedDatabase>
  stop(): Promise<void>
}

export async function startVerifyPair(
  source: PostgresMajor,
  target: PostgresMajor,
): Promise<VerifyPair> {
  const workers = { max_logical_replication_workers: '8', max_worker_processes: '16' }
  const settings = { ...quickWorkers, ...workers }
  const [one, two] = await Promise.all([
    startPostgres({ major: source, settings }),
    startPostgres({ major: target, settings }),
  ])
  const servers = { source: one, target: two }
  return {
    servers,
    database: (name, schema, over = {}) => makeDatabase(servers, name, schema, over),
    stop: async () => {
      await Promise.all([one.stop(), two.stop()])
    },
  }
}

async function makeDatabase(
  servers: VerifyPair['servers'],
  name: string,
  schema: string,
  over: object,
): Promise<VerifiedDatabase> {
  const query: VerifiedDatabase['query'] = (side, sql) => servers[side].query(sql, name)
  const both = async (sql: string): Promise<void> => {
    await Promise.all(sides.map((side) => query(side, sql)))
  }
  await Promise.all(sides.map((side) => servers[side].createDatabase(name)))
  await both(controlSchemaSql())
  if (schema !== '') await both(schema)
  return {
    context: contextOf(name, servers, over),
    query,
    both,
    replicate: async (direction) => {
      const [from, to]: [Side, Side] =
        direction === 'forward' ? ['source', 'target'] : ['target', 'source']
      const found = await query(
        from,
        `SELECT quote_ident(relname) AS name FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relpersistence = 'p'`,
      )
      const tables = [`pontoon.heartbeat_${direction}`, ...found.map((row) => row['name'])]
      const publication = publicationName(name, direction)
      await query(from, `CREATE PUBLICATION ${publication} FOR TABLE ${tables.join(', ')}`)
      const { port, password } = servers[from]
      await query(
        to,
        `CREATE SUBSCRIPTION ${subscriptionName(name, direction)}
         CONNECTION 'host=127.0.0.1 port=${port} user=postgres password=${password} dbname=${name}'
         PUBLICATION ${publication} WITH (copy_data = false)`,
      )
    },
  }
}

function contextOf(name: string, servers: VerifyPair['servers'], over: object): MigrationContext {
  const sideOf = (side: Side): object => ({
    host: servers[side].host,
    port: servers[side].port,
    user: 'postgres',
    password: servers[side].password,
    tls: { mode: 'disable' },
  })
  const config = postgresService.parse({
    protocol: 'postgres',
    listen: '127.0.0.1:1',
    databases: [name],
    source: sideOf('source'),
    target: sideOf('target'),
    ...over,
  })
  return { service: name, config, secrets: new Secrets({ clock: systemClock, log: silentLog }) }
}
