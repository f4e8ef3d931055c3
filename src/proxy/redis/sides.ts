/** Opens servers on the two sides of a service: endpoints, TLS and credentials in one place. */
import type { RedisServiceConfig, RedisSideConfig, ServerTlsConfig } from '../../config/schema.ts'
import type { FlushQueue } from '../../net/flush-queue.ts'
import { redisLogin, type RedisLoginOptions } from '../../net/redis/login.ts'
import { RedisServer } from '../../net/redis/server.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import { serverTls, type ServerTls } from '../../net/tls.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Side } from '../../shared/side.ts'
import type { LegTlsConfig } from '../leg-tls.ts'
import { redisCredentials } from './credentials.ts'
import type { ServerKind } from './server-group.ts'

/** TLS from the first byte; what else there is to say is of PostgreSQL. */
function redisTls({ tls }: RedisSideConfig): ServerTlsConfig {
  return { ...tls, negotiation: 'postgres', channelBinding: 'disable' }
}

/** As LegTls reads it. */
export function redisLegs({ clientTls, source, target }: RedisServiceConfig): LegTlsConfig {
  return {
    clientTls,
    source: { host: source.host, tls: redisTls(source) },
    target: { host: target.host, tls: redisTls(target) },
  }
}

/** Every login that Pontoon would use on that side before any client has come. */
export function redisLogins(
  config: RedisServiceConfig,
  side: Side,
  secrets: Secrets,
): readonly RedisLoginOptions[] {
  const { host, port, connectTimeoutMs } = config[side]
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
    const credentials = redisCredentials(config, side, name, secrets)
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
}

export class RedisSides {
  readonly #parts: RedisSidesParts

  constructor(parts: RedisSidesParts) {
    this.#parts = parts
  }

  loginOptions({ side, user, database, version }: ServerKind): RedisLoginOptions {
    const config = this.#parts.config()
    const { host, port, connectTimeoutMs } = config[side]
    return {
      endpoint: { host, port },
      tls: this.#parts.tls(side),
      ...redisCredentials(config, side, user, this.#parts.secrets),
      database,
      version,
      timeoutMs: connectTimeoutMs,
    }
  }

  async open(kind: ServerKind, onLost: (server: RedisServer) => void): Promise<RedisServer> {
    const loggedIn = await redisLogin(this.loginOptions(kind))
    const { clock, flushes } = this.#parts
    return new RedisServer(loggedIn, { side: kind.side, clock, flushes, onLost })
  }
}
