/**
 * One client's life. The hot path of a command that leaves no trace on its connection:
 *
 *   client bytes → CommandFramer → CommandBook → ServerRelay.owed + BatchWriter → server
 *   server bytes → ServerRelay (ReplyFramer, owed) → Session.deliver → client
 *
 * Replies come in the order of commands because a client uses one server at a time: it changes to
 * another only when nothing is owed to it. What needs a server of its own is in own-server.ts,
 * what is about the client's connection in session-commands.ts. States and their legal moves are
 * in `sessionMoves`.
 */
import type { Transport, TransportHandler } from '../../net/transport.ts'
import type { RespVersion } from '../../net/redis/login.ts'
import { assert } from '../../shared/assert.ts'
import { PontoonError } from '../../shared/errors.ts'
import { readArgument } from '../../wire/redis/arguments.ts'
import { countIn, type ClientSnapshot, type ClientState } from '../service.ts'
import type { CommandRecord } from './command-book.ts'
import type { RedisContext } from './context.ts'
import { redisError } from './errors.ts'
import { unreadBytesMax } from './limits.ts'
import type { OwnServer } from './own-server.ts'
import { Relocation } from './relocation.ts'
import type { SideGroups } from './server-group.ts'
import type { ServerRelay } from './server-relay.ts'
import { ReplyMode } from './reply-mode.ts'
import { Requests } from './requests.ts'
import { ServerWait } from './server-wait.ts'
import { SessionCommands } from './session-commands.ts'

/**
 * ready: its next command can be looked at. draining: the next command waits until nothing is
 * owed. parked: waits for the gate. waiting: queues for a server. closed: gone.
 */
export type SessionState = 'ready' | 'draining' | 'parked' | 'waiting' | 'closed'

export const sessionMoves: Readonly<Record<SessionState, readonly SessionState[]>> = {
  ready: ['draining', 'parked', 'waiting', 'closed'],
  draining: ['ready', 'closed'],
  parked: ['ready', 'closed'],
  waiting: ['ready', 'closed'],
  closed: [],
}

export class Session implements TransportHandler {
  readonly context: RedisContext
  readonly id: number
  readonly address: string
  client: Transport
  readonly requests: Requests
  readonly commands: SessionCommands
  readonly replies = new ReplyMode()
  /** Null until the client has said who it is, where it has to. */
  user: string | null
  database = 0
  version: RespVersion = 2
  name = ''
  libraryName = ''
  libraryVersion = ''
  /** Replies that it still has to get. */
  outstanding = 0
  /** The shared server of the replies outstanding, or of the last ones. */
  upstream: ServerRelay | null = null
  own: OwnServer | null = null
  /** Follows the primary side. */
  relocation: Relocation | null = null
  groups: SideGroups
  readonly openedAtMs: number
  lastCommandMs: number
  lastRecord: CommandRecord | null = null
  congestedSinceMs: number | null = null
  /** The shared server that does not read, for which its client is not read. */
  congestedBy: ServerRelay | null = null
  /** The server whose replies it keeps back until its client reads again. */
  #heldUp: ServerRelay | null = null
  /** Since when it does so again and again; until it has all its replies. */
  #holdsUpSinceMs: number | null = null
  #unreadBytes = 0
  #hasEnded = false
  #state: SessionState = 'ready'
  #stateSinceMs: number
  readonly #wait: ServerWait

  constructor(context: RedisContext, id: number, client: Transport, address: string) {
    this.context = context
    this.id = id
    this.client = client
    this.address = address
    this.openedAtMs = context.clock.nowMs()
    this.lastCommandMs = this.openedAtMs
    this.#stateSinceMs = this.openedAtMs
    this.requests = new Requests(this)
    this.commands = new SessionCommands(this)
    this.#wait = new ServerWait(this)
    this.user = context.config.clientAuth.mode === 'password' ? null : ''
    this.groups = context.groups.of('', 0, this.isPinned ? null : 2)
    client.handler = this
  }

  /** Its client turned out to speak TLS, before it had said anything. */
  secure(client: Transport): void {
    assert(this.lastRecord === null && !this.requests.isUnderWay, 'it has said nothing')
    this.client = client
    client.handler = this
  }

  /** It sends nothing more. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get isPinned(): boolean {
    return this.context.config.pool.mode === 'pinned'
  }

  get state(): SessionState {
    return this.#state
  }

  get stateSinceMs(): number {
    return this.#stateSinceMs
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** Nothing of it is under way: the gate may count it as drained. */
  get isAtRest(): boolean {
    return this.outstanding === 0 && this.own?.mustFinish !== true
  }

  /** Its servers changed kind: another user, database or version. */
  chooseGroups(): void {
    this.groups = this.context.groups.of(
      this.user ?? '',
      this.isPinned ? 0 : this.database,
      this.isPinned ? null : this.version,
    )
    this.upstream = null
  }

  onBytes(bytes: Buffer, end: number): void {
    this.context.stats.bytesFromClients += end
    this.requests.receive(bytes, end)
  }

  resume(): void {
    this.requests.resume()
    this.#leaveIfDone()
  }

  /** The record of the subcommand, for a container such as CONFIG. */
  resolve(found: CommandRecord, bytes: Buffer, start: number, end: number): CommandRecord {
    if (found.subcommands === undefined) return found
    const word = readArgument(bytes, start, end, 1)
    if (word === null) return found
    return found.subcommands.find(word, 0, word.length) ?? this.context.book.unknown
  }

  sharedServer(): ServerRelay | null {
    const { upstream } = this
    if (this.outstanding > 0) return upstream
    const { primary } = this.context.route
    const isFit = upstream !== null && upstream.isOpen && !upstream.isLong
    if (isFit && upstream.server.side === primary) return upstream
    return this.groups[primary].pick()
  }

  /** With reads shifted: the server of the side that this command goes to. */
  relayFor(record: CommandRecord, bytes: Buffer, start: number, end: number): ServerRelay | null {
    const { reads, route } = this.context
    const side = reads.sideOf(record, bytes, start, end)
    const group = this.groups[side]
    const { upstream } = this
    const isFit = upstream !== null && upstream.isOpen && !upstream.isLong
    if (isFit && upstream.server.side === side) return upstream
    if (side === route.primary) return group.pick()
    // A side that has no server at hand delays no read.
    const relay = group.isDown ? null : group.pick()
    if (relay === null && !group.isDown) group.warmUp()
    return relay ?? this.groups[route.primary].pick()
  }

  /** A shared server to ask now; null while one is waited for. */
  serverAtHand(): ServerRelay | null {
    const relay = this.sharedServer()
    if (relay === null) this.#wait.forShared(this.groups[this.context.route.primary])
    return relay
  }

  /** Sends a command of Pontoon's making; false while it waits for a server. */
  sendShared(record: CommandRecord, request: Buffer): boolean {
    if (this.own === null) return this.requests.sendOne(record, request, 0, request.length) > 0
    this.own.sendFor(record, request, () => undefined)
    return true
  }

  park(): void {
    this.#wait.park()
  }

  /** The gate was shut: a command that blocks, or waits for a server, is to wait there instead. */
  toGate(): void {
    this.own?.blocking.recall()
    if (this.#state !== 'waiting') return
    this.#wait.leave()
    this.resume()
  }

  /** It would follow the primary side with all that it has on a server of its own. */
  get canFollow(): boolean {
    const { own } = this
    if (own === null || !own.canMove) return own === null
    const { subscribers, ...config } = this.context.config
    // The nodes of a cluster tell each other of messages, and nobody when that is done.
    const isSafe = subscribers === 'move' && !config[own.relay.server.side].cluster
    return isSafe || own.subscriber.subscriptions.size === 0
  }

  /**
   * The primary side is another one than that of its own server. At its next rest the client gets a
   * server there, with its subscriptions. What else its own holds of it (a WATCH, tracking) cannot
   * come along: then it is closed, and comes back to the new side. A transaction or large command
   * that is not whole would still be written to the old one and ends at once. True when it was closed.
   */
  followRoute(): boolean {
    const { own } = this
    if (own === null) return false
    if (own.relay.server.side === this.context.route.primary) {
      this.relocation?.movedBack()
      return false
    }
    if (this.relocation !== null || (this.outstanding > 0 && !own.mustFinish)) return false
    if (this.canFollow) {
      this.relocation = new Relocation(this, own)
      this.context.relocations.begin(this.relocation)
      return false
    }
    const words = `the primary side has changed, this connection was held by ${own.reason}`
    this.fail(new PontoonError('SIDE_LEFT', words))
    return true
  }

  /** It has another server now, or none. */
  relocated(): void {
    this.relocation = null
    this.#letGo()
  }

  waitFor(event: Promise<void>): void {
    this.#wait.forEvent(event)
  }

  waitForShared(): void {
    this.#wait.forShared(this.groups[this.context.route.primary])
  }

  /** `reason` is what status shows. */
  takeOwn(reason: string): void {
    if (this.#wait.forOwn(this.isPinned ? 'pinned' : reason)) this.requests.goOn()
  }

  /** A reply is owed to it from now on. */
  expect(relay: ServerRelay, record: CommandRecord, nowMs: number): void {
    record.calls += 1
    relay.owed.push(this, record, nowMs)
    if (this.replies.isMute) relay.owed.mute()
    if (this.outstanding === 0) this.context.activeCount += 1
    this.outstanding += 1
    this.lastRecord = record
    this.lastCommandMs = nowMs
  }

  drain(): void {
    this.move('draining')
  }

  /** No server is to be had for the next command: that one fails, the client stays. */
  refuseNext(error: PontoonError): void {
    if (this.isClosed) return
    countIn(this.context.stats.ownErrors, error.code)
    this.commands.begin()
    // Who logs in to the side itself hears what that says of it.
    this.answer(redisError(error, this.context.config.clientAuth.mode === 'passthrough'))
    this.commands.undo()
    const isOver = this.isPinned || error.code === 'SHUTTING_DOWN' || this.client.isClosed
    if (isOver || !this.requests.skipFirst()) this.close()
    else this.resume()
    this.#leaveIfDone()
  }

  /** The reply to the command at hand comes from Pontoon. */
  answer(reply: Buffer): void {
    if (this.replies.isMute || this.own?.subscriber.answer(() => reply) === true) return
    this.client.sendOwned(reply)
  }

  /** A slice of replies for the client. */
  deliver(bytes: Buffer, start: number, end: number): void {
    if (this.#state === 'closed' || end === start) return
    this.context.stats.bytesToClients += end - start
    this.client.send(bytes, start, end)
    if (this.congestedSinceMs === null) return
    this.#unreadBytes += end - start
    if (this.#unreadBytes > unreadBytesMax) this.#holdUp(this.own?.relay ?? this.upstream)
  }

  #holdUp(relay: ServerRelay | null): void {
    if (relay === null) return
    if (relay !== this.#heldUp) this.#letGo()
    this.#heldUp = relay
    this.#holdsUpSinceMs ??= this.context.clock.nowMs()
    relay.holdUp()
  }

  /** How long others have waited behind its replies because it reads slowly; milliseconds. */
  holdsUpOthersMs(nowMs: number): number {
    const { upstream } = this
    if (this.#holdsUpSinceMs === null || this.own !== null || upstream === null) return 0
    return upstream.owed.length > this.outstanding ? nowMs - this.#holdsUpSinceMs : 0
  }

  #letGo(): void {
    const relay = this.#heldUp
    this.#heldUp = null
    relay?.goOn()
  }

  /** The last reply that was owed has been delivered. */
  settled(record: CommandRecord, tookMs: number): void {
    const { context } = this
    const side = (this.own?.relay ?? this.upstream)?.server.side ?? context.route.primary
    context.activeCount -= 1
    this.#holdsUpSinceMs = null
    context.stats.query[side][record.isRead ? 'read' : 'write'].observe(tookMs / 1_000)
    if (this.own !== null) this.own.settled()
    if (this.followRoute()) return
    context.settled()
    if (this.#state === 'draining') this.move('ready')
    this.resume()
    this.#leaveIfDone()
  }

  /** The server of `count` replies is gone; their fate is unknown. */
  serverLost(count: number, error: PontoonError, isInsideReply: boolean): void {
    this.upstream = null
    if (this.outstanding > 0 && this.outstanding === count) this.context.activeCount -= 1
    this.outstanding -= count
    if (this.isClosed) return
    countIn(this.context.stats.ownErrors, error.code)
    if (isInsideReply) return this.client.destroy(error)
    for (let left = count; left > 0; left -= 1) this.client.sendOwned(redisError(error))
    this.context.settled()
    if (this.#state === 'draining' && this.outstanding === 0) {
      this.move('ready')
      this.resume()
    }
    this.readOn()
    this.#leaveIfDone()
  }

  /** Its own server is gone, with whatever state of the client it held. */
  ownLost(error: PontoonError, wasHeld: boolean, isInsideReply: boolean): void {
    if (!wasHeld) {
      this.serverLost(this.outstanding, error, isInsideReply)
      return
    }
    // As without Pontoon: the connection that had the state is closed.
    if (this.outstanding > 0) this.context.activeCount -= 1
    this.outstanding = 0
    this.close()
  }

  onCongested(): void {
    this.congestedSinceMs = this.context.clock.nowMs()
    this.#unreadBytes = 0
    this.client.pauseReading()
    if (this.own !== null) this.#holdUp(this.own.relay)
  }

  onDrained(): void {
    this.congestedSinceMs = null
    this.#letGo()
    this.readOn()
  }

  /** Its client is read again, unless something still speaks against it. */
  readOn(): void {
    const isHeldUp = this.congestedBy !== null || this.own?.relay.isCongested === true
    if (!isHeldUp && !this.client.isCongested && !this.requests.isFull) this.client.resumeReading()
  }

  /** It sends nothing more. What it has asked for is still answered, unless that would never end. */
  onEnded(): void {
    this.#hasEnded = true
    this.resume()
  }

  /** Also when what it had to wait for has come after it ended. */
  #leaveIfDone(): void {
    if (!this.#hasEnded || this.requests.isConsuming) return
    if (this.own?.mayNeverEnd === true) this.#hangUp(this.own)
    else if (this.#state === 'ready' && this.outstanding === 0) this.close()
  }

  /** What is held behind a command that may block goes along where the state of its server matters. */
  #hangUp(own: OwnServer): void {
    if (this.#state === 'draining' && own.isKept) {
      if (own.blocking.giveUp()) return
      this.move('ready')
      this.requests.resume()
    }
    own.hangUp()
  }

  /** It hears nothing more. What waits to be carried out is, as when it has only ended. */
  onClosed(): void {
    this.congestedSinceMs = null
    this.#letGo()
    if (this.requests.isUnderWay) this.onEnded()
    else this.close()
  }

  /** An error of our own ends the session: the client is told, then closed. */
  fail(error: PontoonError): void {
    if (this.isClosed) return
    countIn(this.context.stats.ownErrors, error.code)
    // In the middle of replies it would be taken for one of those, and one that asked for nothing
    // expects none: ioredis takes an error out of turn for a broken connection and throws.
    if (this.outstanding === 0 && this.requests.isUnderWay) this.client.sendOwned(redisError(error))
    this.close()
  }

  close(): void {
    if (this.isClosed) return
    // What a shared server still owes is under way until it has answered.
    if (this.own !== null && this.outstanding > 0) {
      this.context.activeCount -= 1
      this.outstanding = 0
    }
    this.#wait.leave()
    this.move('closed')
    this.requests.clear()
    this.relocation?.cancel()
    this.own?.abandon()
    this.#letGo()
    this.client.end()
    this.context.left(this)
  }

  get ageSeconds(): number {
    return Math.floor((this.context.clock.nowMs() - this.openedAtMs) / 1_000)
  }

  get idleSeconds(): number {
    return Math.floor((this.context.clock.nowMs() - this.lastCommandMs) / 1_000)
  }

  get localAddress(): string {
    const { localAddress, localPort } = this.client.socket
    return localAddress === undefined ? '' : `${localAddress}:${localPort}`
  }

  clientState(): ClientState {
    if (this.#state === 'parked' || this.#state === 'waiting') return this.#state
    if (this.outstanding > 0) return 'active'
    return this.own === null ? 'idle' : 'pinned'
  }

  get pinReason(): string {
    return this.own?.reason ?? ''
  }

  snapshot(nowMs: number): ClientSnapshot {
    const server = this.own?.relay.server
    return {
      id: this.id,
      user: this.user ?? '',
      database: String(this.database),
      applicationName: this.name,
      address: this.address,
      state: this.clientState(),
      side: server?.side ?? null,
      serverPid: typeof server?.clientId === 'string' ? Number(server.clientId) : null,
      pinReason: this.pinReason,
      stateAgeMs: nowMs - this.#stateSinceMs,
      work: this.outstanding > 0 ? (this.lastRecord?.name ?? '') : (this.own?.work ?? ''),
      workAgeMs: nowMs - this.lastCommandMs,
    }
  }

  move(to: SessionState): void {
    assert(sessionMoves[this.#state].includes(to), `a session moves from ${this.#state} to ${to}`)
    this.#state = to
    this.#stateSinceMs = this.context.clock.nowMs()
  }
}
