/**
 * Real PostgreSQL servers for tests, the demo and the benchmarks: each in a temporary folder, on a
 * free port, as an unprivileged user, gone when this process is gone. Neighbours:
 * postgres-binaries.ts (which programs), postgres-cluster.ts (its files), child-processes.ts.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, escapeIdentifier, escapeLiteral } from 'pg'
import type { QueryResult } from 'pg'
import { processTree, signalAll, startChild, waitUntilGone } from './child-processes.ts'
import type { Child } from './child-processes.ts'
import { postgresBinFolder } from './postgres-binaries.ts'
import type { PostgresMajor } from './postgres-binaries.ts'
import { createCluster, removeCluster, sweepAbandonedClusters } from './postgres-cluster.ts'
import type { Cluster, PostgresAuth, PostgresTls } from './postgres-cluster.ts'
import { freePort } from './free-port.ts'
import { unprivilegedUser } from './system-user.ts'

export type { PostgresAuth, PostgresMajor, PostgresTls }

export interface PostgresOptions {
  readonly major: PostgresMajor
  /** How everyone logs in, the superuser too. Default scram-sha-256. */
  readonly auth?: PostgresAuth
  readonly tls?: false | PostgresTls
  /** Over the defaults of postgres-cluster.ts; becomes postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** The superuser's. Default 'postgres'. */
  readonly password?: string
  /** Also listen on a Unix socket in `socketDir`. Default true. */
  readonly listenUnix?: boolean
  /** Default: a free one. */
  readonly port?: number
}

export interface NewUser {
  readonly name: string
  readonly password?: string
  readonly superuser?: boolean
  readonly replication?: boolean
  readonly createdb?: boolean
}

export type Row = Record<string, unknown>
export type StopMode = 'fast' | 'immediate'

/**
 * Settings under which a worker of a subscription begins at once, and again at once after an error:
 * by default these are 5 s apart, before 16 over all subscriptions of the server.
 */
export const quickWorkers = { wal_retrieve_retry_interval: '200ms' } as const

const startDeadlineMs = 60_000
const stopDeadlineMs = 20_000
const startAttemptsMax = 5
const superuser = 'postgres'

export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const user = unprivilegedUser()
  const binFolder = postgresBinFolder(options.major)
  sweepAbandonedClusters()
  const password = options.password ?? 'postgres'
  const cluster = await createCluster({
    major: options.major,
    binFolder,
    user,
    superuser,
    password,
    auth: options.auth ?? 'scram-sha-256',
    tls: options.tls ?? false,
    settings: options.settings ?? {},
    listenUnix: options.listenUnix ?? true,
  })
  const server = new PostgresServer(options.major, password, cluster)
  try {
    await server.startFirst(options.port)
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

export class PostgresServer {
  readonly major: PostgresMajor
  readonly host = '127.0.0.1'
  readonly superuser = superuser
  readonly password: string
  /** Holds everything of this server; removed by stop(). */
  readonly folder: string
  /** A host for clients that connect by Unix socket: `socketDir/.s.PGSQL.PORT`. */
  readonly socketDir: string
  readonly #cluster: Cluster
  #port = 0
  #child: Child | undefined
  #paused: readonly number[] = []

  /** Made by startPostgres only. */
  constructor(major: PostgresMajor, password: string, cluster: Cluster) {
    this.major = major
    this.password = password
    this.folder = cluster.folder
    this.socketDir = cluster.folder
    this.#cluster = cluster
  }

  get port(): number {
    return this.#port
  }

  /** The postmaster's, or undefined while the server is down. */
  get pid(): number | undefined {
    return this.#child?.isRunning() === true ? this.#child.pid : undefined
  }

  /** What the server has logged so far. */
  log(): string {
    return readFileSync(this.#cluster.logFile, 'utf8')
  }

  url(database = 'postgres', user: string = superuser, password = this.password): string {
    const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
    return `postgres://${login}@${this.host}:${this.#port}/${encodeURIComponent(database)}`
  }

  /** A port can be taken between finding and binding it, so a found one is tried again. */
  async startFirst(port: number | undefined): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.#port = port ?? (await freePort())
      try {
        return await this.#start()
      } catch (error) {
        const taken = this.log().includes('could not bind')
        if (port !== undefined || !taken || attempt === startAttemptsMax) throw error
      }
    }
  }

  /** Ends the server and removes its folder. May be called in any state, also twice. */
  async stop(): Promise<void> {
    await this.shutdown('immediate')
    removeCluster(this.#cluster)
  }

  /** Ends the server as an operator would and keeps its data: restart() brings it back. */
  async shutdown(mode: StopMode = 'fast'): Promise<void> {
    const pid = this.pid
    if (pid === undefined) return
    this.resume()
    const tree = processTree(pid)
    signalAll([pid], mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    try {
      await waitUntilGone(tree, stopDeadlineMs)
    } catch {
      signalAll(tree, 'SIGKILL')
      await waitUntilGone(tree, stopDeadlineMs)
    }
    await this.#child?.exited
  }

  /** A crash: the postmaster and every backend die at once. */
  async kill9(): Promise<void> {
    const pid = this.pid
    if (pid === undefined) return
    const tree = processTree(pid)
    signalAll(tree, 'SIGKILL')
    await waitUntilGone(tree, stopDeadlineMs)
    await this.#child?.exited
    this.#paused = []
  }

  /** Fast shutdown if it runs, then start on the same port with the same data. */
  async restart(): Promise<void> {
    await this.shutdown('fast')
    await this.#start()
  }

  /** A hang: connections stay open and new ones are still accepted by the kernel, no answer comes. */
  pause(): void {
    const pid = this.pid
    if (pid === undefined) throw new Error('the server is not running')
    // The postmaster first, so that it cannot fork a backend that we do not see.
    signalAll([pid], 'SIGSTOP')
    this.#paused = processTree(pid)
    signalAll(this.#paused, 'SIGSTOP')
  }

  resume(): void {
    signalAll(this.#paused, 'SIGCONT')
    this.#paused = []
  }

  /** Runs as superuser on a connection of its own. Several statements: the rows of the last one. */
  async query<T extends Row = Row>(
    sql: string,
    database = 'postgres',
    values?: readonly unknown[],
  ): Promise<T[]> {
    const client = new Client({
      // With auth 'cert' the superuser has a password on the Unix socket only.
      host: this.#cluster.certOnly ? this.socketDir : this.host,
      port: this.#port,
      user: superuser,
      password: this.password,
      database,
      connectionTimeoutMillis: 10_000,
      ssl: this.#cluster.tls && !this.#cluster.certOnly ? { rejectUnauthorized: false } : false,
    })
    await client.connect()
    try {
      // Of several statements pg answers with an array, which its types do not tell.
      const result: QueryResult<T> | QueryResult<T>[] = await client.query<T>(
        sql,
        values === undefined ? undefined : [...values],
      )
      return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? []
    } finally {
      await client.end()
    }
  }

  async createDatabase(name: string, owner: string = superuser): Promise<void> {
    await this.query(`CREATE DATABASE ${escapeIdentifier(name)} OWNER ${escapeIdentifier(owner)}`)
  }

  /** The password is stored as the server's auth method needs it (md5 or SCRAM). */
  async createUser(user: NewUser): Promise<void> {
    const words = ['LOGIN']
    if (user.password !== undefined) words.push(`PASSWORD ${escapeLiteral(user.password)}`)
    if (user.superuser === true) words.push('SUPERUSER')
    if (user.replication === true) words.push('REPLICATION')
    if (user.createdb === true) words.push('CREATEDB')
    await this.query(`CREATE ROLE ${escapeIdentifier(user.name)} ${words.join(' ')}`)
  }

  async #start(): Promise<void> {
    const { binFolder, dataFolder, logFile, user } = this.#cluster
    const log = openSync(logFile, 'a')
    this.#child = await startChild(
      join(binFolder, 'postgres'),
      ['-D', dataFolder, '-p', String(this.#port)],
      {
        user,
        cwd: this.folder,
        // libpq looks for certificates in the home folder, and ours is not the user's.
        env: { ...process.env, HOME: this.folder, LC_ALL: 'C', TZ: 'UTC' },
        stdio: ['ignore', log, log],
        exitSignal: 'SIGQUIT',
      },
      () => removeCluster(this.#cluster),
    )
    closeSync(log)
    await this.#untilReady(this.#child)
  }

  /** What pg_ctl waits for: the status line of postmaster.pid, written by this very process. */
  async #untilReady(child: Child): Promise<void> {
    const deadline = performance.now() + startDeadlineMs
    while (performance.now() < deadline) {
      const lines = postmasterFile(this.#cluster.dataFolder)
      if (lines[0] === String(child.pid) && lines[7]?.trim() === 'ready') return
      if (!child.isRunning()) break
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await this.kill9()
    throw new Error(`PostgreSQL ${this.major} did not start:\n${this.log().slice(-4_000)}`)
  }
}

function postmasterFile(dataFolder: string): string[] {
  try {
    return readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return []
  }
}
