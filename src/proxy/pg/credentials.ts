/** As whom a client goes out to a side, and what proves the client to us. */
import type { ServiceConfig } from '../../config/schema.ts'
import type { ServerKind } from './pool-set.ts'

export interface Credentials {
  readonly user: string
  readonly password: string | null
  readonly database: string
}

/** Passwords that clients proved against the primary side (clientAuth mode `passthrough`). */
export type ProvenPasswords = Map<string, string>

export function credentialsFor(
  config: ServiceConfig,
  kind: ServerKind,
  proven: ProvenPasswords,
): Credentials {
  const side = config[kind.side]
  const entry = config.users?.[kind.user]
  const own = entry?.[kind.side]
  const password =
    own?.password ?? side.password ?? proven.get(kind.user) ?? plainPassword(entry?.verifier)
  return {
    user: own?.user ?? side.user ?? kind.user,
    password: password ?? null,
    database: side.database ?? kind.database,
  }
}

/** A verifier that is the password itself can log in; a hash cannot. */
function plainPassword(verifier: string | undefined): string | undefined {
  if (verifier === undefined) return undefined
  return isMd5Verifier(verifier) || verifier.startsWith('SCRAM-SHA-256$') ? undefined : verifier
}

export function isMd5Verifier(verifier: string): boolean {
  return /^md5[0-9a-f]{32}$/.test(verifier)
}
