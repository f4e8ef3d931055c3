/** Who a client may be, what proves it, and as whom it goes out to a side. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { RedisServiceConfig, RedisUserEntry } from '../../config/schema.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import type { SecretSource } from '../../net/secrets/secret-source.ts'
import type { Side } from '../../shared/side.ts'

export interface RedisCredentials {
  /** Null: AUTH without a name. */
  readonly user: string | null
  /** Null: no AUTH. */
  readonly password: string | SecretSource | null
}

/** The name that AUTH with a password alone stands for. */
export const defaultUser = 'default'

/** Where the passwords are. */
export interface KnownSecrets {
  readonly secrets: Secrets
  /** What clients have proved; undefined where it is about Pontoon's own logins. */
  readonly proven?: ProvenSecrets<string>
}

/** `user` '' is a client that was not asked who it is, or has not said so. */
export function redisCredentials(
  config: RedisServiceConfig,
  side: Side,
  user: string,
  { secrets, proven }: KnownSecrets,
): RedisCredentials {
  if (config.clientAuth.mode === 'passthrough' && proven !== undefined)
    return { user: loginName(user || defaultUser), password: proven.of(user) ?? null }
  const place = config[side]
  const entry = redisUser(config, user)
  const own = entry?.[side]
  const name = own?.user ?? place.user ?? (user === '' ? defaultUser : user)
  const login = { host: place.host, port: place.port, user: name }
  const configured =
    secrets.of({ password: own?.password }, login) ??
    secrets.of({ password: place.password }, login) ??
    (place.auth === undefined ? undefined : secrets.ofCache(place.auth, login))
  return {
    user: loginName(name),
    password: configured ?? plainPassword(entry?.verifier) ?? null,
  }
}

function loginName(user: string): string | null {
  return user === defaultUser ? null : user
}

/** Only what the configuration itself lists: a client may call itself `constructor`. */
export function redisUser(config: RedisServiceConfig, user: string): RedisUserEntry | undefined {
  const { users } = config
  return users !== undefined && Object.hasOwn(users, user) ? users[user] : undefined
}

export function isRightPassword(
  config: RedisServiceConfig,
  user: string,
  password: Buffer,
): boolean {
  const verifier = redisUser(config, user)?.verifier
  const given = createHash('sha256').update(password).digest()
  const expected =
    verifier === undefined
      ? noDigest
      : isDigest(verifier)
        ? Buffer.from(verifier.slice(1), 'hex')
        : createHash('sha256').update(verifier).digest()
  // Compared also for an unknown user, so that its absence takes as long.
  return timingSafeEqual(given, expected) && verifier !== undefined
}

const noDigest = Buffer.alloc(32)

/** As ACL files write it: `#` and the SHA-256 in hexadecimal. */
function isDigest(verifier: string): boolean {
  return /^#[0-9a-f]{64}$/.test(verifier)
}

function plainPassword(verifier: string | undefined): string | undefined {
  return verifier === undefined || isDigest(verifier) ? undefined : verifier
}
