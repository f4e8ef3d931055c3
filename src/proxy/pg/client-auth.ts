/**
 * How a client proves itself, one small dialogue a mode. Each takes the bodies of the client's
 * password messages and answers with what to send next. Unknown users run through the same
 * dialogue as known ones, so that nobody learns which names exist.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { ServiceConfig } from '../../config/schema.ts'
import type { Carrier } from '../../net/carrier.ts'
import { ownEndPointHash } from '../../net/pg/channel-binding.ts'
import { md5Response, md5Verifier } from '../../net/pg/md5.ts'
import { parseScramVerifier, type ScramKeys } from '../../net/pg/scram.ts'
import { authCode, backend } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { MessageWriter } from '../../wire/pg/write.ts'
import { authFailed, type AuthStep, type ClientAuth } from './auth-dialogue.ts'
import { checkCertificate, clientCertificate } from './client-certificate.ts'
import { ScramAuth, type VerifierCache } from './client-scram.ts'
import { isMd5Verifier, isScramVerifier, userEntry } from './credentials.ts'

export interface AuthInputs {
  readonly config: ServiceConfig
  readonly user: string
  /** The client's, as it is now: over TLS or not. */
  readonly socket: Carrier
  readonly verifiers: VerifierCache
  /** Checks a cleartext password against the primary side; settles true when it is right. */
  readonly provePassword: (password: string) => Promise<boolean>
  /** The verifier of a user whom the configuration does not list; null: there is none. */
  readonly lookUp: () => Promise<string | null>
  /** The client has proved this, and it logs Pontoon in to a side that knows the same verifier. */
  readonly proved: (secret: string | ScramKeys) => void
}

// oxlint-disable-next-line typescript/consistent-return -- every mode has its return
export async function clientAuth(inputs: AuthInputs): Promise<ClientAuth> {
  const { config, user } = inputs
  const { mode, certMap } = config.clientAuth
  const nothingAsked = { start: () => null, next: () => Promise.reject(authFailed(user)) }
  switch (mode) {
    case 'trust':
      return nothingAsked
    case 'cert':
      checkCertificate(clientCertificate(inputs.socket), user, certMap)
      return nothingAsked
    case 'passthrough':
      return new CleartextAuth(inputs)
    case 'md5':
    case 'scram':
      return byVerifier(inputs, mode)
  }
}

async function byVerifier(inputs: AuthInputs, mode: 'md5' | 'scram'): Promise<ClientAuth> {
  const listed = userEntry(inputs.config, inputs.user)?.verifier
  const stored = listed ?? (await inputs.lookUp()) ?? undefined
  // A client that is known by a SCRAM verifier is asked for SCRAM, as a server does.
  if (mode === 'scram' || (stored !== undefined && isScramVerifier(stored)))
    return scramAuth(inputs, stored)
  return new Md5Auth(inputs, stored)
}

async function scramAuth(inputs: AuthInputs, stored: string | undefined): Promise<ClientAuth> {
  const { user, socket, verifiers, proved } = inputs
  const plain = stored !== undefined && !isMd5Verifier(stored) && !isScramVerifier(stored)
  const verifier = plain
    ? await verifiers.get(user, stored)
    : stored === undefined
      ? null
      : parseScramVerifier(stored)
  return new ScramAuth({
    user,
    verifier,
    binding: ownEndPointHash(socket),
    mockSalts: verifiers.mockSalts,
    // Keys of a verifier that was made here fit no server; the password itself is known.
    proved: plain ? () => undefined : proved,
  })
}

class Md5Auth implements ClientAuth {
  readonly #inputs: AuthInputs
  readonly #stored: string | undefined
  readonly #salt = randomBytes(4)

  constructor(inputs: AuthInputs, stored: string | undefined) {
    this.#inputs = inputs
    this.#stored = stored
  }

  start(): Buffer {
    return new MessageWriter().int32(authCode.md5).bytes(this.#salt).finish(backend.authentication)
  }

  // eslint-disable-next-line require-await -- what it throws becomes a rejection
  async next(body: Buffer): Promise<AuthStep> {
    const given = Buffer.from(password(body))
    const stored = this.#stored
    const { user, proved } = this.#inputs
    const isHash = stored !== undefined && isMd5Verifier(stored)
    const verifier = stored === undefined ? null : isHash ? stored : md5Verifier(user, stored)
    const expected = Buffer.from(verifier === null ? '' : md5Response(verifier, this.#salt))
    const isRight =
      given.length === expected.length && given.length > 0 && timingSafeEqual(given, expected)
    if (verifier === null || !isRight) throw authFailed(user)
    if (isHash) proved(verifier)
    return { kind: 'accepted', message: null }
  }
}

class CleartextAuth implements ClientAuth {
  readonly #inputs: AuthInputs

  constructor(inputs: AuthInputs) {
    this.#inputs = inputs
  }

  start(): Buffer {
    return new MessageWriter().int32(authCode.cleartext).finish(backend.authentication)
  }

  async next(body: Buffer): Promise<AuthStep> {
    const { user, provePassword } = this.#inputs
    if (!(await provePassword(password(body)))) throw authFailed(user)
    return { kind: 'accepted', message: null }
  }
}

function password(body: Buffer): string {
  return body.toString('utf8', 0, cstringEnd(body, 0, body.length, 'CLIENT_PROTOCOL'))
}
