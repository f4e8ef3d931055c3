/**
 * A server that is one client's own: for the reply of a blocking command, from WATCH or MULTI to
 * EXEC, for as long as the client subscribes, or for its whole life (pool.mode pinned). It goes
 * back to the pool when its replies have shown that nothing of the client is left on it; whenever
 * that is in doubt it stays with the client and is closed when the client leaves.
 */
import type { Pool } from '../../net/pool.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { unreachable } from '../../shared/assert.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { splitInline } from '../../wire/redis/arguments.ts'
import { command } from '../../wire/redis/write.ts'
import { Handling, type CommandRecord } from './command-book.ts'
import { ServerRelay } from './server-relay.ts'
import { heldCommandBytesMax } from './limits.ts'
import type { Session } from './session.ts'

/** Their replies are pushes in RESP3, and one per channel in RESP2. */
const subscriptions = /^[ps]?(?:un)?subscribe$/

/** After these the server speaks unasked, or does not answer, in a way that no framing follows. */
const rawInAnyVersion = /^(?:monitor|p?sync|client\|reply)$/

export class OwnServer {
  readonly relay: ServerRelay
  readonly reason: string
  readonly #session: Session
  readonly #pool: Pool<RedisServer>
  readonly #isPinned: boolean
  #inMulti = false
  #isWatching = false
  /** From EXEC on messages come, whatever is asked. */
  #subscribesAtExec = false
  /** Why it stays with the client, '' when it need not. */
  #sticky: string
  /** The large command whose bytes are passing. */
  #passing: CommandRecord | null = null
  /** The blocking command under way, to be sent again after a pause; null when none is. */
  #blocking: Buffer | null = null
  #isRecalled = false
  /** What SELECT or HELLO asked for, once it succeeds. */
  #onSuccess: (() => void) | null = null

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
  }

  /** In the middle of something that a pause lets end. */
  get mustFinish(): boolean {
    return this.#inMulti || this.#passing !== null
  }

  /** Its client may wait for what never comes. */
  get mayNeverEnd(): boolean {
    return this.relay.isRaw || this.#blocking !== null
  }

  get isBusy(): boolean {
    return this.#inMulti
  }

  get #isHeld(): boolean {
    return this.#inMulti || this.#isWatching || this.#sticky !== ''
  }

  /** Deals with some commands from `offset` on; gives the offset up to which it has come. */
  step(bytes: Buffer, offset: number, end: number): number {
    const { context } = this.#session
    const { framer } = this.#session.requests
    const now = context.clock.nowMs()
    let at = offset
    while (at < end) {
      let next: number
      try {
        next = framer.next(bytes, at, end)
      } catch (thrown) {
        if (!this.#isPinned) {
          this.#forward(bytes, offset, at)
          return this.#session.requests.broken(thrown, offset, at)
        }
        // The server says itself what is wrong, and closes.
        this.relay.isRaw = true
        framer.reset()
        this.#forward(bytes, offset, end)
        return end
      }
      if (next < 0) {
        this.#forward(bytes, offset, at)
        return this.#unfinished(bytes, at, end)
      }
      if (this.#passing === null) {
        if (at > offset && !context.gate.isOpen && !this.#inMulti) {
          framer.reset()
          break
        }
        const found = this.#recordAt(bytes, at, next)
        if (found !== null && !this.#accept(found, bytes, at, next)) {
          this.#forward(bytes, offset, at)
          return this.#session.requests.instead(bytes, at, next)
        }
        if (found !== null && this.#isOwed(found)) this.#session.expect(this.relay, found, now)
      } else {
        if (this.#isOwed(this.#passing)) this.#session.expect(this.relay, this.#passing, now)
        this.#passing = null
      }
      at = next
    }
    this.#forward(bytes, offset, at)
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

  #isOwed(record: CommandRecord): boolean {
    if (this.relay.isRaw) return false
    // There it is only queued, which is a reply.
    if (this.#inMulti) return true
    return !(record.handling === Handling.Stream && subscriptions.test(record.name))
  }

  /** Whether the command may be sent now. If not, the session deals with it. */
  #accept(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (session.requests.framer.isInline && !this.#isPinned) return false
    if (record.handling === Handling.Session) return this.#acceptSession(record, bytes, at, next)
    if (this.relay.isRaw) return true
    // Behind one that may be recalled nothing is sent, or its reply would come too early.
    if ((!this.#isHeld || this.#blocking !== null) && session.outstanding > 0) {
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
        if (!this.#isHeld && /^wait(?:aof)?$/.test(record.name)) this.#catchUp()
        return true
      case Handling.Unknown:
        return true
      case Handling.Transaction:
        this.#follow(record.name)
        return true
      case Handling.Stream:
        return this.#acceptStream(record)
      default:
        return unreachable(record.handling)
    }
  }

  #noteBlocking(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    const isWait = /^wait(?:aof)?$/.test(record.name)
    this.#blocking =
      record.facts.blocking && !isWait && !this.#inMulti && next > 0
        ? Buffer.from(bytes.subarray(at, next))
        : null
  }

  /**
   * A pause is to end what may wait for ever. The server is asked to answer as if the time were
   * over; that answer is kept from the client and the command sent again when the gate opens. What
   * has been popped meanwhile is delivered: the socket is never closed on it.
   */
  recall(): void {
    const session = this.#session
    const { clientId, side } = this.relay.server
    if (this.#blocking === null || session.outstanding !== 1 || clientId === null) return
    this.#isRecalled = true
    session.groups[side].ask(command('CLIENT', 'UNBLOCK', clientId, 'TIMEOUT'))
  }

  /** The reply `bytes[start, end)` is the null that a recall asked for. */
  isRecalledReply(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#isRecalled) return false
    this.#isRecalled = false
    return end - start <= 5 && /^(?:[*$]-1|_)\r\n$/.test(bytes.toString('latin1', start, end))
  }

  /** The blocking command waits at the gate again. */
  recalled(): void {
    const again = this.#blocking
    this.#blocking = null
    if (again !== null) this.#session.requests.putBack(again)
  }

  #follow(name: string): void {
    switch (name) {
      case 'multi':
        this.#inMulti = true
        break
      case 'watch':
        this.#isWatching = true
        break
      case 'unwatch':
        if (!this.#inMulti) this.#isWatching = false
        break
      default:
        // EXEC and DISCARD end both.
        this.#inMulti = false
        this.#isWatching = false
    }
  }

  #acceptStream(record: CommandRecord): boolean {
    const session = this.#session
    if (session.outstanding > 0) {
      session.drain()
      return false
    }
    if (this.#sticky === '') this.#sticky = record.name
    const isSubscription = subscriptions.test(record.name)
    if (this.#inMulti) {
      this.#subscribesAtExec ||= isSubscription && session.version === 2
      return true
    }
    this.relay.isRaw =
      rawInAnyVersion.test(record.name) || (isSubscription && session.version === 2)
    return true
  }

  #acceptSession(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const session = this.#session
    if (this.#isPinned) {
      if (record.name === 'hello') this.#noteHello(bytes, at, next)
      if (record.name === 'reset') session.version = 2
      if (!session.commands.isOurs(record)) return true
    } else if (this.#inMulti && record.name !== 'reset' && record.name !== 'quit') {
      // It takes effect at EXEC, out of our sight.
      this.#sticky = record.name
      return true
    }
    if (session.outstanding > 0) session.drain()
    return false
  }

  #noteHello(bytes: Buffer, at: number, next: number): void {
    const version = this.#session.commands.versionOf(bytes, at, next)
    const session = this.#session
    if (version !== null)
      this.#onSuccess = () => {
        session.version = version
      }
  }

  /**
   * WAIT counts the replicas that have what this connection wrote last. The writes were made over
   * a shared one; any command brings this one to the same place in the replication stream.
   */
  #catchUp(): void {
    this.#sendAside(Buffer.from('*1\r\n$4\r\nPING\r\n'))
  }

  /** False where an AUTH would be in the way: in a MULTI, a stream, or a command that passes. */
  logInAgain(request: Buffer): boolean {
    if (this.#inMulti || this.relay.isRaw || this.#passing !== null) return false
    this.#sendAside(request)
    return true
  }

  /** A command with a name of four letters, whose reply is nobody's. */
  #sendAside(request: Buffer): void {
    const { book, clock } = this.#session.context
    const nameAt = request.indexOf('\r\n$4\r\n') + 6
    this.relay.owed.push(null, book.find(request, nameAt, nameAt + 4), clock.nowMs())
    this.relay.server.transport.sendOwned(request)
  }

  /** The command at `at` is not complete: small ones are held, of large ones the bytes pass. */
  #unfinished(bytes: Buffer, at: number, end: number): number {
    const { context } = this.#session
    const { framer } = this.#session.requests
    if (this.#passing === null) {
      const { announcedBytes, nameStart, nameLength, seenBytes } = framer
      const isNamed = nameLength >= 0 && seenBytes >= nameStart + nameLength
      if (announcedBytes <= heldCommandBytesMax || !isNamed) {
        framer.reset()
        return at
      }
      const record = context.book.find(bytes, at + nameStart, at + nameStart + nameLength)
      if (!this.#accept(record, bytes, at, -1)) {
        framer.reset()
        return at
      }
      this.#passing = record
      context.watch.big(record, bytes, at, end, announcedBytes)
    }
    this.#forward(bytes, at, end)
    return end
  }

  #forward(bytes: Buffer, start: number, end: number): void {
    if (end <= start) return
    this.#session.context.stats.bytesToServers += end - start
    this.relay.server.transport.send(bytes, start, end)
  }

  /** Sends a command of the session's making and expects its reply for the client. */
  sendFor(record: CommandRecord, request: Buffer, onSuccess: () => void): void {
    const session = this.#session
    this.#onSuccess = onSuccess
    if (this.#sticky === '') this.#sticky = record.name
    if (!this.relay.isRaw) session.expect(this.relay, record, session.context.clock.nowMs())
    this.relay.server.transport.sendOwned(request)
  }

  /** A reply has come whole; it began at `at`, or in an earlier chunk (-1). */
  replied(record: CommandRecord, bytes: Buffer, at: number, type: number): void {
    const isError = type === marker.error
    // What was sent ahead of it answers first; behind it nothing is sent.
    if (this.#session.outstanding === 0) this.#blocking = null
    // What it has popped, it has popped just now.
    if (record.isWrite && record.facts.blocking) this.#session.context.reads.noteExec()
    if (record.handling === Handling.Transaction)
      this.#transactionReplied(record, bytes, at, isError)
    else if (record.handling === Handling.Unknown) {
      const isUnknownThere = at >= 0 && bytes.toString('latin1', at, at + 12) === '-ERR unknown'
      if (!isUnknownThere && this.#sticky === '') this.#sticky = 'unknown command'
    } else if (record.handling === Handling.Session && this.#onSuccess !== null) {
      if (!isError) this.#onSuccess()
      this.#onSuccess = null
    }
  }

  /** What was sent tells the state, unless the server did not take it. */
  #transactionReplied(record: CommandRecord, bytes: Buffer, at: number, isError: boolean): void {
    const isAborted = isError && at >= 0 && bytes.toString('latin1', at, at + 10) === '-EXECABORT'
    // Whatever state it is in now, nobody else gets it.
    if (isError && !isAborted && this.#sticky === '') this.#sticky = `error of ${record.name}`
    if (record.name !== 'exec' && record.name !== 'discard') return
    this.#session.context.reads.noteExec()
    if (record.name === 'exec' && !isError && this.#subscribesAtExec) this.relay.isRaw = true
    this.#subscribesAtExec = false
  }

  /** Nothing is owed to the client: the server goes back if nothing of the client is on it. */
  settled(): void {
    if (!this.#isHeld) this.#release()
  }

  #release(): void {
    const { server } = this.relay
    this.#session.own = null
    this.relay.owner = null
    server.rest()
    this.#pool.give(server)
  }

  /** The client has left, or has reset itself: the server is closed behind what was sent. */
  abandon(): void {
    this.#session.own = null
    const { server } = this.relay
    this.relay.owner = null
    server.spoil()
    server.rest()
    if (server.transport.isClosed) this.#pool.lost(server)
    else this.#pool.give(server)
  }

  #gone(relay: ServerRelay, error: PontoonError): void {
    this.#pool.lost(relay.server)
    if (relay.owner === null) return
    relay.owner = null
    this.#session.own = null
    // Behind half a command nothing can be taken for the beginning of another.
    const wasHeld = this.#isHeld || this.#passing !== null
    this.#session.ownLost(error, wasHeld, relay.isInsideReply)
  }
}
