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
import { marker, minus } from '../../wire/redis/protocol.ts'
import { splitInline } from '../../wire/redis/arguments.ts'
import { command } from '../../wire/redis/write.ts'
import { BlockingCommand } from './blocking-command.ts'
import { Handling, type CommandRecord } from './command-book.ts'
import { ServerRelay } from './server-relay.ts'
import { heldCommandBytesMax } from './limits.ts'
import type { Session } from './session.ts'
import { TransactionState } from './transaction-state.ts'

/** Their replies are pushes in RESP3, and one per channel in RESP2. */
const subscriptions = /^[ps]?(?:un)?subscribe$/

/**
 * Sent behind each of them in RESP3, where the server answers with pushes or with an error: the reply
 * to it, which no ACL forbids, says that all of that has come.
 */
const confirmation = command('HELLO')

/** The beginning of the answer to it. */
const confirmed = /^%\d+\r\n\$6\r\nserver\r\n/
const confirmedBytes = '%7\r\n$6\r\nserver\r\n'.length

const waits = /^wait(?:aof)?$/

/** client-commands.ts has them. */
const namesClients = /^client\|(?:tracking|getredir)$/

/** After these the server speaks unasked, or does not answer, in a way that no framing follows. */
const rawInAnyVersion = /^(?:monitor|p?sync|client\|reply)$/

export class OwnServer {
  readonly relay: ServerRelay
  readonly reason: string
  readonly #session: Session
  readonly #pool: Pool<RedisServer>
  readonly #isPinned: boolean
  readonly #transaction = new TransactionState()
  /** With EXEC its subscriptions begin to speak. */
  #subscribesAtExec = false
  /** That EXEC was sent: what it says must be known before anything is sent behind it. */
  #isSubscribing = false
  /** Why it stays with the client, '' when it need not. */
  #sticky: string
  /** The large command whose bytes are passing. */
  #passing: CommandRecord | null = null
  readonly #blocking: BlockingCommand
  /** A command is under way that the server may never answer. */
  #mayWait = false
  /** The subscription whose confirmation is owed; the session counts it as one reply. */
  #confirming: CommandRecord | null = null
  #isRefused = false
  /** Where the bytes begin that were taken and are not sent yet. */
  #takenFrom = 0
  /** What SELECT or HELLO asked for, once it succeeds. */
  #onSuccess: { readonly of: CommandRecord; run(): void } | null = null

  constructor(session: Session, server: RedisServer, pool: Pool<RedisServer>, reason: string) {
    this.#session = session
    this.#pool = pool
    this.reason = reason
    this.#isPinned = session.isPinned
    this.#sticky = this.#isPinned ? 'pinned' : ''
    this.relay = new ServerRelay(session.context, server, (relay, error) =>
      this.#gone(relay, error),
    )
    this.relay.owner = session
    this.#blocking = new BlockingCommand(session, this.relay)
  }

  /** In the middle of something that a pause lets end. */
  get mustFinish(): boolean {
    return this.#transaction.isOpen || this.#passing !== null
  }

  /** Its client may wait for what never comes. */
  get mayNeverEnd(): boolean {
    return this.relay.isRaw || this.#mayWait
  }

  get isBusy(): boolean {
    return this.#transaction.isOpen
  }

  /** Something of the client is on it, or may be. */
  get isKept(): boolean {
    return this.#isHeld
  }

  get #isHeld(): boolean {
    return this.#transaction.isOpen || this.#transaction.isWatching || this.#sticky !== ''
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
        if (!this.#isPinned) {
          this.#forward(bytes, at)
          return this.#session.requests.broken(thrown, offset, at)
        }
        // The server says itself what is wrong, and closes.
        this.relay.isRaw = true
        framer.reset()
        this.#forward(bytes, end)
        return end
      }
      if (next < 0) {
        this.#forward(bytes, at)
        return this.#unfinished(bytes, at, end)
      }
      let taken = this.#passing
      this.#passing = null
      if (taken === null) {
        if (at > offset && !context.gate.isOpen && !this.#transaction.isOpen) {
          framer.reset()
          break
        }
        taken = this.#recordAt(bytes, at, next)
        if (taken !== null && !this.#accept(taken, bytes, at, next)) {
          this.#forward(bytes, at)
          return this.#session.requests.instead(bytes, at, next)
        }
      }
      if (taken !== null && !this.relay.isRaw) this.#session.expect(this.relay, taken, now)
      at = next
      if (taken === this.#confirming && taken !== null) {
        this.#forward(bytes, at)
        this.relay.server.transport.sendOwned(confirmation)
      }
    }
    this.#forward(bytes, at)
    return at
  }

  /** Null for what is no command: an empty line, or no arguments. */
  #recordAt(bytes: Buffer, at: number, next: number): CommandRecord | null {
    const { context } = this.#session
    const { framer } = this.#session.requests
    if (framer.isInline) {
      const words = splitInline(bytes.subarray(at, next))
      // The server says itself what is wrong with its quotes, and closes.
      if (words === null && this.#isPinned) this.relay.isRaw = true
      const [name, subcommand] = words ?? []
      if (name === undefined) return null
      const found = context.book.find(name, 0, name.length)
      if (subcommand === undefined) return found
      return found.subcommands?.find(subcommand, 0, subcommand.length) ?? found
    }
    if (framer.argumentCount === 0) return null
    const nameAt = at + framer.nameStart
    const found = context.book.find(bytes, nameAt, nameAt + framer.nameLength)
    return this.#session.resolve(found, bytes, at, next)
  }

  /** Whether the command may be sent now. If not, the session deals with it. */
  #accept(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (session.requests.framer.isInline && !this.#isPinned) return false
    if (record.handling === Handling.Session) return this.#acceptSession(record, bytes, at, next)
    if (this.relay.isRaw) return true
    // Behind one that may be recalled nothing is sent, or its reply would come too early.
    const isLast = this.#blocking.isUnderWay || this.#isSubscribing
    if ((!this.#isHeld || isLast) && session.outstanding > 0) {
      session.drain()
      return false
    }
    session.context.reads.noteOwn(record, bytes, at, next)
    switch (record.handling) {
      case Handling.Shared:
        if (this.#isHeld || next < 0) return true
        this.#release()
        session.requests.goOn()
        return false
      case Handling.Own:
        this.#noteBlocking(record, bytes, at, next)
        if (!this.#isHeld && waits.test(record.name)) this.#catchUp()
        return true
      case Handling.Unknown:
        return true
      case Handling.Transaction:
        this.#transaction.sent(record.name)
        this.#isSubscribing = record.name === 'exec' && this.#subscribesAtExec
        return true
      case Handling.Stream:
        return this.#acceptStream(record)
      default:
        return unreachable(record.handling)
    }
  }

  #noteBlocking(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    this.#blocking.end()
    this.#mayWait = record.facts.blocking && !this.#transaction.isOpen
    if (!this.#mayWait || waits.test(record.name) || next < 0) return
    const ahead = this.#blocking.begin(record.name, Buffer.from(bytes.subarray(at, next)))
    if (ahead === null) return
    this.#forward(bytes, at)
    for (const [request, answered] of ahead.questions()) this.relay.ask(request, answered)
  }

  /** A pause is to end what may wait for ever. */
  recall(): void {
    this.#blocking.recall()
  }

  /**
   * What begins at `start` comes ahead of a confirmation: the error of a subscription, or what
   * subscriptions say beyond the length that the reply to their EXEC has announced.
   */
  isAheadOfConfirmation(type: number, bytes: Buffer, start: number, end: number): boolean {
    const record = this.#confirming
    if (record === null) return false
    if (record.name === 'exec') {
      if (type !== marker.map) return true
      const isShort = end - start < confirmedBytes
      return !isShort && !confirmed.test(bytes.toString('latin1', start, start + confirmedBytes))
    }
    if (this.#isRefused) return false
    this.#isRefused = type === marker.error || type === marker.bulkError
    if (this.#isRefused) record.errors += 1
    return this.#isRefused
  }

  /** What the client is owed next is not for it: a confirmation, or the null of a recall. */
  withholds(bytes: Buffer, start: number, end: number, isBegin: boolean): boolean {
    if (this.#confirming !== null) return true
    return isBegin && end >= 0 && this.#blocking.withholds(bytes, start, end)
  }

  /** It has come whole. A blocking command waits at the gate again. */
  withheld(): void {
    if (this.#confirming !== null) {
      this.#confirming = null
      this.#isRefused = false
      return
    }
    this.#mayWait = false
    this.#blocking.putBack()
  }

  #acceptStream(record: CommandRecord): boolean {
    const session = this.#session
    if (session.outstanding > 0) {
      session.drain()
      return false
    }
    // They may name other clients, by ids that are ours.
    if (namesClients.test(record.name) && !this.#isPinned && !this.#transaction.isOpen) return false
    if (this.#sticky === '') this.#sticky = record.name
    const isSubscription = subscriptions.test(record.name)
    if (this.#transaction.isOpen) {
      this.#subscribesAtExec ||= isSubscription
      return true
    }
    this.relay.isRaw =
      rawInAnyVersion.test(record.name) || (isSubscription && session.version === 2)
    if (isSubscription && session.version === 3) this.#confirming = record
    return true
  }

  #acceptSession(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (this.#isPinned) {
      if (record.name === 'hello') this.#noteHello(record, bytes, at, next)
      if (record.name === 'reset') session.version = 2
      if (!session.commands.isOurs(record)) return true
    } else if (this.#transaction.isOpen && record.name !== 'reset' && record.name !== 'quit') {
      // It takes effect at EXEC, out of our sight.
      this.#sticky = record.name
      return true
    }
    if (session.outstanding > 0) session.drain()
    return false
  }

  #noteHello(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    const version = this.#session.commands.versionOf(bytes, at, next)
    if (version === null) return
    const run = (): void => {
      this.#session.version = version
    }
    this.#onSuccess = { of: record, run }
  }

  /**
   * WAIT counts the replicas that have what this connection wrote last. The writes were made over
   * a shared one; any command brings this one to the same place in the replication stream.
   */
  #catchUp(): void {
    this.relay.ask(command('PING'))
  }

  /** False where an AUTH would be in the way: in a MULTI, a stream, or a command that passes. */
  logInAgain(request: Buffer): boolean {
    if (this.mustFinish || this.relay.isRaw) return false
    this.relay.ask(request)
    return true
  }

  /** The command at `at` is not complete: small ones are held, of large ones the bytes pass. */
  #unfinished(bytes: Buffer, at: number, end: number): number {
    const session = this.#session
    const { framer } = session.requests
    if (this.#passing === null) {
      const { announcedBytes } = framer
      const record = this.#largeRecordAt(bytes, at)
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

  /** What the command at `at` is that will be large; null when it will not, or that is not told yet. */
  #largeRecordAt(bytes: Buffer, at: number): CommandRecord | null {
    const session = this.#session
    const { announcedBytes, nameStart, nameLength, seenBytes } = session.requests.framer
    const { book } = session.context
    if (announcedBytes <= heldCommandBytesMax) return null
    if (nameLength > heldCommandBytesMax) return book.unknown
    if (nameLength < 0 || seenBytes < nameStart + nameLength) return null
    const found = book.find(bytes, at + nameStart, at + nameStart + nameLength)
    if (found.subcommands === undefined) return found
    // So much of it holds the subcommand, or a word that is none.
    if (seenBytes < heldCommandBytesMax) return null
    return session.resolve(found, bytes, at, at + heldCommandBytesMax)
  }

  /** Sends what was taken of the bytes at hand, up to `end`. */
  #forward(bytes: Buffer, end: number): void {
    const start = this.#takenFrom
    if (end <= start) return
    this.#takenFrom = end
    this.#session.context.stats.bytesToServers += end - start
    this.relay.server.transport.send(bytes, start, end)
  }

  /** Sends a command of the session's making and expects its reply for the client. */
  sendFor(record: CommandRecord, request: Buffer, onSuccess: () => void): void {
    const session = this.#session
    this.#onSuccess = { of: record, run: onSuccess }
    if (this.#sticky === '') this.#sticky = record.name
    if (!this.relay.isRaw) session.expect(this.relay, record, session.context.clock.nowMs())
    this.relay.server.transport.sendOwned(request)
  }

  /** A reply has come whole; it began at `at`, or in an earlier chunk (-1). */
  replied(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    // What it has popped, it has popped just now.
    if (record.isWrite && record.facts.blocking) this.#session.context.reads.noteExec()
    if (record.handling === Handling.Transaction) this.#transactionReplied(record, bytes, at, type)
    else if (record.handling === Handling.Unknown) {
      const isUnknownThere = at >= 0 && bytes.toString('latin1', at, at + 12) === '-ERR unknown'
      if (!isUnknownThere && this.#sticky === '') this.#sticky = 'unknown command'
    } else if (record === this.#onSuccess?.of) {
      if (type !== marker.error) this.#onSuccess.run()
      this.#onSuccess = null
    }
    // What was sent ahead of a blocking command answers first; behind it nothing is sent.
    if (this.#session.outstanding > 0) return
    this.#blocking.end()
    this.#mayWait = false
    if (!this.relay.isRaw) this.#transaction.rest()
  }

  #transactionReplied(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    const { name } = record
    const isRefused = this.#transaction.replied(name, bytes, at, type)
    // Whatever state it is in now, nobody else gets it.
    if (isRefused && this.#sticky === '') this.#sticky = `error of ${name}`
    if (name !== 'exec' && name !== 'discard') return
    this.#session.context.reads.noteExec()
    this.#isSubscribing = false
    if (isRefused) return
    const isNull = at >= 0 && bytes[at + 1] === minus
    const hasRun = name === 'exec' && type === marker.array && !isNull
    if (hasRun && this.#subscribesAtExec) this.#subscribed(record)
    this.#subscribesAtExec = false
  }

  /** An EXEC has subscribed. A subscription to several channels says more than one thing in there. */
  #subscribed(record: CommandRecord): void {
    const session = this.#session
    if (session.version === 2) {
      this.relay.isRaw = true
      return
    }
    this.#confirming = record
    this.relay.owed.push(session, record, session.context.clock.nowMs())
    session.outstanding += 1
    this.relay.server.transport.sendOwned(confirmation)
  }

  /** Nothing is owed to the client: the server goes back if nothing of the client is on it. */
  settled(): void {
    if (!this.#isHeld) this.#release()
  }

  #release(): void {
    const { server } = this.relay
    this.#session.own = null
    this.relay.owner = null
    // What is still to come is not for the next client, nor to end what that one waits for.
    if (this.relay.owed.length > 0 || this.#blocking.isBeingEnded) server.spoil()
    server.rest()
    this.#pool.give(server)
  }

  /** The client has left, or has reset itself: the server is closed behind what was sent. */
  abandon(): void {
    this.#session.own = null
    this.#blocking.end()
    const { server } = this.relay
    this.relay.owner = null
    server.spoil()
    server.rest()
    if (server.transport.isClosed) this.#pool.lost(server)
    else this.#pool.give(server)
  }

  #gone(relay: ServerRelay, error: PontoonError): void {
    this.#pool.lost(relay.server)
    this.#blocking.end()
    if (relay.owner === null) return
    relay.owner = null
    this.#session.own = null
    // Behind half a command nothing can be taken for the beginning of another.
    const wasHeld = this.#isHeld || this.#passing !== null
    this.#session.ownLost(error, wasHeld, relay.isInsideReply)
  }
}
