/**
 * The two databases of the demo: a self-hosted PostgreSQL 15, and a PostgreSQL 18 that takes TLS
 * only, as managed services do. Native logical replication keeps the target in step with the
 * source. Neighbours: schema.ts (their contents), run.ts.
 */
import { randomBytes } from 'node:crypto'
import { createAuthority } from '../../test/support/certificates.ts'
import type { Authority } from '../../test/support/certificates.ts'
import { startPostgres } from '../../test/support/postgres.ts'
import type { PostgresServer } from '../../test/support/postgres.ts'
import { untilTrue } from './poll.ts'
import {
  applicationRole,
  databaseName,
  probeRole,
  publicationName,
  replicationRole,
  seed,
  sourceGrants,
  subscriptionName,
  tables,
  targetGrants,
} from './schema.ts'

export interface Passwords {
  readonly application: string
  readonly probe: string
  readonly replication: string
}

export interface Databases {
  readonly source: PostgresServer
  readonly target: PostgresServer
  /** PEM file of the authority that the target's certificate comes from. */
  readonly caPath: string
  readonly passwords: Passwords
  stop(): Promise<void>
}

const syncDeadlineMs = 60_000

const settings = {
  // Counts every statement by role: that is how the demo knows who answered what.
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'top',
  max_connections: '100',
  synchronous_commit: 'on',
}

export async function startDatabases(signal: AbortSignal): Promise<Databases> {
  const passwords = {
    application: secret(),
    probe: secret(),
    replication: secret(),
  }
  const authority = await createAuthority('Pontoon demo authority')
  const servers: PostgresServer[] = []
  const stop = async () => {
    for (const server of servers.toReversed()) await server.stop()
    authority.remove()
  }
  try {
    const source = await startPostgres({ major: 15, listenUnix: false, settings })
    servers.push(source)
    signal.throwIfAborted()
    const target = await startTarget(authority)
    servers.push(target)
    signal.throwIfAborted()
    await fillSource(source, passwords)
    await fillTarget(target, passwords)
    await subscribe(source, target, passwords)
    const synced = () => isSynced(target)
    await untilTrue('the initial copy to the target', synced, syncDeadlineMs, signal)
    return { source, target, caPath: authority.ca.certPath, passwords, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startTarget(authority: Authority): Promise<PostgresServer> {
  const { cert, key } = await authority.server()
  return startPostgres({ major: 18, listenUnix: false, tls: { cert, key, force: true }, settings })
}

async function fillSource(source: PostgresServer, passwords: Passwords): Promise<void> {
  await createRoles(source, passwords)
  await source.createUser({
    name: replicationRole,
    password: passwords.replication,
    replication: true,
  })
  await source.createDatabase(databaseName)
  await source.query(`CREATE EXTENSION pg_stat_statements; ${tables} ${seed}`, databaseName)
  await source.query(sourceGrants, databaseName)
}

async function fillTarget(target: PostgresServer, passwords: Passwords): Promise<void> {
  await createRoles(target, passwords)
  await target.createDatabase(databaseName)
  await target.query(`CREATE EXTENSION pg_stat_statements; ${tables}`, databaseName)
  await target.query(targetGrants, databaseName)
}

async function createRoles(server: PostgresServer, passwords: Passwords): Promise<void> {
  await server.createUser({ name: applicationRole, password: passwords.application })
  await server.createUser({ name: probeRole, password: passwords.probe })
}

async function subscribe(
  source: PostgresServer,
  target: PostgresServer,
  passwords: Passwords,
): Promise<void> {
  const login = `user=${replicationRole} password=${passwords.replication}`
  const connection = `host=${source.host} port=${source.port} dbname=${databaseName} ${login}`
  await target.query(
    `CREATE SUBSCRIPTION ${subscriptionName} CONNECTION '${connection}'
     PUBLICATION ${publicationName}`,
    databaseName,
  )
}

async function isSynced(target: PostgresServer): Promise<boolean> {
  const rows = await target.query<{ synced: boolean }>(
    `SELECT count(*) > 0 AND bool_and(srsubstate = 'r') AS synced FROM pg_subscription_rel`,
    databaseName,
  )
  return rows[0]?.synced === true
}

/** Waits until the target has applied everything that the source has committed by now. */
export async function untilCaughtUp(databases: Databases, signal: AbortSignal): Promise<void> {
  const { source } = databases
  const rows = await source.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
  const lsn = rows[0]?.lsn
  const caughtUp = async () => {
    const replay = await source.query<{ done: boolean }>(
      `SELECT coalesce(bool_and(replay_lsn >= $1::pg_lsn), false) AS done
       FROM pg_stat_replication WHERE application_name = $2`,
      databaseName,
      [lsn, subscriptionName],
    )
    return replay[0]?.done === true
  }
  await untilTrue('the target to catch up', caughtUp, syncDeadlineMs, signal)
}

/** Letters and digits only, so that it needs no quoting in a URL or connection string. */
function secret(): string {
  return randomBytes(12).toString('hex')
}
