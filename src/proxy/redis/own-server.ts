/**
 * A server that is one client's own: for the reply of a blocking command, from WATCH or MULTI to
 * EXEC, for as long as the client subscribes, or for its whole life (pool.mode pinned). It goes
 * back to the pool when its replies have shown that nothing of the client is left on it; whenever
 * that is in doubt it stays with the client and is closed when the client leaves.
 */
import type { Pool } from '../../net/pool.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import { PontoonError } from '../../shared/errors.ts'
import { unreachable } from '../../shared/assert.ts'
import { command } from '../../wire/redis/write.ts'
import { BlockingCommand } from './blocking-command.ts'
import { Handling, type CommandRecord } from './command-book.ts'
import { confirmation } from './confirmation.ts'
import { ConnectionSetup } from './connection-setup.ts'
import { OwnConnection } from './own-connection.ts'
import type { MadeOfServer } from './preparation.ts'
import { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'
import { StandInReader, StandIns } from './stand-ins.ts'
import { Subscriber } from './subscriber.ts'
import { Subscriptions } from './subscriptions.ts'
import { Traces } from './traces.ts'
import { TransactionState } from './transaction-state.ts'

const waits = /^wait(?:aof)?$/

/** Only their server can tell replies from what it says unasked. */
const uncountable = /^(?:monitor|p?sync)$/

/** client-commands.ts has them. */
const namesClients = /^client\|(?:tracking|getredir)$/

export class OwnServer {
  readonly relay: ServerRelay
  readonly reason: string
  readonly #session: Session
  readonly #pool: Pool<RedisServer>
  readonly #isPinned: boolean
  readonly #transaction = new TransactionState()
  readonly subscriber: Subscriber
  readonly #traces: Traces
  readonly #connection: OwnConnection
  readonly #standIns = new StandIns()
  /** The reply to an EXEC that has stand-ins, while it comes. */
  #execReply: StandInReader | null = null
  /** The large command whose bytes are passing. */
  #passing: CommandRecord | null = null
  readonly blocking: BlockingCommand
  /** A command is under way that the server may never answer. */
  #mayWait = false
  /** The reply that is withheld is the null of a recall. */
  #isRecalled = false
  #isHungUp = false
  /** Where the bytes begin that were taken and are not sent yet. */
  #takenFrom = 0

  /** `made`: what has been made of the server already for the client. */
  constructor(
    session: Session,
    server: RedisServer,
    pool: Pool<RedisServer>,
    reason: string,
    made: MadeOfServer = { setup: new ConnectionSetup(), subscriptions: new Subscriptions() },
  ) {
    this.#session = session
    this.#pool = pool
    this.reason = reason
    this.#isPinned = session.isPinned
    this.#traces = new Traces(made.setup)
    this.relay = new ServerRelay(session.context, server, (relay, error) =>
      this.#gone(relay, error),
    )
    this.relay.owner = session
    this.blocking = new BlockingCommand(session, this.relay)
    this.subscriber = new Subscriber(session, this.relay, made.subscriptions, this.#standIns)
    this.#connection = new OwnConnection({
      session,
      relay: this.relay,
      transaction: this.#transaction,
      traces: this.#traces,
      subscriber: this.subscriber,
      standIns: this.#standIns,
      sendInstead: (...what) => this.#sendInstead(...what),
    })
  }

  /** What of it can be made of another server. */
  get setup(): ConnectionSetup {
    return this.#traces.setup
  }

  /** In the middle of something that a pause lets end. */
  get mustFinish(): boolean {
    return this.#transaction.isOpen || this.#passing !== null
  }

  /** Its client may wait for what never comes. */
  get mayNeverEnd(): boolean {
    const { isRaw, owed } = this.relay
    return isRaw || (!this.subscriber.isCounting && owed.length === 0) || this.#mayWait
  }

  get isBusy(): boolean {
    return this.#transaction.isOpen
  }

  /** What a pause has to wait for, in the words of status. */
  get work(): string {
    if (this.#passing !== null) return 'large command'
    return this.#transaction.isOpen ? 'open transaction' : ''
  }

  /** All that is on it can be had on another server as well. */
  get canMove(): boolean {
    const { isOpen, isWatching } = this.#transaction
    const isBusy = isOpen || isWatching || this.#passing !== null || this.blocking.isUnderWay
    const { isCounting, subscriptions } = this.subscriber
    return !isBusy && !this.#traces.isSticky && isCounting && !subscriptions.isUnsure
  }

  /** Something of the client is on it, or may be. */
  get isKept(): boolean {
    const { isOpen, isWatching } = this.#transaction
    const { subscriptions } = this.subscriber
    const isMuted = this.#session.replies.isMuting || this.relay.owed.hasMuted
    const isHeld = isOpen || isWatching || this.#isPinned || isMuted
    return isHeld || subscriptions.size > 0 || this.#traces.isAny
  }

  /** Deals with some commands from `offset` on; gives the offset up to which it has come. */
  step(bytes: Buffer, offset: number, end: number): number {
    const { context } = this.#session
    const { framer } = this.#session.requests
    const now = context.clock.nowMs()
    let at = offset
    this.#takenFrom = offset
    while (at < end) {
      let next: number
      try {
        next = framer.next(bytes, at, end)
      } catch (thrown) {
        this.#forward(bytes, at)
        if (this.#saysWhatIsWrong) return this.#passOnBroken(bytes, at, end)
        return this.#session.requests.broken(thrown, offset, at)
      }
      if (next < 0) {
        this.#forward(bytes, at)
        return this.#unfinished(bytes, at, end)
      }
      let taken = this.#passing
      let measured: string | null = null
      this.#passing = null
      if (taken === null) {
        if (at > offset && !context.gate.isOpen && !this.#transaction.isOpen) {
          framer.reset()
          break
        }
        const found = this.#session.requests.recordAt(bytes, at, next)
        if (found === 'unbalanced') {
          this.#forward(bytes, at)
          if (this.#saysWhatIsWrong) return this.#passOnBroken(bytes, at, end)
          return this.#session.requests.instead(bytes, at, next)
        }
        taken = found
        if (taken !== null && !this.#accept(taken, bytes, at, next)) {
          this.#forward(bytes, at)
          return this.#session.requests.instead(bytes, at, next)
        }
        if (taken !== null) measured = context.watch.sample(taken, bytes, at, next)
      }
      if (taken !== null && this.subscriber.isCounting) {
        this.#session.replies.next()
        this.#session.expect(this.relay, taken, now)
        this.#session.replies.passed()
        if (measured !== null) this.relay.owed.measure(measured)
      }
      at = next
      if (taken !== null && this.subscriber.confirmation.isOf(taken)) {
        this.#forward(bytes, at)
        this.relay.server.transport.sendOwned(confirmation)
      }
    }
    this.#forward(bytes, at)
    return at
  }

  /** With what is no command: the server closes then. */
  get #saysWhatIsWrong(): boolean {
    return this.#isPinned || !this.subscriber.isCounting
  }

  /** What it owes comes first, since some of that may not be for the client. */
  #passOnBroken(bytes: Buffer, at: number, end: number): number {
    const session = this.#session
    session.requests.framer.reset()
    if (session.outstanding > 0) {
      session.drain()
      return at
    }
    this.#handOver(bytes, at)
    this.relay.isRaw ||= this.subscriber.isCounting
    this.#forward(bytes, end)
    return end
  }

  /** Whether the command may be sent now. If not, the session deals with it. */
  #accept(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (session.requests.framer.isInline && !this.#isPinned) return false
    // What HELLO, SELECT, RESET or EXEC change must be known before anything is sent behind it; behind
    // a command that may be recalled nothing is sent, or its reply would come too early.
    const isAwaited = this.#traces.isPending || this.#transaction.isAwaited
    const isPending = isAwaited || this.blocking.isAlone
    if ((isPending || this.subscriber.mustBeConfirmed) && session.outstanding > 0) {
      session.drain()
      return false
    }
    if (record.handling === Handling.Session)
      return this.#connection.accept(record, bytes, at, next)
    const listening = this.subscriber.accept(record, bytes, at, next)
    if (listening === true && !this.subscriber.isCounting) this.#mayWait ||= record.facts.blocking
    if (listening !== null) return listening
    if (this.relay.isRaw) return true
    // Who leaves must not be left waiting behind a MULTI that is refused, or behind a WAIT.
    const isBehindWait = this.#mayWait && !this.blocking.isUnderWay
    const isInDoubt = record.facts.blocking && (this.#transaction.isInDoubt || isBehindWait)
    if ((!this.isKept || isInDoubt) && session.outstanding > 0) {
      session.drain()
      return false
    }
    session.context.reads.noteOwn(record, bytes, at, next)
    switch (record.handling) {
      case Handling.Shared:
        if (this.isKept || next < 0) return true
        this.#release()
        session.requests.goOn()
        return false
      case Handling.Own:
        this.#noteBlocking(record, bytes, at, next)
        // WAIT counts the replicas that have what this connection wrote last. The writes were made over
        // a shared one; any command brings this one to the same place in the replication stream.
        if (!this.isKept && waits.test(record.name)) this.relay.ask(command('PING'))
        return true
      case Handling.Unknown:
        return true
      case Handling.Transaction:
        this.#transaction.sent(record.name)
        return true
      case Handling.Stream:
        return this.#acceptStream(record, bytes, at, next)
      default:
        return unreachable(record.handling)
    }
  }

  #noteBlocking(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    this.blocking.end()
    this.#mayWait = record.facts.blocking && !this.#transaction.isOpen
    if (!this.#mayWait || waits.test(record.name) || next < 0) return
    const copy = Buffer.from(bytes.subarray(at, next))
    const { ahead, instead } = this.blocking.begin(record, copy)
    if (ahead === null && instead === null) return
    this.#forward(bytes, at)
    for (const [request, answered] of ahead?.questions() ?? []) this.relay.ask(request, answered)
    if (instead !== null) this.#sendInstead(instead, bytes, at, next)
  }

  #sendInstead(request: Buffer, bytes: Buffer, at: number, next: number): void {
    this.#forward(bytes, at)
    this.relay.server.transport.sendOwned(request)
    this.#takenFrom = next
  }

  /**
   * Its client sends nothing more. Whether what is under way is answered at once or never only the
   * server can tell: in the second case it closes, with nothing behind that carried out.
   */
  hangUp(): void {
    this.#isHungUp = true
    const { server } = this.relay
    server.spoil()
    server.transport.endHalf()
  }

  /**
   * What the client is owed next is not for it: a confirmation, or the null of a recall; or not as
   * it is (passOn).
   */
  withholds(bytes: Buffer, start: number, end: number, isBegin: boolean, isLast: boolean): boolean {
    if (this.subscriber.confirmation.isDue) return true
    const { owed } = this.relay
    if (isBegin && this.#standIns.areOwed && owed.record.name === 'exec')
      this.#execReply = new StandInReader(this.#standIns, owed.isMuted, (said, from, to) =>
        this.#session.deliver(said, from, to),
      )
    if (this.#execReply !== null) return true
    const isRecalled = isBegin && isLast && this.blocking.withholds(bytes, start, end)
    this.#isRecalled ||= isRecalled
    // It is sent again, and muted again.
    if (isRecalled && owed.isMuted) this.#session.replies.take('skip')
    return isRecalled || owed.isMuted
  }

  /** A part of what is withheld: what of it is for the client all the same. */
  passOn(bytes: Buffer, start: number, end: number): void {
    this.#execReply?.pass(bytes, start, end)
  }

  /** It has come whole, as in replied(). A blocking command waits at the gate again. */
  withheld(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    const isRecalled = this.#isRecalled
    this.#isRecalled = false
    this.#execReply?.end()
    this.#execReply = null
    if (this.subscriber.confirmation.isDue) this.subscriber.confirmed(type)
    else if (isRecalled) {
      this.#mayWait = false
      this.blocking.putBack()
    } else this.replied(record, bytes, at, type)
  }

  #acceptStream(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (session.outstanding > 0) {
      session.drain()
      return false
    }
    const isOfReplies = record.name === 'client|reply' && this.subscriber.isCounting
    // They may name other clients, by ids that are ours.
    const isOurs = isOfReplies || (!this.#isPinned && namesClients.test(record.name))
    if (isOurs && !this.#transaction.isOpen) return false
    const isQueued = isOurs && next >= 0 && this.#connection.queue(record, bytes, at, next)
    if (isQueued && isOfReplies) return true
    const isSubscription = this.subscriber.isSubscription(record)
    if (uncountable.test(record.name)) this.#handOver(bytes, at)
    const isTold = isSubscription && !this.#transaction.isOpen
    if (!isTold) this.#traces.stick(record.name)
    if (this.#transaction.isOpen) {
      if (isSubscription) this.#transaction.subscribes()
    } else this.subscriber.begin(record, bytes, at, next)
    return true
  }

  /** What CLIENT REPLY has said is the server's business from now on. */
  #handOver(bytes: Buffer, at: number): void {
    if (this.#transaction.isOpen || !this.#session.replies.isMuting) return
    this.#forward(bytes, at)
    const mode = this.#session.replies.handOver()
    this.relay.server.transport.sendOwned(command('CLIENT', 'REPLY', mode))
  }

  /** False where an AUTH would be in the way: in a MULTI, a stream, or a command that passes. */
  logInAgain(request: Buffer): boolean {
    if (this.mustFinish || this.relay.isRaw || this.relay.listener !== null) return false
    this.relay.ask(request)
    return true
  }

  /** The command at `at` is not complete: small ones are held, of large ones the bytes pass. */
  #unfinished(bytes: Buffer, at: number, end: number): number {
    const session = this.#session
    const { framer } = session.requests
    if (this.#passing === null) {
      const { announcedBytes } = framer
      const record = session.requests.largeRecordAt(bytes, at)
      const isAccepted = record !== null && this.#accept(record, bytes, at, -1)
      if (!isAccepted) {
        framer.reset()
        // It is for us, and would have to be gathered.
        if (record !== null && session.state === 'ready')
          throw new PontoonError('CLIENT_PROTOCOL', `${record.name} is too large`)
        return at
      }
      this.#passing = record
      session.context.watch.big(record, bytes, at, end, announcedBytes)
    }
    this.#forward(bytes, end)
    return end
  }

  /** Sends what was taken of the bytes at hand, up to `end`. */
  #forward(bytes: Buffer, end: number): void {
    const start = this.#takenFrom
    if (end <= start) return
    this.#takenFrom = end
    this.#session.context.stats.bytesToServers += end - start
    this.relay.server.transport.send(bytes, start, end)
  }

  /**
   * Sends a command of the session's making and expects its reply for the client. `lasting` is what
   * has to be said to another server that takes its place, null for nothing.
   */
  sendFor(
    record: CommandRecord,
    request: Buffer,
    onSuccess: () => void,
    lasting: Buffer | null = request,
  ): void {
    const isHeard = this.subscriber.isCounting || record.name === 'reset'
    if (lasting !== null) this.#traces.asks(record.name, this.#transaction.isOpen ? null : lasting)
    if (isHeard) this.#traces.whenTaken(record, onSuccess)
    else onSuccess()
    const sent = isHeard ? this.subscriber.expect(record, request) : request
    this.relay.server.transport.sendOwned(sent)
  }

  /** A reply has come whole; it began at `at`, or in an earlier chunk (-1). */
  replied(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    // What it has popped, it has popped just now.
    if (record.isWrite && record.facts.blocking) this.#session.context.reads.noteExec()
    if (record.handling === Handling.Transaction) this.#transactionReplied(record, bytes, at, type)
    else if (record.handling === Handling.Unknown) {
      const isUnknownThere = at >= 0 && bytes.toString('latin1', at, at + 12) === '-ERR unknown'
      if (!isUnknownThere) this.#traces.stick('unknown command')
    } else this.#traces.replied(record, type)
    // What was sent ahead of a blocking command answers first; behind it nothing is sent.
    if (this.#session.outstanding > 0) return
    this.blocking.end()
    this.#mayWait = false
    this.#transaction.rest()
    if (!this.#transaction.isOpen) this.#standIns.clear()
  }

  #transactionReplied(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    const { name } = record
    const outcome = this.#transaction.replied(name, bytes, at, type, this.#session.version)
    // Whatever state it is in now, nobody else gets it.
    if (outcome === 'refused') this.#traces.stick(`error of ${name}`)
    if (name === 'exec' || name === 'discard') this.#session.context.reads.noteExec()
    if (outcome === 'uncounted') this.subscriber.beginAtExec()
    else if (outcome === 'unconfirmed') this.#confirm(record)
  }

  /** Of an EXEC: all that it subscribes to has come, and which version is spoken. */
  #confirm(record: CommandRecord): void {
    const session = this.#session
    this.subscriber.confirmation.begin(record)
    this.relay.owed.push(session, record, session.context.clock.nowMs())
    session.outstanding += 1
    this.relay.server.transport.sendOwned(confirmation)
  }

  /** Nothing is owed to the client: the server goes back if nothing of the client is on it. */
  settled(): void {
    if (!this.isKept) this.#release()
  }

  #release(): void {
    const { server } = this.relay
    this.#session.own = null
    this.relay.owner = null
    this.relay.listener = null
    // What is still to come is not for the next client, nor to end what that one waits for.
    if (this.relay.owed.length > 0 || this.blocking.isBeingEnded) server.spoil()
    server.rest()
    this.#pool.give(server)
  }

  /** The client has left, or has reset itself: the server is closed behind what was sent. */
  abandon(): void {
    this.#session.own = null
    this.#discard()
  }

  /** Its client goes elsewhere: calls back when it has had everything that it had to say. */
  leave(left: () => void): void {
    this.relay.leave(() => {
      this.#discard()
      left()
    })
  }

  #discard(): void {
    this.blocking.end()
    const { server } = this.relay
    this.relay.owner = null
    server.spoil()
    server.rest()
    if (server.transport.isClosed) this.#pool.lost(server)
    else this.#pool.give(server)
  }

  #gone(relay: ServerRelay, error: PontoonError): void {
    this.#pool.lost(relay.server)
    this.blocking.end()
    if (relay.owner === null) return
    relay.owner = null
    const { relocation } = this.#session
    if (relocation !== null && !relay.isInsideReply) {
      relocation.oldIsGone()
      return
    }
    this.#session.own = null
    // Behind half a command nothing can be taken for the beginning of another.
    const wasHeld = this.isKept || this.#passing !== null || this.#isHungUp
    this.#session.ownLost(error, wasHeld, relay.isInsideReply)
  }
}
