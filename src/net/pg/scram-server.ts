/**
 * The server end of SCRAM: lets a client prove itself by a verifier, with channel binding where
 * the client came over TLS. Neighbours: scram.ts, channel-binding.ts.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { PontoonError } from '../../shared/errors.ts'
import { scramMechanism, scramPlusMechanism } from './channel-binding.ts'
import {
  attributes,
  decodeBase64,
  hmac,
  isNonce,
  saslMessageBytesMax,
  sha256,
  xor,
  type ScramKeys,
  type ScramVerifier,
} from './scram.ts'

export interface ScramProof {
  /** The server-final-message. */
  readonly message: string
  /** Enough to log in elsewhere as this client. */
  readonly keys: ScramKeys
}

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #binding: Buffer | null
  readonly #nonce = randomBytes(18).toString('base64')
  #clientFirstBare = ''
  #serverFirst = ''
  /** What the client-final-message must repeat in `c`. */
  #channel = ''

  /** `binding` is what the client must have seen of our certificate; null: nothing to bind to. */
  constructor(verifier: ScramVerifier, binding: Buffer | null) {
    this.#verifier = verifier
    this.#binding = binding
  }

  /** What to offer, the preferred one first. */
  get mechanisms(): readonly string[] {
    return this.#binding === null ? [scramMechanism] : [scramPlusMechanism, scramMechanism]
  }

  /** Takes the client-first-message; returns the server-first-message. */
  first(mechanism: string, clientFirst: string): string {
    if (!this.mechanisms.includes(mechanism))
      throw clientError('client selected an invalid SASL authentication mechanism')
    if (clientFirst.length > saslMessageBytesMax) throw clientError('the SASL message is too long')
    const match = /^([nyp](?:=[^,]*)?),(a=[^,]*)?,(.*)$/s.exec(clientFirst)
    if (match === null) throw clientError('malformed SCRAM message')
    const [, gs2 = '', authzid = '', bare = ''] = match
    const data = this.#bindingOf(mechanism, gs2)
    if (authzid !== '')
      throw clientError('client uses authorization identity, but it is not supported')
    const clientNonce = attributes(bare, 'CLIENT_PROTOCOL', 'nr').get('r') ?? ''
    if (!isNonce(clientNonce)) throw clientError('malformed SCRAM message')
    this.#channel = Buffer.concat([Buffer.from(`${gs2},,`), data]).toString('base64')
    this.#clientFirstBare = bare
    const { salt, iterations } = this.#verifier
    this.#serverFirst = `r=${clientNonce}${this.#nonce},s=${salt.toString('base64')},i=${iterations}`
    return this.#serverFirst
  }

  /** As read_client_first_message of auth-scram.c; the words are the server's own. */
  #bindingOf(mechanism: string, gs2: string): Buffer {
    const isPlus = mechanism === scramPlusMechanism
    if (gs2 === 'n' || gs2 === 'y') {
      if (isPlus)
        throw clientError('client selected SCRAM-SHA-256-PLUS, but did not bind the channel')
      if (gs2 === 'y' && this.#binding !== null) {
        throw new PontoonError(
          'CLIENT_AUTH_FAILED',
          'the client supports SCRAM channel binding but thinks the server does not, ' +
            'although it was offered: someone may be in between',
        )
      }
      return nothing
    }
    if (!isPlus) throw clientError('client binds the channel without SCRAM-SHA-256-PLUS')
    if (gs2 !== 'p=tls-server-end-point' || this.#binding === null)
      throw clientError('unsupported SCRAM channel-binding type')
    return this.#binding
  }

  /** Takes the client-final-message; null when the proof is wrong. */
  final(clientFinal: string): ScramProof | null {
    if (clientFinal.length > saslMessageBytesMax) throw clientError('the SASL message is too long')
    const proofAt = clientFinal.lastIndexOf(',p=')
    if (proofAt < 0) throw clientError('malformed SCRAM message')
    const withoutProof = clientFinal.slice(0, proofAt)
    const fields = attributes(withoutProof, 'CLIENT_PROTOCOL', 'cr')
    const nonce = /(?:^|,)r=([^,]*)/.exec(this.#serverFirst)?.[1]
    if (fields.get('r') !== nonce) throw clientError('invalid SCRAM response: nonce does not match')
    if (fields.get('c') !== this.#channel) {
      // Someone ended the client's TLS with another certificate, or the client lies.
      throw new PontoonError(
        'CLIENT_AUTH_FAILED',
        this.#channel.length > emptyChannelMax
          ? 'SCRAM channel binding check failed'
          : 'unexpected SCRAM channel-binding attribute in client-final-message',
      )
    }
    const proof = decodeBase64(clientFinal.slice(proofAt + 3))
    if (proof?.length !== 32) throw clientError('malformed SCRAM message')
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${withoutProof}`
    const { storedKey, serverKey, salt, iterations } = this.#verifier
    const clientKey = xor(proof, hmac(storedKey, authMessage))
    if (!timingSafeEqual(sha256(clientKey), storedKey)) return null
    return {
      message: `v=${hmac(serverKey, authMessage).toString('base64')}`,
      keys: { clientKey, serverKey, salt, iterations },
    }
  }
}

const nothing = Buffer.alloc(0)

/** Length of `biws` and `eSws`, the headers without binding data. */
const emptyChannelMax = 4

function clientError(text: string): PontoonError {
  return new PontoonError('CLIENT_PROTOCOL', text)
}
