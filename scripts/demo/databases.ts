/**
 * The two databases of the demo: a self-hosted PostgreSQL 15 with the sample shop, and an empty
 * PostgreSQL 18 that is like a managed service: TLS only, and its administrator is no superuser.
 * Nothing of Pontoon is in them yet. Neighbours: schema.ts (the shop), run.ts.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { createAuthority } from '../../test/support/certificates.ts'
import type { Authority } from '../../test/support/certificates.ts'
import { startPostgres } from '../../test/support/postgres.ts'
import type { PostgresServer } from '../../test/support/postgres.ts'
import { applicationRole, databaseName, seed, tables } from './schema.ts'

export interface Passwords {
  readonly application: string
  readonly administrator: string
  /** Of all roles of Pontoon. */
  readonly pontoon: string
}

export interface Databases {
  readonly source: PostgresServer
  readonly target: PostgresServer
  /** PEM file of the authority that the target's certificate comes from. */
  readonly caPath: string
  /** The same file as the source's server finds it, which dials the target for the way back. */
  readonly caPathAtSource: string
  readonly passwords: Passwords
  /** Connection strings of those who may make roles. */
  readonly administrators: { readonly source: string; readonly target: string }
  stop(): Promise<void>
}

const settings = {
  // Counts every statement: that is how the demo knows which side answered.
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'top',
  wal_level: 'logical',
  max_connections: '100',
  // As a server that must not lose anything: a pause includes commits that reach the disk.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
}

export async function startDatabases(ordersCount: number, signal: AbortSignal): Promise<Databases> {
  const passwords = { application: secret(), administrator: secret(), pontoon: secret() }
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
    await fillSource(source, passwords, ordersCount)
    await prepareTarget(target, passwords)
    const host = `localhost:${target.port}`
    return {
      source,
      target,
      caPath: authority.ca.certPath,
      caPathAtSource: copyAuthority(authority, source),
      passwords,
      administrators: {
        source: source.url(databaseName),
        target: `postgres://administrator:${passwords.administrator}@${host}/${databaseName}`,
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startTarget(authority: Authority): Promise<PostgresServer> {
  const { cert, key } = await authority.server()
  return startPostgres({ major: 18, listenUnix: false, tls: { cert, key, force: true }, settings })
}

/** Our own folder is closed to the user that the server runs as. */
function copyAuthority(authority: Authority, source: PostgresServer): string {
  const path = join(source.folder, 'target-ca.crt')
  copyFileSync(authority.ca.certPath, path)
  chmodSync(path, 0o644)
  return path
}

async function fillSource(
  source: PostgresServer,
  passwords: Passwords,
  ordersCount: number,
): Promise<void> {
  await countStatementsOn(source)
  await source.createUser({ name: applicationRole, password: passwords.application })
  await source.createDatabase(databaseName, applicationRole)
  await source.query(
    `GRANT CREATE ON SCHEMA public TO ${applicationRole};
     SET ROLE ${applicationRole}; ${tables} ${seed(ordersCount)}`,
    databaseName,
  )
}

/** What the administrator of a managed service may do, and an empty database of his. */
async function prepareTarget(target: PostgresServer, passwords: Passwords): Promise<void> {
  await countStatementsOn(target)
  await target.query(
    `CREATE ROLE administrator LOGIN PASSWORD '${passwords.administrator}'
       CREATEROLE CREATEDB REPLICATION BYPASSRLS;
     GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_create_subscription
       TO administrator WITH ADMIN OPTION`,
  )
  await target.createDatabase(databaseName, 'administrator')
}

/**
 * Roles come over without passwords, and only the operator knows them. Not in the shop's own
 * database: the fence has made it read-only.
 */
export async function setApplicationPassword(databases: Databases): Promise<void> {
  const { target, passwords, caPath } = databases
  const client = new Client({
    host: 'localhost',
    port: target.port,
    user: 'administrator',
    password: passwords.administrator,
    database: 'postgres',
    ssl: { ca: readFileSync(caPath, 'utf8') },
  })
  await client.connect()
  try {
    await client.query(`ALTER ROLE ${applicationRole} PASSWORD '${passwords.application}'`)
  } finally {
    await client.end()
  }
}

/** In a database of its own: one in the shop's would be seen as somebody past Pontoon. */
async function countStatementsOn(server: PostgresServer): Promise<void> {
  await server.query('CREATE EXTENSION pg_stat_statements')
}

/** Letters and digits only, so that it needs no quoting in a URL or connection string. */
function secret(): string {
  return randomBytes(12).toString('hex')
}
