/**
 * One logged-in session on a side, shared by clients one after the other. It knows what the
 * server still owes (wire/pg/reply-queue.ts), which statements it has prepared, which settings
 * differ from its defaults, and what it has reported; proxy/pg decides what to do with that.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../../shared/clock.ts'
import type { Side } from '../../shared/side.ts'
import { ReplyQueue } from '../../wire/pg/reply-queue.ts'
import { cancelRequest, terminateMessage } from '../../wire/pg/write.ts'
import { txStatus } from '../../wire/pg/protocol.ts'
import type { Endpoint } from '../address.ts'
import type { FlushQueue } from '../flush-queue.ts'
import type { Poolable } from '../pool-rules.ts'
import { askServer } from './ask.ts'
import type { PreparedHere, StatementTag } from './prepared.ts'
import type { ReportedIntern } from './reported.ts'
import type { ServerTls } from '../tls.ts'
import { Transport, type TransportHandler } from '../transport.ts'
import { connectSide } from './connect.ts'
import type { LoggedIn } from './login.ts'

export interface ServerOrigin {
  readonly side: Side
  readonly endpoint: Endpoint
  /** As it is now: what the server was opened with may be out of date at a cancel request. */
  readonly tls: (side: Side) => ServerTls
  readonly clock: Clock
  readonly flushes: FlushQueue
  readonly reportedIntern: ReportedIntern
  /** Handles the bytes while no client is linked, and is told when the server is gone. */
  readonly idleHandler: (server: PgServer) => TransportHandler
}

/** Whose a statement is when nobody knows. */
const somebody = {}

export class PgServer implements Poolable {
  readonly side: Side
  readonly pid: number
  readonly secret: Buffer
  readonly openedAtMs: number
  readonly isOverSpare: boolean
  /** Address of its host; null over a Unix socket. */
  readonly address: string | null
  /** Port of our end, as the server sees it where nothing rewrites addresses; null as above. */
  readonly localPort: number | null
  /** Which postmaster it belongs to (postmaster.ts); null until it was asked. */
  postmaster: string | null = null
  readonly transport: Transport
  readonly replies = new ReplyQueue<StatementTag>()
  /** ParameterStatus values as last reported; replaced, never altered. */
  reported: ReadonlyMap<string, string>
  /** NoticeResponses of the login, for the first client in session mode. */
  readonly loginNotices: readonly Buffer[]
  /** Ids of statements prepared here, least recently used first. */
  readonly prepared = new Map<number, PreparedHere>()
  /** Id of the last entry of `prepared`. */
  youngestPrepared = 0
  /** The owner of the unnamed statement, or null when nobody's is there. */
  unnamedOwner: object | null = null
  /** It has refused something: what it then ignored may have been to take that statement away. */
  hasRefused = false
  /** Canonical text of the session settings applied here ('' = the role's defaults). */
  settingsKey = ''
  settings: ReadonlyMap<string, string> = new Map()
  /** No client has worked on it: what it refuses is not for what ran there before. */
  isFresh = true
  /** Which link was the last, in the count of its database. */
  lastLink = 0
  /** Transaction status of the last ReadyForQuery. */
  status: number = txStatus.idle
  /** An extended batch was begun and its Sync has not been sent. */
  batchOpen = false
  /** The server reads COPY data: a Sync is ignored until CopyDone or CopyFail. */
  copyIn = false
  /** Cancel requests under way for it; it serves nobody else until they are done. */
  cancelsInFlight = 0
  /** Those among them that no client has sent. */
  ownCancelsInFlight = 0
  idleSinceMs = 0
  /** False when it may carry state that cannot be undone. */
  #clean = true
  readonly #origin: ServerOrigin
  #afterCancels: (() => void) | null = null

  constructor(loggedIn: LoggedIn, origin: ServerOrigin) {
    this.#origin = origin
    this.side = origin.side
    this.pid = loggedIn.pid
    this.secret = loggedIn.secret
    this.isOverSpare = loggedIn.isOverSpare
    this.reported = origin.reportedIntern.get(loggedIn.reported)
    this.loginNotices = loggedIn.notices
    this.address = loggedIn.socket.remoteAddress ?? null
    this.localPort = loggedIn.socket.localPort ?? null
    this.openedAtMs = origin.clock.nowMs()
    this.transport = new Transport(
      loggedIn.socket,
      origin.flushes,
      origin.idleHandler(this),
    ).startReading()
  }

  get isUsable(): boolean {
    // One that the server has half closed takes nothing any more.
    return this.#clean && this.transport.isOpen
  }

  /** Nothing is owed and no transaction is open: it may serve somebody else. */
  get isAtRest(): boolean {
    return (
      this.replies.length === 0 &&
      this.status === txStatus.idle &&
      !this.batchOpen &&
      !this.copyIn &&
      !this.replies.isSkipping
    )
  }

  /** It carries state of a client that cannot be undone: it is closed at its release. */
  spoil(): void {
    this.#clean = false
  }

  /** A ParameterStatus came. */
  report(name: string, value: string): void {
    if (this.reported.get(name) === value) return
    this.reported = this.#origin.reportedIntern.get(new Map(this.reported).set(name, value))
  }

  /** Plans are out of date: whoever uses one next that was parsed after `since` has it parsed anew. */
  doubtStatements(since = 0): void {
    for (const here of this.prepared.values()) if (here.seq > since) here.seq = 0
  }

  /** All statements are gone (DISCARD ALL, DEALLOCATE ALL). */
  forgetStatements(): void {
    this.prepared.clear()
    this.youngestPrepared = 0
    this.unnamedOwner = null
  }

  /** Runs `then` once no cancel request can hit this server any more. */
  afterCancels(then: () => void): void {
    if (this.cancelsInFlight === 0) then()
    else this.#afterCancels = then
  }

  /** The handler between two clients. */
  rest(): void {
    if (this.hasRefused) this.unnamedOwner ??= somebody
    this.hasRefused = false
    this.transport.handler = this.#origin.idleHandler(this)
    this.transport.resumeReading()
  }

  async probe(timeoutMs: number): Promise<void> {
    await askServer(this, '', timeoutMs)
  }

  close(): void {
    this.#clean = false
    this.transport.sendOwned(terminateMessage)
    this.transport.end()
  }

  /**
   * Asks the server to cancel what runs, over a connection of its own, and settles when the
   * server has closed that connection: only then is the request delivered. Encrypted as the
   * session itself. A server that gave no key cannot be asked. `own`: no client has asked for it.
   */
  async cancel(timeoutMs: number, own = false): Promise<void> {
    if (this.secret.length === 0) return
    this.cancelsInFlight += 1
    if (own) this.ownCancelsInFlight += 1
    const deadlineMs = performance.now() + timeoutMs
    let socket: Socket | null = null
    try {
      const { endpoint, tls } = this.#origin
      const connected = await connectSide(endpoint, tls(this.side), timeoutMs)
      socket = connected.socket
      const leftMs = Math.max(1, deadlineMs - performance.now())
      await deliver(socket, cancelRequest(this.pid, this.secret), leftMs)
    } finally {
      socket?.destroy()
      this.cancelsInFlight -= 1
      if (own) this.ownCancelsInFlight -= 1
      if (this.cancelsInFlight === 0) {
        const then = this.#afterCancels
        this.#afterCancels = null
        then?.()
      }
    }
  }
}

/** Sends the last words of a connection and settles when the peer has closed it, or too late. */
function deliver(socket: Socket, bytes: Buffer, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs)
    socket.on('error', () => undefined)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.resume()
    socket.end(bytes)
  })
}
