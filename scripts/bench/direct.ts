/**
 * PostgreSQL 15 itself: the peer that shows what the proxies cost, and the server behind them.
 * Durability is off: a disk that all peers wait for alike would only hide their differences.
 */
import { join } from 'node:path'
import { startPostgres } from '../../test/support/postgres.ts'
import type { PostgresServer, PostgresTls } from '../../test/support/postgres.ts'
import { postgresBinFolder } from '../../test/support/postgres-binaries.ts'
import type { BenchOptions } from './options.ts'
import type { Peer } from './peer.ts'
import { execute } from '../processes.ts'

export const benchUser = 'bench'
export const benchDatabase = 'bench'
/** For the poolers' servers and for ourselves, beside pgbench's own connections. */
const spareConnections = 100
const logTailCharacters = 4_000

export function pgbenchBinary(): string {
  return join(postgresBinFolder(15), 'pgbench')
}

export async function startBenchPostgres(
  options: BenchOptions,
  tls: PostgresTls | false,
): Promise<PostgresServer> {
  const connections = Math.max(...options.clients) + 2 * options.poolSize + spareConnections
  return startPostgres({
    major: 15,
    auth: 'trust',
    tls,
    listenUnix: false,
    settings: {
      max_connections: String(connections),
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      checkpoint_timeout: '1h',
      autovacuum: 'off',
      jit: 'off',
      wal_level: 'replica',
      log_connections: 'off',
      log_statement: 'none',
    },
  })
}

/** Creates the user, the database and pgbench's tables. */
export async function fill(
  postgres: PostgresServer,
  scale: number,
  signal: AbortSignal,
): Promise<void> {
  await postgres.createUser({ name: benchUser, superuser: true })
  await postgres.createDatabase(benchDatabase, benchUser)
  const login = ['-h', '127.0.0.1', '-p', String(postgres.port), '-U', benchUser]
  const args = ['-i', '-q', '-s', String(scale), ...login, benchDatabase]
  await execute(pgbenchBinary(), args, {}, signal)
  await postgres.query('checkpoint')
}

/** What pgbench does itself before a TPC-B run, but not through the peer that is measured. */
export async function tidyBeforeTpcb(postgres: PostgresServer): Promise<void> {
  await postgres.query('truncate pgbench_history', benchDatabase)
  await postgres.query('vacuum pgbench_branches', benchDatabase)
  await postgres.query('vacuum pgbench_tellers', benchDatabase)
}

export async function directPeer(postgres: PostgresServer, options: BenchOptions): Promise<Peer> {
  const rows = await postgres.query<{ version: string }>(
    `select current_setting('server_version') as version`,
  )
  return {
    name: 'direct',
    version: rows[0]?.version ?? 'unknown',
    target: {
      port: postgres.port,
      user: benchUser,
      database: benchDatabase,
      sslmode: options.tlsServer ? 'require' : 'disable',
    },
    proxyPid: undefined,
    log: () => postgres.log().slice(-logTailCharacters),
    // The server is stopped by whoever started it, after the proxies in front of it.
    stop: () => Promise.resolve(),
  }
}
