/** Opens servers on the two sides of a service: endpoints, TLS and credentials in one place. */
import type { LookupFunction } from 'node:net'
import type { AuthQueryConfig, ServiceConfig } from '../../config/schema.ts'
import type { FlushQueue } from '../../net/flush-queue.ts'
import { connectSide, type Connected } from '../../net/pg/connect.ts'
import { HeldBackends } from '../../net/pg/held-backends.ts'
import { login, type LoggedIn, type LoginOptions } from '../../net/pg/login.ts'
import { ReportedIntern } from '../../net/pg/reported.ts'
import { ScramKeyCache } from '../../net/pg/scram-keys.ts'
import { PgServer } from '../../net/pg/server.ts'
import { SpareConnections } from '../../net/pg/spare-connections.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import type { ServerTls } from '../../net/tls.ts'
import type { TransportHandler } from '../../net/transport.ts'
import type { Clock } from '../../shared/clock.ts'
import { PontoonError } from '../../shared/errors.ts'
import { sides, type Side } from '../../shared/side.ts'
import { terminateMessage } from '../../wire/pg/write.ts'
import { credentialsFor, type ProvenSecret } from './credentials.ts'
import type { ServerKind } from './pool-set.ts'
import { ProtocolVersion } from './protocol-version.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import { readerOf, RoleOptions } from './reader.ts'

export interface SidesParts {
  config(): ServiceConfig
  primary(): Side
  /** As the certificate files are now. */
  readonly tls: (side: Side) => ServerTls
  readonly clock: Clock
  readonly flushes: FlushQueue
  readonly proven: ProvenSecrets<ProvenSecret>
  readonly secrets: Secrets
  /** For tests; default: the system's. */
  readonly lookup?: LookupFunction | undefined
}

export class Sides {
  /** Those of all connections that were made with the options of this object. */
  readonly backends: Readonly<Record<Side, HeldBackends>> = {
    source: new HeldBackends(),
    target: new HeldBackends(),
  }
  /** For the next servers of a side. */
  readonly #spares: Readonly<Record<Side, SpareConnections>> = {
    source: new SpareConnections(),
    target: new SpareConnections(),
  }
  readonly #parts: SidesParts
  readonly #roleOptions: RoleOptions
  readonly #reportedIntern = new ReportedIntern()
  readonly #scramKeys = new ScramKeyCache()
  readonly #versions = { source: new ProtocolVersion(), target: new ProtocolVersion() }

  constructor(parts: SidesParts) {
    this.#parts = parts
    this.#roleOptions = new RoleOptions(parts.clock)
  }

  /** How to log in as a kind of server; `password` stands in for the configured one. */
  loginOptions(kind: ServerKind, password?: string): LoginOptions {
    const config = this.#parts.config()
    const side = config[kind.side]
    const { proven, secrets } = this.#parts
    const reader = this.#isReader(kind) ? readerOf(config, kind, secrets) : null
    const credentials = reader ?? credentialsFor(config, kind, proven, secrets)
    const parameters = new Map([
      ['user', credentials.user],
      ['database', credentials.database],
      ...kind.parameters,
    ])
    if (kind.access === 'read')
      parameters.set('options', readOnlyOptions(parameters.get('options')))
    return {
      endpoint: { host: side.host, port: side.port, lookup: this.#parts.lookup },
      tls: this.#parts.tls(kind.side),
      parameters,
      password: password ?? credentials.password,
      keys: this.#scramKeys,
      timeoutMs: side.connectTimeoutMs,
      backends: this.backends[kind.side],
    }
  }

  /** Where the application's own roles may be kept out by a fence. */
  #isReader({ access, side }: ServerKind): boolean {
    return access === 'read' && side !== this.#parts.primary()
  }

  /** As `loginOptions`; a readUser acts as the client's role. */
  async #serverOptions(kind: ServerKind): Promise<LoginOptions> {
    const options = this.loginOptions(kind)
    const { secrets, proven } = this.#parts
    const config = this.#parts.config()
    if (!this.#isReader(kind) || readerOf(config, kind, secrets) === null) return options
    const { user } = credentialsFor(config, kind, proven, secrets)
    const asRole = await this.#roleOptions.of(user, options)
    const own = options.parameters.get('options') ?? ''
    return {
      ...options,
      parameters: new Map([...options.parameters, ['options', `${asRole} ${own}`]]),
    }
  }

  /** Whether a side lets its user in with this password; rejects when it does not say. */
  async takesPassword(kind: ServerKind, password: string): Promise<boolean> {
    try {
      const { socket } = await login(this.loginOptions(kind, password))
      socket.on('error', () => undefined)
      socket.end(terminateMessage)
      return true
    } catch (error) {
      if (error instanceof PontoonError && error.code === 'SERVER_AUTH_FAILED') return false
      throw error
    }
  }

  /** How the role of clientAuth.query logs in; nothing that a client says goes along. */
  lookUpOptions(name: Side, { user, password, database }: AuthQueryConfig): LoginOptions {
    const config = this.#parts.config()
    const side = config[name]
    const endpoint = { host: side.host, port: side.port }
    const parameters = {
      user,
      database: database ?? side.database ?? config.databases?.[0] ?? 'postgres',
      application_name: 'pontoon auth_query',
      options: '-c search_path=pg_catalog -c DateStyle=ISO -c TimeZone=UTC',
    }
    return {
      endpoint,
      tls: this.#parts.tls(name),
      parameters: new Map(Object.entries(parameters)),
      password: this.#parts.secrets.of({ password }, { ...endpoint, user }) ?? null,
      timeoutMs: side.connectTimeoutMs,
      backends: this.backends[name],
    }
  }

  /**
   * Connections for so many of the next servers of a side, opened up to their login. Settles when
   * they are there, at the latest after `timeoutMs`; never rejects.
   */
  async prepare(side: Side, count: number, timeoutMs: number): Promise<void> {
    const { host, port } = this.#parts.config()[side]
    const endpoint = { host, port, lookup: this.#parts.lookup }
    const connect = (leftMs: number): Promise<Connected> =>
      connectSide(endpoint, this.#parts.tls(side), leftMs)
    await this.#spares[side].fill(connect, count, timeoutMs)
  }

  /** Closes what was prepared and is not needed. */
  closePrepared(): void {
    for (const side of sides) this.#spares[side].close()
  }

  async open(
    kind: ServerKind,
    idleHandler: (server: PgServer) => TransportHandler,
  ): Promise<PgServer> {
    const options = await this.#serverOptions(kind)
    const { protocolVersion } = this.#parts.config()[kind.side]
    const loggedIn = await this.#versions[kind.side].login(protocolVersion, (minor) =>
      login({ ...options, minor, spares: this.#spares[kind.side] }),
    )
    const { clock, flushes, tls } = this.#parts
    // A cancel request has to reach the same host, wherever its name leads by then.
    const host = loggedIn.socket.remoteAddress ?? options.endpoint.host
    return new PgServer(kind.access === 'read' ? withoutRefusals(loggedIn) : loggedIn, {
      side: kind.side,
      endpoint: { ...options.endpoint, host },
      tls,
      clock,
      flushes,
      reportedIntern: this.#reportedIntern,
      idleHandler,
    })
  }
}

/** A read that turns out to write is refused by the server itself. */
function readOnlyOptions(options: string | undefined): string {
  const readOnly = '-c default_transaction_read_only=on'
  return options === undefined ? readOnly : `${options} ${readOnly}`
}

/** By these a server reports, since 14, that it takes no writes. */
const refusalsOfWrites = new Set(['default_transaction_read_only', 'in_hot_standby'])

/**
 * What a server for reads reports of that is not true of the client's session, whose writes go to
 * the primary: a driver that looks for a host to write to would leave Pontoon. And a primary
 * before 14 would not take it back, because it reports neither.
 */
function withoutRefusals(loggedIn: LoggedIn): LoggedIn {
  const reported = [...loggedIn.reported].filter(([name]) => !refusalsOfWrites.has(name))
  return { ...loggedIn, reported: new Map(reported) }
}
