/** As whom a client goes out to a side, and what proves the client to us. */
import type { ServiceConfig, UserEntry } from '../../config/schema.ts'
import type { LoginPassword } from '../../net/pg/login.ts'
import type { ServerKind } from './pool-set.ts'
import type { ProvenSecrets } from './proven-secrets.ts'

export interface Credentials {
  readonly user: string
  readonly password: LoginPassword
  readonly database: string
}

/** `proven` null: before any client has come, as `check` asks. */
export function credentialsFor(
  config: ServiceConfig,
  kind: ServerKind,
  proven: ProvenSecrets | null,
): Credentials {
  const side = config[kind.side]
  const entry = userEntry(config, kind.user)
  const own = entry?.[kind.side]
  const password =
    own?.password ?? side.password ?? proven?.of(kind.user) ?? plainPassword(entry?.verifier)
  return {
    user: own?.user ?? side.user ?? kind.user,
    password: password ?? null,
    database: side.database ?? kind.database,
  }
}

/** Only what the configuration itself lists: a client may call itself `constructor`. */
export function userEntry(config: ServiceConfig, user: string): UserEntry | undefined {
  const { users } = config
  return users !== undefined && Object.hasOwn(users, user) ? users[user] : undefined
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
