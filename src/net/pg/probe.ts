/**
 * Looks at a side the way a server would use it, step by step, for `pontoon check` and the health
 * of sides: name, TCP, TLS with the certificate's dates, login, version, latency. A step that
 * fails names what to mend; later steps are then left out.
 */
import { lookup } from 'node:dns/promises'
import { TLSSocket } from 'node:tls'
import type { SideConfig } from '../../config/schema.ts'
import { PontoonError, toPontoonError, type ErrorCode } from '../../shared/errors.ts'
import { terminateMessage } from '../../wire/pg/write.ts'
import { endpointName, isUnixHost } from '../address.ts'
import { dial } from '../dial.ts'
import { serverTls } from '../tls.ts'
import type { HeldBackends } from './held-backends.ts'
import { login, ServerLoginError } from './login.ts'
import type { LoggedIn, LoginOptions, LoginPassword } from './login.ts'
import { openQueryConnection } from './query.ts'

export interface ProbeOptions {
  readonly user: string
  readonly password: LoginPassword
  readonly database: string
  /** No database is configured: where there is none of that name, the one of administrators will do. */
  readonly isDatabaseGuessed?: boolean
  /** Is told of its backends. */
  readonly backends?: HeldBackends
  /** The side is fenced against this role, so its refusal is as it should be. */
  readonly isFencedOut?: boolean
}

const noDatabase = '3D000'
const administrators = 'postgres'

/** Without CONNECT, and without LOGIN: both are looked at after the password. */
const refusals = ['42501', '28000']

export interface ProbeStep {
  readonly name: 'dns' | 'tcp' | 'tls' | 'login' | 'query'
  readonly ok: boolean
  /** What was found, or what is wrong, in plain words. */
  readonly text: string
  readonly code: ErrorCode | null
  /** Milliseconds the step took. */
  readonly tookMs: number
}

export interface ProbeReport {
  readonly endpoint: string
  readonly ok: boolean
  readonly steps: readonly ProbeStep[]
  readonly serverVersion: string | null
  /** Connections that the server leaves to ordinary roles. */
  readonly connectionsMax: number | null
  /** Round trip of a SELECT 1, median of five; milliseconds. */
  readonly latencyMs: number | null
  /** When the server's certificate expires, or null without TLS. */
  readonly certificateExpires: Date | null
}

const latencySamples = 5

const connectionsSql = `SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int4
  OPERATOR(pg_catalog.-) pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4`

export async function probeSide(side: SideConfig, options: ProbeOptions): Promise<ProbeReport> {
  return new Probe(side, options).run()
}

class Probe {
  readonly #side: SideConfig
  readonly #options: ProbeOptions
  readonly #steps: ProbeStep[] = []
  #database: string
  #serverVersion: string | null = null
  #connectionsMax: number | null = null
  #latencyMs: number | null = null
  #certificateExpires: Date | null = null

  constructor(side: SideConfig, options: ProbeOptions) {
    this.#side = side
    this.#options = options
    this.#database = options.database
  }

  async run(): Promise<ProbeReport> {
    const ok = await this.#all()
    return {
      endpoint: endpointName(this.#side),
      ok,
      steps: this.#steps,
      serverVersion: this.#serverVersion,
      connectionsMax: this.#connectionsMax,
      latencyMs: this.#latencyMs,
      certificateExpires: this.#certificateExpires,
    }
  }

  async #all(): Promise<boolean> {
    const { host, connectTimeoutMs } = this.#side
    if (!isUnixHost(host) && !(await this.#step('dns', () => resolveStep(host)))) return false
    if (!(await this.#step('tcp', () => reachStep(this.#side, connectTimeoutMs)))) return false
    if (this.#options.isFencedOut === true) return this.#step('login', () => this.#fencedLogin())
    if (!(await this.#step('login', () => this.#login()))) return false
    return this.#step('query', () => this.#query())
  }

  async #step(name: ProbeStep['name'], run: () => Promise<string>): Promise<boolean> {
    const startMs = performance.now()
    const took = (): number => performance.now() - startMs
    try {
      const text = await run()
      this.#steps.push({ name, ok: true, text, code: null, tookMs: took() })
      return true
    } catch (thrown) {
      const { message, code } = toPontoonError(thrown, 'CONNECT_FAILED')
      this.#steps.push({ name, ok: false, text: message, code, tookMs: took() })
      return false
    }
  }

  #loginOptions(): LoginOptions {
    const { user, password, backends } = this.#options
    const parameters = { user, database: this.#database, application_name: 'pontoon check' }
    return {
      endpoint: this.#side,
      tls: serverTls(this.#side.tls, this.#side.host).made,
      parameters: new Map(Object.entries(parameters)),
      password,
      timeoutMs: this.#side.connectTimeoutMs,
      ...(backends === undefined ? {} : { backends }),
    }
  }

  async #login(): Promise<string> {
    const { socket, reported } = await this.#open()
    this.#serverVersion = reported.get('server_version') ?? null
    if (socket instanceof TLSSocket) {
      this.#certificateExpires = new Date(socket.getPeerCertificate().valid_to)
      const text = tlsText(socket, this.#side.tls.mode)
      this.#steps.push({ name: 'tls', ok: true, text, code: null, tookMs: 0 })
    }
    socket.on('error', () => undefined)
    socket.end(terminateMessage)
    return `logged in as ${this.#options.user} to database ${this.#database}`
  }

  async #open(): Promise<LoggedIn> {
    try {
      return await login(this.#loginOptions())
    } catch (error) {
      const isGuess = this.#options.isDatabaseGuessed === true && this.#database !== administrators
      const isMissing = error instanceof ServerLoginError && error.sqlstate === noDatabase
      if (!isGuess || !isMissing) throw error
      this.#database = administrators
      return login(this.#loginOptions())
    }
  }

  async #fencedLogin(): Promise<string> {
    try {
      return `${await this.#login()}, although the side is fenced: see the condition "fence" of pontoon sync`
    } catch (error) {
      if (!(error instanceof ServerLoginError) || !refusals.includes(error.sqlstate)) throw error
      return `fenced out, as it should be: ${error.message}`
    }
  }

  async #query(): Promise<string> {
    const { connectTimeoutMs } = this.#side
    const connection = await openQueryConnection(this.#loginOptions())
    try {
      const latencyMs = await latency((sql) => connection.query(sql, connectTimeoutMs))
      this.#latencyMs = latencyMs
      const [row] = await connection.query(connectionsSql, connectTimeoutMs)
      this.#connectionsMax = Number(row?.[0] ?? 0)
      return `PostgreSQL ${connection.serverVersion}, round trip ${latencyMs.toFixed(1)} ms`
    } finally {
      connection.close()
    }
  }
}

export async function resolveStep(host: string): Promise<string> {
  try {
    const addresses = await lookup(host, { all: true })
    return addresses.map(({ address }) => address).join(', ')
  } catch (error) {
    throw new PontoonError('DNS_FAILED', `the name ${host} does not resolve`, { cause: error })
  }
}

export async function reachStep(
  endpoint: { host: string; port: number },
  timeoutMs: number,
): Promise<string> {
  const { socket } = await dial(endpoint, timeoutMs)
  socket.destroy()
  return `${endpointName(endpoint)} accepts connections`
}

export function tlsText(socket: TLSSocket, mode: string): string {
  const certificate = socket.getPeerCertificate()
  const verified = socket.authorized ? 'verified' : `not verified (tls.mode is ${mode})`
  return `${socket.getProtocol() ?? 'TLS'}, certificate ${verified}, expires ${certificate.valid_to}`
}

async function latency(query: (sql: string) => Promise<unknown>): Promise<number> {
  const samples: number[] = []
  for (let index = 0; index < latencySamples; index += 1) {
    const startMs = performance.now()
    // eslint-disable-next-line no-await-in-loop -- one round trip at a time is what is measured
    await query('SELECT 1')
    samples.push(performance.now() - startMs)
  }
  return samples.toSorted((a, b) => a - b)[Math.floor(latencySamples / 2)] ?? 0
}
