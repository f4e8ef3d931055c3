/** As whom a client goes out to a side, and what proves the client to us. */
import type { ServiceConfig, UserEntry } from '../../config/schema.ts'
import type { LoginPassword } from '../../net/pg/login.ts'
import type { ScramKeys } from '../../net/pg/scram.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import type { ServerKind } from './pool-set.ts'

/** Of a client: its password, an md5 hash or SCRAM keys. */
export type ProvenSecret = string | ScramKeys

export interface Credentials {
  readonly user: string
  readonly password: LoginPassword
  readonly database: string
}

/** `proven` null: before any client has come, as `check` asks. */
export function credentialsFor(
  config: ServiceConfig,
  kind: ServerKind,
  proven: ProvenSecrets<ProvenSecret> | null,
  secrets: Secrets,
): Credentials {
  const side = config[kind.side]
  const entry = userEntry(config, kind.user)
  const own = entry?.[kind.side]
  const user = own?.user ?? side.user ?? kind.user
  const login = { host: side.host, port: side.port, user }
  const configured = secrets.of(own ?? {}, login) ?? secrets.of(side, login)
  const password = configured ?? proven?.of(kind.user) ?? plainPassword(entry?.verifier)
  return {
    user,
    password: password ?? null,
    database: side.database ?? kind.database,
  }
}

/** Only what the configuration itself lists: a client may call itself `constructor`. */
export function userEntry(config: ServiceConfig, user: string): UserEntry | undefined {
  const { users } = config
  return users !== undefined && Object.hasOwn(users, user) ? users[user] : undefined
}

/** Without a password in the configuration, only the client's own login tells how to get in. */
export function isKnownByHash(config: ServiceConfig, user: string): boolean {
  const verifier = userEntry(config, user)?.verifier
  const isHash = verifier !== undefined && plainPassword(verifier) === undefined
  return isHash || config.clientAuth.mode === 'passthrough'
}

/** A verifier that is the password itself can log in; a hash cannot. */
function plainPassword(verifier: string | undefined): string | undefined {
  if (verifier === undefined) return undefined
  return isMd5Verifier(verifier) || isScramVerifier(verifier) ? undefined : verifier
}

export function isMd5Verifier(verifier: string): boolean {
  return /^md5[0-9a-f]{32}$/.test(verifier)
}

export function isScramVerifier(verifier: string): boolean {
  return verifier.startsWith('SCRAM-SHA-256$')
}
