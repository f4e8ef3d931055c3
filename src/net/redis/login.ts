/**
 * Opens a server on a side: dial, TLS, then AUTH, HELLO, CLIENT ID and SELECT as asked. The result
 * is a connection that owes nothing, ready for a RedisServer (server.ts).
 */
import type { Socket } from 'node:net'
import { PontoonError, toPontoonError, type ErrorCode } from '../../shared/errors.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'
import { endpointName, type Endpoint } from '../address.ts'
import { dial, type Dialled } from '../dial.ts'
import type { SecretSource } from '../secrets/secret-source.ts'
import { upgradeToServer, type ServerTls } from '../tls.ts'

export type RespVersion = 2 | 3

export interface RedisLoginOptions {
  readonly endpoint: Endpoint
  readonly tls: ServerTls
  /** Null: AUTH without a name, which is the user `default`. */
  readonly user: string | null
  /** Null: no AUTH at all. */
  readonly password: string | SecretSource | null
  readonly database: number
  /** Null: the connection stays as it was opened; nothing is sent that changes it but AUTH. */
  readonly version: RespVersion | null
  readonly timeoutMs: number
  /** Somebody else said that this is the primary: rejects when it is not. */
  readonly mustBePrimary?: boolean
  /** Commands that block will be sent there: finds out whether they can be ended. */
  readonly mayBlock?: boolean
}

/** Asks the server something over another connection; `answered` gets the answer, '' when there is none. */
export type AskElsewhere = (request: Buffer, answered: (answer: string) => void) => void

/** Has the server end what the connection waits for, as if the time were over: `:1` when it did. */
export type EndWait = (elsewhere: AskElsewhere, answered: (answer: string) => void) => void

export interface RedisLoggedIn {
  readonly socket: Socket
  /** Directs what arrives from now on; null for a TLS socket, which has 'data' events. */
  readonly dialled: Dialled | null
  /** What CLIENT ID says, null when the server or its ACL does not tell. */
  readonly clientId: string | null
  /** Null when the server or its ACL does not allow it, or that was not asked. */
  readonly endWait: EndWait | null
  /** The reply to HELLO as it came; null when it was not sent or is not known there. */
  readonly hello: Buffer | null
}

/** A refusal of the server, in its own words. */
export class RedisLoginError extends PontoonError {
  /** The whole error reply. */
  readonly reply: Buffer

  constructor(code: ErrorCode, message: string, reply: Buffer) {
    super(code, message)
    this.reply = reply
  }
}

/** A reply longer than this is no answer to a login. */
const loginReplyBytesMax = 1024 * 1024

const noReply: Buffer = Buffer.alloc(0)

/**
 * Rejects with a PontoonError that says what to mend. A password that may have been rotated
 * meanwhile is asked for anew, once, when it is refused.
 */
export async function redisLogin(options: RedisLoginOptions): Promise<RedisLoggedIn> {
  const { password } = options
  if (password === null || typeof password === 'string') return attempt(options, password)
  const present = await password.get()
  try {
    return await attempt(options, present)
  } catch (error) {
    if (!(error instanceof RedisLoginError) || error.code !== 'SERVER_AUTH_FAILED') throw error
    const renewed = await password.renew(present)
    if (renewed === null) throw error
    return attempt(options, renewed)
  }
}

async function attempt(
  options: RedisLoginOptions,
  password: string | null,
): Promise<RedisLoggedIn> {
  const deadlineMs = performance.now() + options.timeoutMs
  const left = (): number => Math.max(1, deadlineMs - performance.now())
  const name = endpointName(options.endpoint)
  const dialled = await dial(options.endpoint, options.timeoutMs)
  let socket: Socket = dialled.socket
  const isPlain = options.tls.mode === 'disable'
  try {
    if (!isPlain) socket = await upgradeToServer(dialled.socket, options.tls, name, left())
    const dialogue = new RedisDialogue(socket, isPlain ? dialled : null, name, left())
    try {
      return await converse(dialogue, options, password, name)
    } finally {
      dialogue.end()
    }
  } catch (error) {
    socket.destroy()
    dialled.socket.destroy()
    throw toPontoonError(error, 'CONNECT_FAILED')
  }
}

async function converse(
  dialogue: RedisDialogue,
  options: RedisLoginOptions,
  password: string | null,
  name: string,
): Promise<RedisLoggedIn> {
  const { user, version, database } = options
  if (password !== null) {
    const words = user === null ? ['AUTH', password] : ['AUTH', user, password]
    const reply = await dialogue.ask(command(...words))
    if (reply[0] === marker.error) throw refusal(reply, `${name} refused the login`, true)
  }
  if (options.mustBePrimary === true) await checkPrimary(dialogue, name)
  let hello: Buffer | null = null
  // A refusal is an entry in ACL LOG, so it is not asked for without need.
  const asked = options.mayBlock === true ? [askUnblock] : []
  const replies = await dialogue.askAll([askReady, askId, ...asked])
  const [pong = noReply, id = noReply, unblocked = noReply] = replies
  const clientId = numberIn(id)
  const mayUnblock = numberIn(unblocked) !== null
  if (version !== null) {
    checkReady(pong, name)
    const reply = await dialogue.ask(command('HELLO', String(version)))
    if (reply[0] !== marker.error) hello = reply
    else if (version === 3) throw refusal(reply, `${name} does not speak RESP3`, false)
  }
  if (database !== 0) {
    const reply = await dialogue.ask(command('SELECT', String(database)))
    if (reply[0] === marker.error)
      throw refusal(reply, `${name} does not take database ${database}`, false)
  }
  const { socket, dialled } = dialogue
  const endWait = clientId !== null && mayUnblock ? endWaitOf(clientId) : null
  return { socket, dialled, clientId, endWait, hello }
}

/** Not answered while the server loads its data, as CLIENT ID, HELLO and SELECT are. */
const askReady = command('PING')

const askId = command('CLIENT', 'ID')

/** Nobody has this id: the answer tells whether the user may unblock others. */
const askUnblock = command('CLIENT', 'UNBLOCK', '0')

function numberIn(reply: Buffer): string | null {
  return reply[0] === marker.integer ? reply.toString('latin1', 1, reply.length - 2) : null
}

function endWaitOf(clientId: string): EndWait {
  const request = command('CLIENT', 'UNBLOCK', clientId, 'TIMEOUT')
  return (elsewhere, answered) => elsewhere(request, (answer) => answered(answer.trimEnd()))
}

async function checkPrimary(dialogue: RedisDialogue, name: string): Promise<void> {
  const role = await dialogue.ask(command('ROLE'))
  if (role.includes('master')) return
  throw new PontoonError('SERVER_IN_RECOVERY', `${name} is not, or not yet, the primary`)
}

/** That PING is forbidden does not matter; that nobody may come in yet does. */
function checkReady(reply: Buffer, name: string): void {
  if (reply[0] !== marker.error) return
  const word = reply.toString('latin1', 1, reply.indexOf(0x20))
  if (word === 'NOAUTH' || word === 'LOADING' || word === 'MASTERDOWN')
    throw refusal(reply, `${name} takes no commands`, false)
}

function refusal(reply: Buffer, what: string, isAuth: boolean): RedisLoginError {
  const words = reply.toString('utf8', 1).trimEnd()
  const passing = /^(?:LOADING|MASTERDOWN|BUSY|ERR max number of clients)/.test(words)
  const isRefused = isAuth || words.startsWith('NOAUTH')
  const code = passing ? 'SERVER_UNAVAILABLE' : isRefused ? 'SERVER_AUTH_FAILED' : 'SERVER_REJECTED'
  return new RedisLoginError(code, `${what}: ${words}`, Buffer.from(reply))
}

/** One question after the other; used for logins and probes only. */
export class RedisDialogue {
  readonly socket: Socket
  readonly dialled: Dialled | null
  readonly #name: string
  readonly #framer = new ReplyFramer()
  readonly #timer: NodeJS.Timeout
  #buffer: Buffer = noReply
  #replies: Buffer[] = []
  #settle: {
    readonly count: number
    resolve(replies: Buffer[]): void
    reject(error: Error): void
  } | null = null
  #failure: Error | null = null
  readonly #onData = (bytes: Buffer): void => this.#receive(bytes, bytes.length)
  readonly #onError = (error: Error): void =>
    this.#fail(
      new PontoonError('CONNECT_FAILED', `${this.#name}: ${error.message}`, { cause: error }),
    )
  readonly #onClose = (): void =>
    this.#fail(new PontoonError('CONNECT_FAILED', `${this.#name} closed the connection`))

  constructor(socket: Socket, dialled: Dialled | null, name: string, timeoutMs: number) {
    this.socket = socket
    this.dialled = dialled
    this.#name = name
    this.#timer = setTimeout(
      () => this.#fail(new PontoonError('CONNECT_TIMEOUT', `${name} did not answer in time`)),
      timeoutMs,
    )
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    if (dialled === null) socket.on('data', this.#onData)
    else dialled.deliverTo({ receive: (bytes, end) => this.#receive(bytes, end) })
  }

  /** The whole reply as it came, an error too. */
  async ask(request: Buffer): Promise<Buffer> {
    const [reply = noReply] = await this.#ask(request, 1)
    return reply
  }

  /** All at once, for the time of one. */
  askAll(requests: readonly Buffer[]): Promise<readonly Buffer[]> {
    return this.#ask(Buffer.concat(requests), requests.length)
  }

  #ask(request: Buffer, count: number): Promise<Buffer[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure)
        return
      }
      this.#settle = { count, resolve, reject }
      this.socket.write(request)
    })
  }

  /** Leaves the socket to its next owner. */
  end(): void {
    clearTimeout(this.#timer)
    this.socket.removeListener('data', this.#onData)
    this.socket.removeListener('error', this.#onError)
    this.socket.removeListener('close', this.#onClose)
  }

  #receive(bytes: Buffer, end: number): void {
    try {
      for (let at = 0; at < end;) {
        const found = this.#framer.next(bytes, at, end)
        this.#take(bytes.subarray(at, found < 0 ? end : found), found >= 0)
        at = found < 0 ? end : found
      }
    } catch (error) {
      this.#fail(toPontoonError(error, 'SERVER_PROTOCOL'))
      return
    }
    const settle = this.#settle
    if (settle === null || this.#replies.length < settle.count) return
    this.#settle = null
    settle.resolve(this.#replies.splice(0))
  }

  #take(part: Buffer, isLast: boolean): void {
    this.#buffer = Buffer.concat([this.#buffer, part])
    if (isLast) this.#replies.push(this.#buffer)
    if (
      this.#buffer.length > loginReplyBytesMax ||
      this.#replies.length > (this.#settle?.count ?? 0)
    )
      throw new PontoonError('SERVER_PROTOCOL', `${this.#name} sends more than was asked for`)
    if (isLast) this.#buffer = noReply
  }

  #fail(error: Error): void {
    this.#failure ??= error
    const settle = this.#settle
    this.#settle = null
    settle?.reject(error)
  }
}
