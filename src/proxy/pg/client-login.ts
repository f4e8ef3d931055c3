/**
 * From an accepted socket to a session: SSLRequest and GSSENCRequest, the startup packet,
 * authentication, and the welcome (ParameterStatus, BackendKeyData, ReadyForQuery). A client that
 * has not finished within limits.loginTimeoutMs is closed.
 */
import type { TLSSocket } from 'node:tls'
import type { ServiceConfig } from '../../config/schema.ts'
import type { Carrier } from '../../net/carrier.ts'
import { ClientAddress } from '../../net/client-address.ts'
import { Transport, type TransportHandler } from '../../net/transport.ts'
import { upgradeToClient, type ClientHandshake, type ClientTls } from '../../net/tls.ts'
import { assert } from '../../shared/assert.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import {
  alpnProtocol,
  cancelKeyBytes,
  frontend,
  headerBytes,
  newestMinor,
  startupCode,
} from '../../wire/pg/protocol.ts'
import { readStartupPacket, unsupportedVersion, type StartupPacket } from '../../wire/pg/read.ts'
import { authenticationOk, negotiateProtocolVersion } from '../../wire/pg/write.ts'
import { countIn } from '../service.ts'
import { consoleRole, isConsoleDatabase } from './console/access.ts'
import type { ClientAuth } from './auth-dialogue.ts'
import { clientAuth } from './client-auth.ts'
import type { VerifierCache } from './client-scram.ts'
import type { ServiceContext } from './context.ts'
import { userEntry, type ProvenSecret } from './credentials.ts'
import { EarlyBytes } from './early-bytes.ts'
import { fatalResponse } from './errors.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import { physicalDatabase, replicationKind, type ReplicationKind } from './replication.ts'

export interface LoginHost {
  readonly context: ServiceContext
  readonly verifiers: VerifierCache
  readonly proven: ProvenSecrets<ProvenSecret>
  /** Null when clients may not use TLS. */
  readonly tls: ClientTls | null
  /** Settles once the request is delivered, or is not going to be. Never rejects. */
  cancel(pid: number, secret: Buffer): Promise<void>
  /** Null when nobody of that name may log in. */
  lookUpVerifier(user: string): Promise<string | null>
  /** Nobody could log in by what was looked up. */
  doubtVerifier(user: string): void
  provePassword(user: string, database: string, password: string): Promise<boolean>
  /** Makes the session and sends the welcome. Rejects with what the client is to be told. */
  welcome(login: ClientLogin, startup: StartupIdentity): Promise<void>
  ended(login: ClientLogin): void
}

export interface StartupIdentity {
  readonly user: string
  readonly database: string
  readonly parameters: ReadonlyMap<string, string>
  readonly replication: ReplicationKind | null
  /** Length of the secret that the client's version of the protocol provides for. */
  readonly cancelKeyBytes: number
}

type LoginState = 'startup' | 'cancelling' | 'authenticating' | 'welcoming' | 'done'

/** First byte of a TLS handshake; no length of a startup packet begins with it. */
const tlsHandshakeByte = 0x16

const maxPasswordBytes = 64 * 1024

/** What may come beyond a startup packet while it, or what follows, is looked at. */
const maxEarlyBytes = 128 * 1024

export class ClientLogin implements TransportHandler {
  readonly #host: LoginHost
  #deadlineMs = Infinity
  readonly from: ClientAddress
  transport: Transport
  #state: LoginState = 'startup'
  readonly #early = new EarlyBytes()
  #hasAskedForTls = false
  #hasAskedForGss = false
  #isSecure = false
  /** A TLS handshake is under way: nothing can be said to the client. */
  #isShakingHands = false
  /** Why the certificate that it has shown is refused; null when it is not. */
  #unverified: Error | null = null
  #isBusy = false
  #auth: ClientAuth | null = null
  #startup: StartupIdentity | null = null
  /** A paused gate has held up the welcome. */
  wasParked = false
  /** Told when the client goes away while the welcome waits for a server. */
  onGone: (() => void) | null = null
  /** Told when the gate is shut while the welcome waits for a server. */
  recall: (() => void) | null = null

  constructor(host: LoginHost, socket: Carrier) {
    this.#host = host
    this.from = new ClientAddress(socket)
    this.transport = new Transport(socket, host.context.flushes, this).startReading()
    this.#startTime()
  }

  #startTime(): void {
    const { clock, config } = this.#host.context
    this.#deadlineMs = clock.nowMs() + config.limits.loginTimeoutMs
  }

  /** Several times a second: is it late? */
  look(nowMs: number): void {
    if (nowMs >= this.#deadlineMs) this.#late(this.#host.context.config.limits.loginTimeoutMs)
  }

  /** A pause that holds it up is not the client's fault: it has its time again afterwards. */
  #late(afterMs: number): void {
    if (this.#state === 'welcoming' && this.wasParked) {
      this.wasParked = !this.#host.context.gate.isOpen
      this.#startTime()
      return
    }
    // As a session, whoever waits for the end of a switch meets no deadline.
    if (this.#isBusy && this.#host.context.gate.keptBy === 'switch') {
      this.#startTime()
      return
    }
    const text = `the login was not finished within ${afterMs} ms`
    this.#fail(new PontoonError('CLIENT_LOGIN_TIMEOUT', text))
  }

  /** Bytes of the client that are kept here. */
  get heldBytes(): number {
    return this.#early.length
  }

  get isOpen(): boolean {
    return this.#state !== 'done'
  }

  onBytes(bytes: Buffer, end: number): void {
    // Nothing may follow a cancel request.
    if (this.#state === 'cancelling') return
    this.#early.append(bytes, end)
    if (this.#early.length > this.#host.context.config.limits.startupBytesMax + maxEarlyBytes)
      this.#fail(new PontoonError('CLIENT_PROTOCOL', 'too many bytes before the login is over'))
    else this.#proceed()
  }

  onCongested(): void {
    this.#fail(new PontoonError('CLIENT_PROTOCOL', 'the client reads nothing'))
  }

  onDrained(): void {
    // Nothing is relayed yet.
  }

  onClosed(error: Error | null): void {
    if (this.#isShakingHands && error !== null)
      this.#log(new PontoonError('CLIENT_PROTOCOL', `the TLS handshake failed: ${reasonOf(error)}`))
    this.#end()
  }

  /** The session takes over: returns bytes that came already. */
  handOver(): Buffer {
    const rest = this.#early.takeAll()
    this.#end()
    return rest
  }

  #end(): void {
    if (this.#state === 'done') return
    this.#state = 'done'
    this.#deadlineMs = Infinity
    this.#early.takeAll()
    this.onGone?.()
    this.#host.ended(this)
  }

  /** Ends a login with an error to the client, e.g. because Pontoon stops. */
  refuse(error: PontoonError): void {
    this.#fail(error)
  }

  #fail(error: PontoonError): void {
    if (this.#state === 'done') return
    this.#log(error)
    if (error.code === 'CLIENT_AUTH_FAILED' || error.code === 'SERVER_AUTH_FAILED')
      this.#host.doubtVerifier(this.#startup?.user ?? '')
    if (this.#isShakingHands) this.transport.destroy()
    // To a cancel request a server never says a word.
    if (this.#state !== 'cancelling') this.transport.sendOwned(fatalResponse(error))
    this.transport.end()
    this.#end()
  }

  #log(error: PontoonError): void {
    const { context } = this.#host
    countIn(context.stats.ownErrors, error.code)
    context.log.info(
      { service: context.name, client: this.from.text, code: error.code, error: error.message },
      'a client could not log in',
    )
  }

  #proceed(): void {
    try {
      while (
        !this.#isBusy &&
        (this.#state === 'startup' ? this.#takeStartup() : this.#takePassword())
      ) {
        // Each round consumed a packet.
      }
    } catch (thrown) {
      this.#fail(toPontoonError(thrown))
    }
  }

  /** Consumes one packet without a type byte; false when it is incomplete. */
  #takeStartup(): boolean {
    const first = this.#early.peek(1)
    const isFirst = !this.#isSecure && !this.#hasAskedForTls && !this.#hasAskedForGss
    if (isFirst && first?.[0] === tlsHandshakeByte) {
      this.#upgradeDirectly()
      return false
    }
    const length = this.#early.peek(4)?.readInt32BE(0)
    if (length === undefined) return false
    const { startupBytesMax } = this.#host.context.config.limits
    if (length < 8 || length > startupBytesMax)
      throw new PontoonError(
        length < 8 ? 'CLIENT_PROTOCOL' : 'STARTUP_TOO_LARGE',
        'invalid length of startup packet',
      )
    const buffer = this.#early.peek(length)
    if (buffer === null) return false
    this.#early.drop(length)
    if (buffer.readInt32BE(4) === startupCode.cancel) this.#state = 'cancelling'
    // Told only now, when the client listens: TLS has no words for it once the handshake is over.
    if (this.#unverified !== null) throw unverified(this.#unverified)
    const packet = readStartupPacket(buffer.subarray(4, length))
    if (packet.kind === 'startup') void this.#run(this.#startupPacket(packet))
    else if (packet.kind === 'cancel') void this.#cancel(packet.pid, packet.secret)
    else this.#negotiate(packet.kind)
    return this.#state === 'startup'
  }

  /** The client learns by the close that its request has been delivered, as from a server. */
  async #cancel(pid: number, secret: Buffer): Promise<void> {
    this.#deadlineMs = Infinity
    await this.#host.cancel(pid, secret)
    this.transport.end()
    this.#end()
  }

  /** As the server, each request once at most, and none inside of TLS that was asked for. */
  #negotiate(kind: 'ssl' | 'gss-encryption'): void {
    const isSsl = kind === 'ssl'
    if (isSsl ? this.#hasAskedForTls : this.#hasAskedForGss)
      throw unsupportedVersion(1234, isSsl ? 5679 : 5680)
    // Bytes sent along unencrypted could be smuggled into the encrypted session (CVE-2021-23214).
    if (this.#early.length > 0)
      throw new PontoonError(
        'CLIENT_PROTOCOL',
        'received unencrypted data after an encryption request',
      )
    if (isSsl) this.#hasAskedForTls = true
    else this.#hasAskedForGss = true
    if (isSsl && this.#host.tls !== null && !this.#isSecure) this.#upgrade(this.#host.tls)
    else this.transport.sendOwned(Buffer.from('N'))
  }

  #upgrade(tls: ClientTls): void {
    this.transport.sendOwned(Buffer.from('S'))
    this.transport.flush()
    // It was reset meanwhile: its close is about to be told, and there is nobody to shake hands with.
    if (this.transport.socket.destroyed) return
    this.#hasAskedForGss = true
    this.#shakeHands(tls, {})
  }

  /**
   * The client begins with its ClientHello, as libpq does with sslnegotiation=direct. Like the
   * server, we speak to nobody who does not name the protocol in ALPN (the ALPACA attack), and say
   * nothing in clear to somebody who expects TLS.
   */
  #upgradeDirectly(): void {
    const { tls } = this.#host
    this.#isShakingHands = true
    if (tls === null)
      throw new PontoonError('CLIENT_PROTOCOL', 'the client begins with TLS, which is not offered')
    const secure = this.#shakeHands(tls, { early: this.#early.takeAll() })
    secure.once('secure', () => {
      if (secure.alpnProtocol === alpnProtocol) return
      this.#log(new PontoonError('CLIENT_PROTOCOL', 'the client began with TLS without ALPN'))
      this.transport.end()
      this.#end()
    })
  }

  #shakeHands(tls: ClientTls, handshake: ClientHandshake): TLSSocket {
    const plain = this.transport
    this.from.remember()
    const onUnverified = (error: Error): void => {
      this.#unverified = error
    }
    const secure = upgradeToClient(plain.socket, tls, {
      ...handshake,
      alpn: alpnProtocol,
      onUnverified,
    })
    plain.handler = ignoring
    this.#isSecure = true
    this.#isShakingHands = true
    secure.once('secure', () => {
      this.#isShakingHands = false
    })
    this.transport = new Transport(secure, this.#host.context.flushes, this).startReading()
    return secure
  }

  async #startupPacket(packet: Extract<StartupPacket, { kind: 'startup' }>): Promise<void> {
    const { config } = this.#host.context
    const keyBytes = this.#agreeOnVersion(packet)
    if (config.clientTls.mode === 'require' && !this.#isSecure && this.from.text !== 'unix') {
      throw new PontoonError('CLIENT_TLS_REQUIRED', 'this service takes clients over TLS only')
    }
    const user = packet.parameters.get('user') ?? ''
    if (user === '')
      throw new PontoonError(
        'CLIENT_NOT_ALLOWED',
        'no PostgreSQL user name specified in startup packet',
      )
    const { parameters } = packet
    const replication = replicationKind(parameters)
    // The server, too, takes an empty name for none.
    const named = parameters.get('database') || user
    const database = replication === 'physical' ? physicalDatabase : named
    this.#startup = { user, database, parameters, replication, cancelKeyBytes: keyBytes }
    if (config.clientAuth.mode === 'passthrough' && !this.#isSecure && !this.from.isLocal) {
      throw new PontoonError('CLIENT_TLS_REQUIRED', 'a password is taken over TLS or loopback only')
    }
    const { verifiers, proven } = this.#host
    this.#auth = await clientAuth({
      config,
      user,
      socket: this.transport.socket,
      verifiers,
      provePassword: (password) => this.#host.provePassword(user, database, password),
      lookUp: () => this.#host.lookUpVerifier(user),
      proved: (secret) => proven.remember(user, secret),
    })
    this.#state = 'authenticating'
    const request = this.#auth.start()
    if (request === null) await this.#accept(null)
    else this.transport.sendOwned(request)
  }

  /**
   * As PostgreSQL 18, whatever the sides speak: what 3.2 changes is between each leg's own ends.
   * Returns the length of the secret for cancel requests.
   */
  #agreeOnVersion({ minor, parameters }: Extract<StartupPacket, { kind: 'startup' }>): number {
    const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'))
    if (minor > newestMinor || unknown.length > 0) {
      const agreed = startupCode.protocol3 + Math.min(minor, newestMinor)
      this.transport.sendOwned(negotiateProtocolVersion(agreed, unknown))
    }
    return minor >= newestMinor ? cancelKeyBytes.long : cancelKeyBytes.short
  }

  /** Consumes one password message; false when it is incomplete. */
  #takePassword(): boolean {
    const header = this.#state === 'authenticating' ? this.#early.peek(headerBytes) : null
    if (header === null) return false
    const length = header.readInt32BE(1)
    if (header[0] !== frontend.password || length < 4 || length > maxPasswordBytes) {
      throw new PontoonError(
        'CLIENT_PROTOCOL',
        `expected password response, got message type ${header[0] ?? 0}`,
      )
    }
    const buffer = this.#early.peek(length + 1)
    if (buffer === null) return false
    this.#early.drop(length + 1)
    void this.#run(this.#password(buffer.subarray(headerBytes, length + 1)))
    return true
  }

  async #password(body: Buffer): Promise<void> {
    const step = await this.#auth?.next(body)
    if (step === undefined || !this.isOpen) return
    if (step.kind === 'send') this.transport.sendOwned(step.message)
    else await this.#accept(step.message)
  }

  async #accept(lastMessage: Buffer | null): Promise<void> {
    const { config } = this.#host.context
    const startup = this.#startup
    assert(startup !== null, 'a client is accepted after its startup packet')
    if (isConsoleDatabase(config, startup.database))
      consoleRole(config, startup.user, this.from.isLocal)
    else this.#checkListed(config, startup)
    this.#state = 'welcoming'
    if (lastMessage !== null) this.transport.sendOwned(lastMessage)
    await this.#host.welcome(this, startup)
  }

  #checkListed(config: ServiceConfig, startup: StartupIdentity): void {
    // Whoever proved a verifier of the query is listed there.
    const isListed = config.users === undefined || config.clientAuth.query !== undefined
    if (!isListed && userEntry(config, startup.user) === undefined) {
      throw new PontoonError(
        'CLIENT_NOT_ALLOWED',
        `user "${startup.user}" is not listed in this service`,
      )
    }
    if (config.databases !== undefined && !config.databases.includes(startup.database)) {
      throw new PontoonError(
        'CLIENT_NOT_ALLOWED',
        `database "${startup.database}" is not listed in this service`,
      )
    }
  }

  /** AuthenticationOk, sent once it is sure that the session can be had. */
  sendOk(): void {
    this.transport.sendOwned(authenticationOk)
  }

  /** Runs one step; while it is under way, bytes wait. */
  async #run(step: Promise<void>): Promise<void> {
    this.#isBusy = true
    try {
      await step
      this.#isBusy = false
      if (this.isOpen) this.#proceed()
    } catch (thrown) {
      this.#isBusy = false
      this.#fail(toPontoonError(thrown))
    }
  }
}

/** OpenSSL's own words, without where in its source they come from. */
function reasonOf(error: Error & { readonly reason?: unknown }): string {
  return typeof error.reason === 'string' ? error.reason : error.message
}

/** Begins with the server's words for a client that shows none. */
function unverified(cause: Error): PontoonError {
  return new PontoonError(
    'CLIENT_NOT_ALLOWED',
    `connection requires a valid client certificate: ${cause.message}`,
    { cause },
  )
}

/** Takes the place of the login on the plain socket below a TLS one. */
const ignoring: TransportHandler = {
  onBytes: () => undefined,
  onCongested: () => undefined,
  onDrained: () => undefined,
  onClosed: () => undefined,
}
