/**
 * How a client proves itself, one small dialogue a mode. Each takes the bodies of the client's
 * password messages and answers with what to send next. Unknown users run through the same
 * dialogue as known ones, so that nobody learns which names exist.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { ServiceConfig } from '../../config/schema.ts'
import {
  makeScramVerifier,
  parseScramVerifier,
  ScramServer,
  type ScramVerifier,
} from '../../net/pg/scram.ts'
import { md5Response, md5Verifier } from '../../net/pg/md5.ts'
import { PontoonError } from '../../shared/errors.ts'
import { authCode, backend } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { MessageWriter } from '../../wire/pg/write.ts'
import { isMd5Verifier } from './credentials.ts'

export type AuthStep =
  | { readonly kind: 'send'; readonly message: Buffer }
  | { readonly kind: 'accepted'; readonly message: Buffer | null }

/** One login's dialogue. `next` rejects with CLIENT_AUTH_FAILED or CLIENT_PROTOCOL. */
export interface ClientAuth {
  /** The first request, or null when nothing is asked. */
  start(): Buffer | null
  next(body: Buffer): Promise<AuthStep>
}

/** Checks a cleartext password against the primary side; settles true when it is right. */
export type PasswordProof = (password: string) => Promise<boolean>

/** SCRAM verifiers made from plain passwords, by user; deriving one costs 4,096 hashes. */
export class VerifierCache {
  readonly #made = new Map<string, { password: string; verifier: ScramVerifier }>()

  async get(user: string, password: string): Promise<ScramVerifier> {
    const known = this.#made.get(user)
    if (known?.password === password) return known.verifier
    const verifier = await makeScramVerifier(password)
    this.#made.set(user, { password, verifier })
    return verifier
  }
}

export async function clientAuth(
  config: ServiceConfig,
  user: string,
  verifiers: VerifierCache,
  proof: PasswordProof,
): Promise<ClientAuth> {
  const stored = config.users?.[user]?.verifier
  switch (config.clientAuth.mode) {
    case 'trust':
      return { start: () => null, next: () => Promise.reject(failed(user)) }
    case 'passthrough':
      return new CleartextAuth(user, proof)
    case 'md5':
      // A client that is known by a SCRAM verifier is asked for SCRAM, as a server does.
      if (stored === undefined || !stored.startsWith('SCRAM-SHA-256$'))
        return new Md5Auth(user, stored)
      return scramAuth(user, stored, verifiers)
    case 'scram':
      return scramAuth(user, stored, verifiers)
  }
}

async function scramAuth(
  user: string,
  stored: string | undefined,
  verifiers: VerifierCache,
): Promise<ClientAuth> {
  if (stored === undefined || isMd5Verifier(stored))
    return new ScramAuth(user, nobodysVerifier(), false)
  const verifier = parseScramVerifier(stored) ?? (await verifiers.get(user, stored))
  return new ScramAuth(user, verifier, true)
}

class ScramAuth implements ClientAuth {
  readonly #user: string
  readonly #scram: ScramServer
  readonly #mayPass: boolean
  #isFirst = true

  constructor(user: string, verifier: ScramVerifier, mayPass: boolean) {
    this.#user = user
    this.#scram = new ScramServer(verifier)
    this.#mayPass = mayPass
  }

  start(): Buffer {
    return new MessageWriter()
      .int32(authCode.sasl)
      .cstring('SCRAM-SHA-256')
      .byte(0)
      .finish(backend.authentication)
  }

  next(body: Buffer): Promise<AuthStep> {
    if (this.#isFirst) {
      this.#isFirst = false
      const answer = this.#scram.first(saslInitialResponse(body))
      return Promise.resolve({ kind: 'send', message: saslMessage(authCode.saslContinue, answer) })
    }
    const answer = this.#scram.final(body.toString('utf8'))
    if (answer === null || !this.#mayPass) return Promise.reject(failed(this.#user))
    return Promise.resolve({ kind: 'accepted', message: saslMessage(authCode.saslFinal, answer) })
  }
}

class Md5Auth implements ClientAuth {
  readonly #user: string
  readonly #verifier: string | null
  readonly #salt = randomBytes(4)

  constructor(user: string, stored: string | undefined) {
    this.#user = user
    this.#verifier =
      stored === undefined ? null : isMd5Verifier(stored) ? stored : md5Verifier(user, stored)
  }

  start(): Buffer {
    return new MessageWriter().int32(authCode.md5).bytes(this.#salt).finish(backend.authentication)
  }

  next(body: Buffer): Promise<AuthStep> {
    const given = Buffer.from(password(body))
    const expected = Buffer.from(
      this.#verifier === null ? '' : md5Response(this.#verifier, this.#salt),
    )
    const isRight =
      given.length === expected.length && given.length > 0 && timingSafeEqual(given, expected)
    return isRight
      ? Promise.resolve({ kind: 'accepted', message: null })
      : Promise.reject(failed(this.#user))
  }
}

class CleartextAuth implements ClientAuth {
  readonly #user: string
  readonly #proof: PasswordProof

  constructor(user: string, proof: PasswordProof) {
    this.#user = user
    this.#proof = proof
  }

  start(): Buffer {
    return new MessageWriter().int32(authCode.cleartext).finish(backend.authentication)
  }

  async next(body: Buffer): Promise<AuthStep> {
    if (!(await this.#proof(password(body)))) throw failed(this.#user)
    return { kind: 'accepted', message: null }
  }
}

function password(body: Buffer): string {
  return body.toString('utf8', 0, cstringEnd(body, 0, body.length, 'CLIENT_PROTOCOL'))
}

function saslInitialResponse(body: Buffer): string {
  const nameEnd = cstringEnd(body, 0, body.length, 'CLIENT_PROTOCOL')
  if (body.toString('latin1', 0, nameEnd) !== 'SCRAM-SHA-256')
    throw new PontoonError(
      'CLIENT_PROTOCOL',
      'client selected an invalid SASL authentication mechanism',
    )
  const length = body.length >= nameEnd + 5 ? body.readInt32BE(nameEnd + 1) : -1
  if (length !== body.length - nameEnd - 5)
    throw new PontoonError('CLIENT_PROTOCOL', 'malformed SASL initial response')
  return body.toString('utf8', nameEnd + 5)
}

function saslMessage(code: number, text: string): Buffer {
  return new MessageWriter().int32(code).bytes(Buffer.from(text)).finish(backend.authentication)
}

function nobodysVerifier(): ScramVerifier {
  return {
    iterations: 4_096,
    salt: randomBytes(16),
    storedKey: randomBytes(32),
    serverKey: randomBytes(32),
  }
}

function failed(user: string): PontoonError {
  return new PontoonError('CLIENT_AUTH_FAILED', `password authentication failed for user "${user}"`)
}
