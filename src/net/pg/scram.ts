/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it: verifiers, keys and the arithmetic
 * that both ends share. scram-client.ts proves Pontoon to a server, scram-server.ts lets a client
 * prove itself to Pontoon.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import saslprep from 'saslprep'
import { PontoonError } from '../../shared/errors.ts'

const derive = promisify(pbkdf2)

/** Longest SASL message taken from a peer. */
export const saslMessageBytesMax = 4_096

/** Of SHA-256. */
const keyBytes = 32

/** What a server stores instead of the password (`SCRAM-SHA-256$iterations:salt$stored:server`). */
export interface ScramVerifier {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** What proves a client without the password; good for servers with the same salt and rounds. */
export interface ScramKeys {
  readonly iterations: number
  readonly salt: Buffer
  readonly clientKey: Buffer
  readonly serverKey: Buffer
}

export function parseScramVerifier(text: string): ScramVerifier | null {
  const match =
    /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/.exec(text)
  if (match === null) return null
  const [salt, storedKey, serverKey] = match.slice(2).map(decodeBase64)
  const iterations = Number(match[1])
  if (iterations < 1 || !salt || salt.length === 0) return null
  if (storedKey?.length !== keyBytes || serverKey?.length !== keyBytes) return null
  return { iterations, salt, storedKey, serverKey }
}

/** Null unless it is base64 to the letter: Node passes over what is not. */
export function decodeBase64(text: string): Buffer | null {
  const isWhole = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)
  return isWhole ? Buffer.from(text, 'base64') : null
}

/** A nonce is printable ASCII without a comma (RFC 5802, section 7). */
export function isNonce(text: string): boolean {
  return /^[\x21-\x2b\x2d-\x7e]+$/.test(text)
}

export async function makeScramVerifier(password: string): Promise<ScramVerifier> {
  const keys = await deriveKeys(password, randomBytes(16), 4_096)
  return { ...keys, storedKey: sha256(keys.clientKey) }
}

export async function deriveKeys(
  password: string,
  salt: Buffer,
  iterations: number,
): Promise<ScramKeys> {
  const salted = await derive(prepare(password), salt, iterations, 32, 'sha256')
  return {
    iterations,
    salt,
    clientKey: hmac(salted, 'Client Key'),
    serverKey: hmac(salted, 'Server Key'),
  }
}

/**
 * The attributes of a message, each once. `order` names the first ones; only extensions may follow
 * them, and an `m` among those would be one that we had to know.
 */
export function attributes(
  text: string,
  code: 'SERVER_PROTOCOL' | 'CLIENT_PROTOCOL',
  order: string,
): Map<string, string> {
  const fields = new Map<string, string>()
  if (text.length > saslMessageBytesMax)
    throw new PontoonError(code, 'the SASL message is too long')
  for (const part of text.split(',')) {
    if (part[1] !== '=' || fields.has(part[0] ?? ''))
      throw new PontoonError(code, 'malformed SCRAM message')
    fields.set(part[0] ?? '', part.slice(2))
  }
  if (![...fields.keys()].join('').startsWith(order) || fields.has('m'))
    throw new PontoonError(code, 'malformed SCRAM message')
  return fields
}

/** PostgreSQL uses the password as it is when SASLprep refuses it (scram-common.c, pg_saslprep). */
function prepare(password: string): string {
  try {
    return saslprep(password)
  } catch {
    return password
  }
}

export function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

export function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)))
}
