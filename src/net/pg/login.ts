/**
 * Opens a session on a side: dial, TLS, startup, authentication, up to the first ReadyForQuery.
 * The result is a ready PgServer (server.ts).
 */
import type { Socket } from 'node:net'
import { PontoonError, toPontoonError, type ErrorCode } from '../../shared/errors.ts'
import {
  authCode,
  backend,
  cancelKeyBytes,
  frontend,
  headerBytes,
  typeName,
} from '../../wire/pg/protocol.ts'
import {
  cstringEnd,
  readError,
  readNegotiatedMinor,
  readParameterStatus,
} from '../../wire/pg/read.ts'
import { message, MessageWriter, passwordMessage, startupPacket } from '../../wire/pg/write.ts'
import { endpointName, type Endpoint } from '../address.ts'
import type { Dialled } from '../dial.ts'
import type { SecretSource } from '../secrets/secret-source.ts'
import type { ServerTls } from '../tls.ts'
import { bindingMissing, chooseMechanism, peerCertificate } from './channel-binding.ts'
import { connectSide, type Connected } from './connect.ts'
import type { HeldBackends } from './held-backends.ts'
import { md5Response, md5Verifier } from './md5.ts'
import type { SpareConnections } from './spare-connections.ts'
import { ScramClient } from './scram-client.ts'
import type { ScramKeyCache } from './scram-keys.ts'
import type { ScramKeys } from './scram.ts'
import { VerbatimError } from './verbatim-error.ts'

export interface LoginOptions {
  readonly endpoint: Endpoint
  readonly tls: ServerTls
  readonly parameters: ReadonlyMap<string, string>
  readonly password: LoginPassword
  readonly timeoutMs: number
  /** Where keys of earlier logins are; default: derived anew. */
  readonly keys?: ScramKeyCache
  /** Minor version of protocol 3 to ask for; default 0. With 2, servers since 18 give long keys. */
  readonly minor?: number
  /** Is told of the backend. */
  readonly backends?: HeldBackends
  /** Taken before another connection is opened. */
  readonly spares?: SpareConnections
}

/** A text (a password or md5 hash), what a client has proved, a source that is asked, or none. */
export type LoginPassword = string | ScramKeys | SecretSource | null

/** What is left of it once the source was asked. */
type Proof = string | ScramKeys | null

export interface LoggedIn extends Connected {
  readonly pid: number
  readonly secret: Buffer
  readonly reported: ReadonlyMap<string, string>
  /** Whole messages between AuthenticationOk and ReadyForQuery that are no ParameterStatus or key. */
  readonly notices: readonly Buffer[]
  /** The connection was a spare one. */
  readonly isOverSpare: boolean
}

/** Classes 57 (shutdown, starting up) and 53 (too many connections) pass by themselves. */
function loginErrorCode(sqlstate: string): ErrorCode {
  if (sqlstate.startsWith('28')) return 'SERVER_AUTH_FAILED'
  return sqlstate.startsWith('57') || sqlstate.startsWith('53')
    ? 'SERVER_UNAVAILABLE'
    : 'SERVER_REJECTED'
}

/**
 * What need not be so for another connection: the server may have given up a spare one meanwhile, and
 * it decides when one begins, not at its login, whether it is full or still starting.
 */
const ofSpares: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONNECT_FAILED',
  'SERVER_UNAVAILABLE',
])

/** A login that the server refused, in its own words. */
export class ServerLoginError extends VerbatimError {
  constructor(name: string, sqlstate: string, text: string, response: Buffer) {
    super(loginErrorCode(sqlstate), `${name} refused the login: ${text}`, sqlstate, response)
  }
}

/**
 * Rejects with a PontoonError that says what to mend; ServerLoginError carries the server's own. A
 * password that may have been rotated meanwhile is asked for anew, once, when it is refused.
 */
export async function login(options: LoginOptions): Promise<LoggedIn> {
  const { password } = options
  if (password === null || typeof password === 'string' || !('renew' in password))
    return attempt(options, password)
  const present = await password.get()
  try {
    return await attempt(options, present)
  } catch (error) {
    if (!(error instanceof ServerLoginError) || !error.sqlstate.startsWith('28')) throw error
    const renewed = await password.renew(present)
    if (renewed === null) throw error
    return attempt(options, renewed)
  }
}

async function attempt(options: LoginOptions, proof: Proof): Promise<LoggedIn> {
  const deadlineMs = performance.now() + options.timeoutMs
  const spare = options.spares?.take() ?? null
  if (spare !== null) {
    try {
      return { ...(await begin(spare, options, proof, deadlineMs)), isOverSpare: true }
    } catch (error) {
      if (!(error instanceof PontoonError) || !ofSpares.has(error.code)) throw error
    }
  }
  const leftMs = Math.max(1, deadlineMs - performance.now())
  const connected = await connectSide(options.endpoint, options.tls, leftMs)
  return await begin(connected, options, proof, deadlineMs)
}

async function begin(
  connected: Connected,
  options: LoginOptions,
  proof: Proof,
  deadlineMs: number,
): Promise<LoggedIn> {
  try {
    const channel = new LoginChannel(connected, endpointName(options.endpoint))
    return await channel.run(options, proof, Math.max(1, deadlineMs - performance.now()))
  } catch (error) {
    // What was written as the server said its last word fails behind that.
    connected.socket.on('error', () => undefined)
    connected.socket.destroy()
    connected.dialled?.socket.destroy()
    throw toPontoonError(error, 'CONNECT_FAILED')
  }
}

const loginMessageBytesMax = 1024 * 1024

/** All that a server may say until it is ready: parameters and notices are kept. */
const loginBytesMax = 4 * 1024 * 1024

/** Reads messages one by one until ReadyForQuery; used only during login. */
class LoginChannel {
  readonly #socket: Socket
  readonly #dialled: Dialled | null
  readonly #name: string
  #buffer: Buffer = Buffer.alloc(0)
  #receivedBytes = 0
  #wake: (() => void) | null = null
  #failure: Error | null = null

  constructor({ socket, dialled }: Connected, name: string) {
    this.#socket = socket
    this.#dialled = dialled
    this.#name = name
  }

  async run(options: LoginOptions, proof: Proof, timeoutMs: number): Promise<LoggedIn> {
    const timer = setTimeout(
      () =>
        this.#fail(
          new PontoonError(
            'CONNECT_TIMEOUT',
            `${this.#name} did not finish the login within ${options.timeoutMs} ms`,
          ),
        ),
      timeoutMs,
    )
    const onData = (bytes: Buffer): void => this.#receive(bytes, bytes.length)
    const onError = (error: Error): void =>
      this.#fail(
        new PontoonError('CONNECT_FAILED', `${this.#name}: ${error.message}`, { cause: error }),
      )
    const onClose = (): void =>
      this.#fail(
        new PontoonError('CONNECT_FAILED', `${this.#name} closed the connection during the login`),
      )
    this.#socket.on('error', onError)
    this.#socket.on('close', onClose)
    if (this.#dialled === null) this.#socket.on('data', onData)
    else this.#dialled.deliverTo({ receive: (bytes, end) => this.#receive(bytes, end) })
    try {
      this.#socket.write(startupPacket(options.parameters, options.minor))
      await this.#authenticate(options, proof)
      return await this.#settle(options.backends)
    } finally {
      clearTimeout(timer)
      this.#socket.removeListener('data', onData)
      this.#socket.removeListener('error', onError)
      this.#socket.removeListener('close', onClose)
    }
  }

  async #authenticate(options: LoginOptions, proof: Proof): Promise<void> {
    const { parameters, tls, minor } = options
    const user = parameters.get('user') ?? ''
    let isBound = false
    for (;;) {
      // eslint-disable-next-line no-await-in-loop -- a dialogue
      const { type, body } = await this.#next()
      if (type === backend.noticeResponse) continue
      if (type === backend.negotiateProtocolVersion) {
        readNegotiatedMinor(body, minor ?? 0)
        continue
      }
      if (type !== backend.authentication || body.length < 4) throw this.#unexpected(type)
      const code = body.readInt32BE(0)
      // As libpq: who requires the binding gives its password to nobody who did not prove it.
      if (tls.channelBinding === 'require' && code !== authCode.sasl && !isBound)
        throw bindingMissing(this.#name, 'asks for no SCRAM')
      if (code === authCode.ok) return
      if (proof === null) {
        throw new PontoonError(
          'SERVER_AUTH_FAILED',
          `${this.#name} asks for a password for user "${user}", but none is configured`,
        )
      }
      if (code === authCode.sasl) {
        // eslint-disable-next-line no-await-in-loop -- a dialogue
        await this.#scram(body, proof, options)
        isBound = true
      } else this.#socket.write(passwordMessage(this.#clearAnswer(code, body, user, proof)))
    }
  }

  #clearAnswer(code: number, body: Buffer, user: string, proof: string | ScramKeys): string {
    const isMd5 = code === authCode.md5 && body.length === 8
    if (!isMd5 && code !== authCode.cleartext) {
      throw new PontoonError(
        'SERVER_AUTH_UNSUPPORTED',
        `${this.#name} asks for authentication method ${code}, which is not supported`,
      )
    }
    if (typeof proof !== 'string') {
      throw new PontoonError(
        'SERVER_AUTH_FAILED',
        `${this.#name} asks for the password of "${user}", of whom only a SCRAM verifier is known`,
      )
    }
    if (!isMd5) return proof
    const verifier = /^md5[0-9a-f]{32}$/.test(proof) ? proof : md5Verifier(user, proof)
    return md5Response(verifier, body.subarray(4))
  }

  async #scram(
    body: Buffer,
    proof: string | ScramKeys,
    { tls, keys }: LoginOptions,
  ): Promise<void> {
    const offered = body.toString('latin1', 4).split('\0')
    const certificate = peerCertificate(this.#socket)
    const choice = chooseMechanism(tls.channelBinding, offered, certificate, this.#name)
    const scram = new ScramClient(proof, choice, keys)
    const first = Buffer.from(scram.first())
    this.#socket.write(
      new MessageWriter()
        .cstring(choice.mechanism)
        .int32(first.length)
        .bytes(first)
        .finish(frontend.password),
    )
    const serverFirst = await this.#expectSasl(authCode.saslContinue)
    this.#socket.write(message(frontend.password, Buffer.from(await scram.final(serverFirst))))
    scram.verify(await this.#expectSasl(authCode.saslFinal))
  }

  async #expectSasl(code: number): Promise<string> {
    const { type, body } = await this.#next()
    if (type !== backend.authentication || body.length < 4 || body.readInt32BE(0) !== code)
      throw this.#unexpected(type)
    return body.toString('utf8', 4)
  }

  /** From AuthenticationOk to ReadyForQuery. */
  async #settle(backends: HeldBackends | undefined): Promise<LoggedIn> {
    const reported = new Map<string, string>()
    const notices: Buffer[] = []
    let pid = 0
    let secret: Buffer = Buffer.alloc(0)
    for (;;) {
      // eslint-disable-next-line no-await-in-loop -- a dialogue
      const { type, body } = await this.#next()
      if (type === backend.parameterStatus)
        reported.set(...readParameterStatus(body, 0, body.length))
      else if (type === backend.backendKeyData && isKeyLength(body.length - 4)) {
        pid = body.readInt32BE(0)
        secret = Buffer.from(body.subarray(4))
        backends?.opened(pid, this.#socket)
      } else if (type === backend.noticeResponse) notices.push(message(type, body))
      else if (type === backend.readyForQuery) break
      else throw this.#unexpected(type)
    }
    if (this.#buffer.length > 0)
      throw new PontoonError('SERVER_PROTOCOL', `${this.#name} sent bytes after ReadyForQuery`)
    const [socket, dialled] = [this.#socket, this.#dialled]
    return { socket, dialled, pid, secret, reported, notices, isOverSpare: false }
  }

  /** The next whole message; an ErrorResponse becomes a ServerLoginError. */
  async #next(): Promise<{ type: number; body: Buffer }> {
    for (;;) {
      const found = this.#take()
      if (found !== null) {
        if (found.type === backend.errorResponse) throw this.#refusal(found.body)
        return found
      }
      if (this.#failure !== null) throw this.#failure
      // eslint-disable-next-line no-await-in-loop -- waits for bytes
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #take(): { type: number; body: Buffer } | null {
    const buffer = this.#buffer
    if (buffer.length < headerBytes) return null
    const length = buffer.readInt32BE(1)
    if (length < 4 || length > loginMessageBytesMax) {
      throw new PontoonError(
        'SERVER_PROTOCOL',
        `${this.#name} does not speak the PostgreSQL protocol`,
      )
    }
    if (buffer.length < length + 1) return null
    const found = { type: buffer[0] ?? 0, body: buffer.subarray(headerBytes, length + 1) }
    this.#buffer = buffer.subarray(length + 1)
    return found
  }

  #refusal(body: Buffer): PontoonError {
    // A server of before 7.4, or a supervisor, may send a bare string.
    const { sqlstate, message: text } = body.includes(0)
      ? readError(body, 0, body.length)
      : { sqlstate: 'XX000', message: body.toString('utf8', 0, cstringSafeEnd(body)) }
    return new ServerLoginError(this.#name, sqlstate, text, message(backend.errorResponse, body))
  }

  #receive(bytes: Buffer, end: number): void {
    this.#receivedBytes += end
    if (this.#receivedBytes > loginBytesMax)
      this.#fail(new PontoonError('SERVER_PROTOCOL', `${this.#name} floods the login`))
    else this.#buffer = Buffer.concat([this.#buffer, bytes.subarray(0, end)])
    this.#wake?.()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wake?.()
  }

  #unexpected(type: number): PontoonError {
    return new PontoonError(
      'SERVER_PROTOCOL',
      `${this.#name} sent an unexpected message ${typeName(type)} during the login`,
    )
  }
}

function isKeyLength(bytes: number): boolean {
  return bytes >= cancelKeyBytes.short && bytes <= cancelKeyBytes.max
}

function cstringSafeEnd(body: Buffer): number {
  return body.includes(0) ? cstringEnd(body, 0, body.length, 'SERVER_PROTOCOL') : body.length
}
