/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both ends: `ScramClient` proves
 * Pontoon to a server, `ScramServer` lets a client prove itself to Pontoon.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import saslprep from 'saslprep'
import { PontoonError } from '../../shared/errors.ts'

const derive = promisify(pbkdf2)

/** More rounds than this from a hostile server would keep a core busy (CVE-2026-6664 class). */
const iterationsMax = 1_000_000
const messageBytesMax = 4_096

/** What a server stores instead of the password (`SCRAM-SHA-256$iterations:salt$stored:server`). */
export interface ScramVerifier {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

export function parseScramVerifier(text: string): ScramVerifier | null {
  const match =
    /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/.exec(text)
  if (match === null) return null
  const [, iterations = '', salt = '', storedKey = '', serverKey = ''] = match
  return {
    iterations: Number(iterations),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(storedKey, 'base64'),
    serverKey: Buffer.from(serverKey, 'base64'),
  }
}

export async function makeScramVerifier(password: string): Promise<ScramVerifier> {
  const salt = randomBytes(16)
  const iterations = 4_096
  const salted = await derive(prepare(password), salt, iterations, 32, 'sha256')
  return {
    iterations,
    salt,
    storedKey: sha256(hmac(salted, 'Client Key')),
    serverKey: hmac(salted, 'Server Key'),
  }
}

export class ScramClient {
  readonly #password: string
  /** gs2 header: `n` = no channel binding support, `y` = supported but not offered by the server. */
  readonly #gs2: string
  readonly #nonce = randomBytes(18).toString('base64')
  #serverSignature: Buffer | null = null

  constructor(password: string) {
    this.#password = password
    this.#gs2 = 'n,,'
  }

  first(): string {
    return `${this.#gs2}n=,r=${this.#nonce}`
  }

  /** Answers the server-first-message. Throws SERVER_PROTOCOL when it is malformed. */
  async final(serverFirst: string): Promise<string> {
    const fields = attributes(serverFirst, 'SERVER_PROTOCOL')
    const nonce = fields.get('r') ?? ''
    const salt = Buffer.from(fields.get('s') ?? '', 'base64')
    const iterations = Number(fields.get('i') ?? '0')
    if (!nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length)
      throw malformed('its nonce is wrong')
    if (salt.length === 0) throw malformed('it has no salt')
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > iterationsMax) {
      throw malformed('its iteration count is out of range')
    }
    const salted = await derive(prepare(this.#password), salt, iterations, 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const withoutProof = `c=${Buffer.from(this.#gs2).toString('base64')},r=${nonce}`
    const authMessage = `n=,r=${this.#nonce},${serverFirst},${withoutProof}`
    const signature = hmac(sha256(clientKey), authMessage)
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage)
    return `${withoutProof},p=${xor(clientKey, signature).toString('base64')}`
  }

  /** Checks that the server knows the password too. */
  verify(serverFinal: string): void {
    const fields = attributes(serverFinal, 'SERVER_PROTOCOL')
    const signature = Buffer.from(fields.get('v') ?? '', 'base64')
    const expected = this.#serverSignature
    if (
      expected === null ||
      signature.length !== expected.length ||
      !timingSafeEqual(signature, expected)
    ) {
      throw new PontoonError(
        'SERVER_AUTH_FAILED',
        'the server does not know the password it asked for',
      )
    }
  }
}

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #nonce = randomBytes(18).toString('base64')
  #clientFirstBare = ''
  #serverFirst = ''
  #gs2 = ''

  constructor(verifier: ScramVerifier) {
    this.#verifier = verifier
  }

  /** Takes the client-first-message; returns the server-first-message. */
  first(clientFirst: string): string {
    if (clientFirst.length > messageBytesMax) throw clientError('the SASL message is too long')
    const match = /^([nyp](?:=[^,]*)?),(a=[^,]*)?,(.*)$/s.exec(clientFirst)
    if (match === null) throw clientError('malformed SCRAM message')
    const [, binding = '', authzid = '', bare = ''] = match
    // We do not offer SCRAM-SHA-256-PLUS, so a client that binds a channel is confused or attacked.
    if (binding.startsWith('p')) throw clientError('channel binding was not offered')
    if (authzid !== '')
      throw clientError('client uses authorization identity, but it is not supported')
    const fields = attributes(bare, 'CLIENT_PROTOCOL')
    const clientNonce = fields.get('r') ?? ''
    if (!fields.has('n') || clientNonce === '' || fields.has('m'))
      throw clientError('malformed SCRAM message')
    this.#gs2 = `${binding},,`
    this.#clientFirstBare = bare
    const { salt, iterations } = this.#verifier
    this.#serverFirst = `r=${clientNonce}${this.#nonce},s=${salt.toString('base64')},i=${iterations}`
    return this.#serverFirst
  }

  /** Takes the client-final-message; returns the server-final-message, or null when the proof is wrong. */
  final(clientFinal: string): string | null {
    if (clientFinal.length > messageBytesMax) throw clientError('the SASL message is too long')
    const proofAt = clientFinal.lastIndexOf(',p=')
    if (proofAt < 0) throw clientError('malformed SCRAM message')
    const withoutProof = clientFinal.slice(0, proofAt)
    const fields = attributes(withoutProof, 'CLIENT_PROTOCOL')
    const nonce = /(?:^|,)r=([^,]*)/.exec(this.#serverFirst)?.[1]
    if (fields.get('r') !== nonce) throw clientError('invalid SCRAM response: nonce does not match')
    if (fields.get('c') !== Buffer.from(this.#gs2).toString('base64')) {
      throw clientError('unexpected SCRAM channel-binding attribute in client-final-message')
    }
    const proof = Buffer.from(clientFinal.slice(proofAt + 3), 'base64')
    if (proof.length !== 32) throw clientError('malformed SCRAM message')
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${withoutProof}`
    const clientKey = xor(proof, hmac(this.#verifier.storedKey, authMessage))
    if (!timingSafeEqual(sha256(clientKey), this.#verifier.storedKey)) return null
    return `v=${hmac(this.#verifier.serverKey, authMessage).toString('base64')}`
  }
}

function attributes(
  text: string,
  code: 'SERVER_PROTOCOL' | 'CLIENT_PROTOCOL',
): Map<string, string> {
  const fields = new Map<string, string>()
  if (text.length > messageBytesMax) throw new PontoonError(code, 'the SASL message is too long')
  for (const part of text.split(',')) {
    if (part[1] !== '=' || fields.has(part[0] ?? ''))
      throw new PontoonError(code, 'malformed SCRAM message')
    fields.set(part[0] ?? '', part.slice(2))
  }
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

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] as number)))
}

function malformed(reason: string): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', `malformed SCRAM message from the server: ${reason}`)
}

function clientError(text: string): PontoonError {
  return new PontoonError('CLIENT_PROTOCOL', text)
}
