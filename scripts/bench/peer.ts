/**
 * A peer is what pgbench talks to: PostgreSQL itself or a proxy in front of it. They are
 * started by postgres (test/support), pgbouncer.ts, relay.ts and pontoon.ts.
 */
import { Client } from 'pg'
import type { PgbenchTarget } from './pgbench.ts'
import type { PeerName } from './options.ts'

export interface Peer {
  readonly name: PeerName
  readonly version: string
  readonly target: PgbenchTarget
  /** The process whose CPU time counts as the proxy's; PostgreSQL forks, so it has none. */
  readonly proxyPid: number | undefined
  /** What it has logged so far, for the message of a failed run. */
  log(): string
  stop(): Promise<void>
}

/** What a proxy must know to serve the same PostgreSQL under the same conditions. */
export interface ProxySettings {
  readonly postgresPort: number
  readonly user: string
  readonly database: string
  readonly poolSize: number
  readonly clientsMax: number
  readonly tlsServer: boolean
  readonly reads: number
}

/** Clients talk to a proxy in the clear, whatever it talks to its servers. */
export function proxyTarget({ user, database }: ProxySettings, port: number): PgbenchTarget {
  return { port, user, database, sslmode: 'disable' }
}

const startDeadlineMs = 20_000
const retryMs = 50

/** Resolves when a query runs through; throws what went wrong last when that takes too long. */
export async function untilAnswering(
  target: PgbenchTarget,
  isRunning: () => boolean,
): Promise<void> {
  const deadline = performance.now() + startDeadlineMs
  for (;;) {
    try {
      return await selectOne(target)
    } catch (error) {
      if (!isRunning()) throw new Error('the process ended', { cause: error })
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

async function selectOne(target: PgbenchTarget): Promise<void> {
  const client = new Client({
    host: '127.0.0.1',
    port: target.port,
    user: target.user,
    database: target.database,
    ssl: target.sslmode === 'require' ? { rejectUnauthorized: false } : false,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  })
  // A peer that dies while we wait is reported through the query, not as an uncaught event.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
  } finally {
    await client.end().catch(() => undefined)
  }
}
