/**
 * Gives every place of the configuration that has a password its source, one per distinct secret,
 * so that all pools and probes of a process share what was loaded. Neighbours: file-secret.ts,
 * refreshed-value.ts, aws.ts.
 */
import type {
  CacheAuthConfig,
  PasswordConfig,
  SecretsManagerConfig,
  SideAuthConfig,
} from '../../config/schema.ts'
import { PontoonError } from '../../shared/errors.ts'
import { awsCalls, regionOfHost, type AwsCalls } from './aws.ts'
import { regionOfCacheHost } from './elasticache-token.ts'
import { FileSecret } from './file-secret.ts'
import { RefreshedValue, type RefreshTools } from './refreshed-value.ts'
import type { SecretSource } from './secret-source.ts'

export interface SecretsParts extends RefreshTools {
  /** For tests; the real ones otherwise. */
  readonly aws?: AwsCalls
}

/** A place that may name a password or a way to get one. */
export interface SecretPlace {
  readonly password?: PasswordConfig | undefined
  readonly auth?: SideAuthConfig | undefined
}

export interface LoginTarget {
  readonly host: string
  readonly port: number
  readonly user: string
}

/** A token is good for 15 minutes, and only at the moment of the login. */
const tokenRefreshMs = 10 * 60_000
const tokenUsableMs = 14 * 60_000

/** Of a service without a list of users, every name is a place of its own. */
const sourcesMax = 10_000

export class Secrets {
  readonly #parts: SecretsParts
  readonly #aws: AwsCalls
  readonly #sources = new Map<string, SecretSource>()

  constructor(parts: SecretsParts) {
    this.#parts = parts
    this.#aws = parts.aws ?? awsCalls
  }

  /** Undefined when the place names nothing. */
  of({ password, auth }: SecretPlace, target: LoginTarget): string | SecretSource | undefined {
    if (auth !== undefined) return this.#token(auth, target)
    if (password === undefined || typeof password === 'string') return password
    if ('file' in password) {
      const { file } = password
      return this.#source(['file', file], () => new FileSecret(file, this.#parts.log))
    }
    return this.#managed(password)
  }

  /** The login token of ElastiCache. */
  ofCache(auth: CacheAuthConfig, { host, user }: LoginTarget): SecretSource {
    const region = auth.region ?? regionOfCacheHost(host)
    const { cache, serverless: isServerless } = auth
    return this.#source(['elasticache-iam', cache, user, region ?? ''], () =>
      this.#refreshed({
        what: `the login token of ${user} for ${cache}`,
        load: () => {
          if (region !== undefined)
            return this.#aws.signCacheToken({ cacheName: cache, user, region, isServerless })
          throw new PontoonError('SECRET_UNAVAILABLE', `no region for ${cache}: set auth.region`)
        },
        refreshAfterMs: tokenRefreshMs,
        usableForMs: tokenUsableMs,
      }),
    )
  }

  #token(auth: SideAuthConfig, target: LoginTarget): SecretSource {
    const host = auth.host ?? target.host
    const { port, user } = target
    const region = auth.region ?? regionOfHost(host)
    const request = { host, port, user, region }
    return this.#source(['rds-iam', host, String(port), user, region ?? ''], () =>
      this.#refreshed({
        what: `the login token of ${user} for ${host}:${port}`,
        load: () => this.#aws.signToken(request),
        refreshAfterMs: tokenRefreshMs,
        usableForMs: tokenUsableMs,
      }),
    )
  }

  #managed(config: SecretsManagerConfig): SecretSource {
    return this.#source(['secretsManager', JSON.stringify(config)], () =>
      this.#refreshed({
        what: `secret ${config.secretsManager}`,
        load: async () => {
          const value = await this.#aws.readSecret(config, 'AWSCURRENT')
          if (value !== null) return value
          throw new PontoonError(
            'SECRET_UNAVAILABLE',
            `secret ${config.secretsManager} holds no text`,
          )
        },
        pending: () => this.#aws.readSecret(config, 'AWSPENDING'),
        refreshAfterMs: config.refreshMs,
        usableForMs: Number.POSITIVE_INFINITY,
      }),
    )
  }

  #refreshed(plan: ConstructorParameters<typeof RefreshedValue>[0]): RefreshedValue {
    return new RefreshedValue(plan, this.#parts)
  }

  #source(identity: readonly string[], make: () => SecretSource): SecretSource {
    const key = JSON.stringify(identity)
    const known = this.#sources.get(key)
    if (known !== undefined) return known
    if (this.#sources.size >= sourcesMax) this.#sources.clear()
    const source = make()
    this.#sources.set(key, source)
    return source
  }
}
