/** Opens servers on the two sides of a service: endpoints, TLS and credentials in one place. */
import type { LookupFunction } from 'node:net'
import type { RedisServiceConfig, RedisSideConfig, ServerTlsConfig } from '../../config/schema.ts'
import type { FlushQueue } from '../../net/flush-queue.ts'
import type { Endpoint } from '../../net/address.ts'
import { redisLogin, type RedisLoggedIn, type RedisLoginOptions } from '../../net/redis/login.ts'
import { SentinelGuide } from '../../net/redis/sentinel.ts'
import { RedisServer } from '../../net/redis/server.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import { nodeTls, serverTls, type ServerTls } from '../../net/tls.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Side } from '../../shared/side.ts'
import type { LegTlsConfig } from '../leg-tls.ts'
import type { CommandRecord } from './command-book.ts'
import type { Arguments } from '../../routing/redis/command-keys.ts'
import { ClusterSide } from './cluster-side.ts'
import { redisCredentials } from './credentials.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import type { PoolUse, ServerKind } from './server-group.ts'

/** TLS from the first byte; what else there is to say is of PostgreSQL. */
function redisTls({ tls }: RedisSideConfig): ServerTlsConfig {
  return { ...tls, negotiation: 'postgres', channelBinding: 'disable' }
}

const plain: ServerTls = {
  mode: 'disable',
  negotiation: 'postgres',
  channelBinding: 'disable',
  options: {},
}

/** As LegTls reads it. */
export function redisLegs({ clientTls, source, target }: RedisServiceConfig): LegTlsConfig {
  return {
    clientTls,
    source: { host: source.host, tls: redisTls(source) },
    target: { host: target.host, tls: redisTls(target) },
  }
}

/** `host:port`, as the schema has checked. */
function endpointOf(text: string): Endpoint {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
}

/** Every login that Pontoon would use on that side before any client has come. */
export function redisLogins(
  config: RedisServiceConfig,
  side: Side,
  secrets: Secrets,
): readonly RedisLoginOptions[] {
  const { host, port, connectTimeoutMs, password } = config[side]
  // Only clients can prove who they are then; there is nothing to try without them.
  if (config.clientAuth.mode === 'passthrough' && password === undefined) return []
  const users = Object.keys(config.users ?? {})
  const common = {
    endpoint: { host, port },
    tls: serverTls(redisTls(config[side]), host).made,
    database: 0,
    version: null,
    timeoutMs: connectTimeoutMs,
  }
  const logins = new Map<string, RedisLoginOptions>()
  for (const name of users.length === 0 ? [''] : users) {
    const credentials = redisCredentials(config, side, name, { secrets })
    logins.set(credentials.user ?? '', { ...common, ...credentials })
  }
  return [...logins.values()]
}

export interface RedisSidesParts {
  config(): RedisServiceConfig
  /** As the certificate files are now. */
  readonly tls: (side: Side) => ServerTls
  readonly clock: Clock
  readonly flushes: FlushQueue
  readonly secrets: Secrets
  readonly proven: ProvenSecrets<string>
  recordOf(request: Arguments): CommandRecord
  /** Default: that of the system. */
  readonly lookup?: LookupFunction | undefined
}

export class RedisSides {
  readonly #parts: RedisSidesParts
  readonly #clusters: Record<Side, ClusterSide | null> = { source: null, target: null }
  readonly #guides: Record<Side, SentinelGuide | null> = { source: null, target: null }

  constructor(parts: RedisSidesParts) {
    this.#parts = parts
  }

  loginOptions({ side, user, database, version }: ServerKind): RedisLoginOptions {
    const config = this.#parts.config()
    const { host, port, connectTimeoutMs } = config[side]
    return {
      endpoint: { host, port, lookup: this.#parts.lookup },
      tls: this.#parts.tls(side),
      ...redisCredentials(config, side, user, this.#parts),
      database,
      version,
      timeoutMs: connectTimeoutMs,
    }
  }

  /** Asks a side whether it takes the password; rejects with what it says when it does not. */
  async prove(side: Side, user: string, password: string): Promise<void> {
    const options = await this.locate({ side, user, database: 0, version: null })
    const { socket } = await redisLogin({ ...options, password })
    socket.destroy()
    this.#parts.proven.remember(user, password)
  }

  /** Where it is now: a Sentinel is asked. */
  async locate(kind: ServerKind): Promise<RedisLoginOptions> {
    const options = this.loginOptions(kind)
    const guide = this.#guideOf(kind.side)
    if (guide === null) return options
    return { ...options, endpoint: await guide.primary(), mustBePrimary: true }
  }

  async open(
    kind: ServerKind,
    use: PoolUse,
    onLost: (server: RedisServer) => void,
  ): Promise<RedisServer> {
    const loggedIn = await this.#login(kind, use === 'own')
    const { clock, flushes } = this.#parts
    return new RedisServer(loggedIn, { side: kind.side, clock, flushes, onLost })
  }

  async #login(kind: ServerKind, mayBlock: boolean): Promise<RedisLoggedIn> {
    const cluster = this.#clusterOf(kind.side)
    if (cluster === null) return redisLogin({ ...(await this.locate(kind)), mayBlock })
    const { host, tls } = this.#parts.config()[kind.side]
    const names = { host, servername: tls.servername }
    return cluster.open((endpoint) => {
      const options = this.loginOptions(kind)
      return { ...options, endpoint, tls: nodeTls(options.tls, names, endpoint.host), mayBlock }
    })
  }

  #clusterOf(side: Side): ClusterSide | null {
    const config = this.#parts.config()
    const { cluster, clusterMset, host, port } = config[side]
    if (!cluster) return null
    const { clock } = this.#parts
    this.#clusters[side] ??= new ClusterSide({
      seed: { host, port },
      clock,
      splitMset: clusterMset === 'split',
      retryMs: config.pool.holdMs,
      recordOf: (request) => this.#parts.recordOf(request),
    })
    return this.#clusters[side]
  }

  #guideOf(side: Side): SentinelGuide | null {
    const config = this.#parts.config()[side]
    const { sentinels } = config
    if (sentinels === undefined) return null
    this.#guides[side] ??= new SentinelGuide({
      set: sentinels.set,
      nodes: sentinels.nodes.map(endpointOf),
      login: (endpoint) => ({
        endpoint,
        tls: sentinels.tls ? this.#parts.tls(side) : plain,
        user: sentinels.user ?? null,
        password:
          this.#parts.secrets.of(
            { password: sentinels.password },
            { ...endpoint, user: sentinels.user ?? '' },
          ) ?? null,
        database: 0,
        version: null,
        timeoutMs: config.connectTimeoutMs,
      }),
    })
    return this.#guides[side]
  }
}
