/**
 * The client end of SCRAM: proves Pontoon to a server by a password, or by the keys that a client
 * has proved to Pontoon (scram-server.ts). Neighbours: scram.ts, channel-binding.ts.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { PontoonError } from '../../shared/errors.ts'
import type { ServerMechanism } from './channel-binding.ts'
import { attributes, decodeBase64, hmac, isNonce, sha256, xor, type ScramKeys } from './scram.ts'
import { ScramKeyCache } from './scram-keys.ts'

/** More rounds than this from a hostile server would keep a core busy (CVE-2026-6664 class). */
const iterationsMax = 1_000_000

export class ScramClient {
  readonly #proof: string | ScramKeys
  readonly #derived: ScramKeyCache
  readonly #gs2: string
  readonly #channel: string
  readonly #nonce = randomBytes(18).toString('base64')
  #serverSignature: Buffer | null = null

  constructor(
    proof: string | ScramKeys,
    { gs2, data }: Omit<ServerMechanism, 'mechanism'>,
    keys = new ScramKeyCache(),
  ) {
    this.#proof = proof
    this.#derived = keys
    this.#gs2 = `${gs2},,`
    this.#channel = Buffer.concat([Buffer.from(this.#gs2), data]).toString('base64')
  }

  first(): string {
    return `${this.#gs2}n=,r=${this.#nonce}`
  }

  /** Answers the server-first-message. Throws SERVER_PROTOCOL when it is malformed. */
  async final(serverFirst: string): Promise<string> {
    const fields = attributes(serverFirst, 'SERVER_PROTOCOL', 'rsi')
    const nonce = fields.get('r') ?? ''
    const salt = decodeBase64(fields.get('s') ?? '')
    const count = fields.get('i') ?? ''
    const iterations = /^\d{1,10}$/.test(count) ? Number(count) : 0
    const isOurs = nonce.startsWith(this.#nonce) && nonce.length > this.#nonce.length
    if (!isOurs || !isNonce(nonce)) throw malformed('its nonce is wrong')
    if (salt === null || salt.length === 0) throw malformed('it has no salt')
    if (iterations < 1 || iterations > iterationsMax) {
      throw malformed('its iteration count is out of range')
    }
    const { clientKey, serverKey } = await this.#keys(salt, iterations)
    const withoutProof = `c=${this.#channel},r=${nonce}`
    const authMessage = `n=,r=${this.#nonce},${serverFirst},${withoutProof}`
    const signature = hmac(sha256(clientKey), authMessage)
    this.#serverSignature = hmac(serverKey, authMessage)
    return `${withoutProof},p=${xor(clientKey, signature).toString('base64')}`
  }

  #keys(salt: Buffer, iterations: number): Promise<ScramKeys> | ScramKeys {
    const proof = this.#proof
    if (typeof proof === 'string') return this.#derived.derive(proof, salt, iterations)
    if (proof.iterations !== iterations || !proof.salt.equals(salt)) {
      throw new PontoonError(
        'SERVER_AUTH_FAILED',
        'the SCRAM verifier of this user differs from the one that the server has (other salt or ' +
          'iterations): copy it anew from pg_authid, or configure a password',
      )
    }
    return proof
  }

  /** Checks that the server knows the password too. */
  verify(serverFinal: string): void {
    const fields = attributes(serverFinal, 'SERVER_PROTOCOL', '')
    const signature = decodeBase64(fields.get('v') ?? '')
    const expected = this.#serverSignature
    if (
      expected === null ||
      signature?.length !== expected.length ||
      !timingSafeEqual(signature, expected)
    ) {
      throw new PontoonError(
        'SERVER_AUTH_FAILED',
        'the server does not know the password it asked for',
      )
    }
  }
}

function malformed(reason: string): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', `malformed SCRAM message from the server: ${reason}`)
}
