/** Tells the three forms of a client's verifier apart, as PostgreSQL's pg_authid does. */

export type VerifierKind = 'plain' | 'md5' | 'scram' | 'damaged'

const scramPrefix = 'SCRAM-SHA-256$'
/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (PostgreSQL, pg_authid). */
const scramVerifier =
  /^SCRAM-SHA-256\$[1-9]\d{0,8}:[A-Za-z0-9+/]+={0,2}\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/

export function verifierKind(verifier: string): VerifierKind {
  if (verifier.startsWith(scramPrefix)) return scramVerifier.test(verifier) ? 'scram' : 'damaged'
  return /^md5[0-9a-f]{32}$/.test(verifier) ? 'md5' : 'plain'
}
