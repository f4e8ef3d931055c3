/**
 * A client proves itself by SCRAM-SHA-256, over TLS with channel binding if it wants to. One of
 * the dialogues of client-auth.ts.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { authCode, backend } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { MessageWriter } from '../../wire/pg/write.ts'
import { makeScramVerifier, type ScramKeys, type ScramVerifier } from '../../net/pg/scram.ts'
import { ScramServer } from '../../net/pg/scram-server.ts'
import { PontoonError } from '../../shared/errors.ts'
import { authFailed, type AuthStep, type ClientAuth } from './auth-dialogue.ts'

export interface ScramDialogue {
  readonly user: string
  /** Null for nobody: the dialogue runs to its end and fails. */
  readonly verifier: ScramVerifier | null
  /** Hash of the certificate that the client saw; null when there is nothing to bind to. */
  readonly binding: Buffer | null
  /** For the verifier of nobody, so that it is the same every time. */
  readonly mockSalts: MockSalts
  readonly proved: (keys: ScramKeys) => void
}

export class ScramAuth implements ClientAuth {
  readonly #dialogue: ScramDialogue
  readonly #scram: ScramServer
  #isFirst = true

  constructor(dialogue: ScramDialogue) {
    this.#dialogue = dialogue
    const verifier = dialogue.verifier ?? nobodysVerifier(dialogue.mockSalts.of(dialogue.user))
    this.#scram = new ScramServer(verifier, dialogue.binding)
  }

  start(): Buffer {
    const writer = new MessageWriter().int32(authCode.sasl)
    for (const mechanism of this.#scram.mechanisms) writer.cstring(mechanism)
    return writer.byte(0).finish(backend.authentication)
  }

  // eslint-disable-next-line require-await -- what it throws becomes a rejection
  async next(body: Buffer): Promise<AuthStep> {
    if (this.#isFirst) {
      this.#isFirst = false
      const { mechanism, message } = saslInitialResponse(body)
      const answer = this.#scram.first(mechanism, message)
      return { kind: 'send', message: saslMessage(authCode.saslContinue, answer) }
    }
    const { user, verifier, proved } = this.#dialogue
    const proof = this.#scram.final(body.toString('utf8'))
    if (proof === null || verifier === null) throw authFailed(user)
    proved(proof.keys)
    return { kind: 'accepted', message: saslMessage(authCode.saslFinal, proof.message) }
  }
}

/** SCRAM verifiers made from plain passwords, by user; deriving one costs 4,096 hashes. */
export class VerifierCache {
  readonly mockSalts = new MockSalts()
  readonly #made = new Map<string, { password: string; verifier: ScramVerifier }>()

  async get(user: string, password: string): Promise<ScramVerifier> {
    const known = this.#made.get(user)
    if (known?.password === password) return known.verifier
    const verifier = await makeScramVerifier(password)
    this.#made.set(user, { password, verifier })
    return verifier
  }
}

/** A salt that changed from one login to the next would tell that nobody has that name. */
export class MockSalts {
  readonly #secret = randomBytes(32)

  of(user: string): Buffer {
    return createHmac('sha256', this.#secret).update(user).digest().subarray(0, 16)
  }
}

function nobodysVerifier(salt: Buffer): ScramVerifier {
  return { iterations: 4_096, salt, storedKey: randomBytes(32), serverKey: randomBytes(32) }
}

function saslInitialResponse(body: Buffer): { mechanism: string; message: string } {
  const nameEnd = cstringEnd(body, 0, body.length, 'CLIENT_PROTOCOL')
  const length = body.length >= nameEnd + 5 ? body.readInt32BE(nameEnd + 1) : -1
  if (length !== body.length - nameEnd - 5)
    throw new PontoonError('CLIENT_PROTOCOL', 'malformed SASL initial response')
  return {
    mechanism: body.toString('latin1', 0, nameEnd),
    message: body.toString('utf8', nameEnd + 5),
  }
}

function saslMessage(code: number, text: string): Buffer {
  return new MessageWriter().int32(code).bytes(Buffer.from(text)).finish(backend.authentication)
}
