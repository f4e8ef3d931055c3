/**
 * What comes from one client: cuts it into commands and sees to it that each goes where it belongs.
 * Bytes of a command that has to wait, or is not complete, are held from its beginning on.
 */
import { isMiscounted } from '../../routing/redis/command-facts.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { splitInline } from '../../wire/redis/arguments.ts'
import { CommandFramer } from '../../wire/redis/command-framer.ts'
import { command, errorReply } from '../../wire/redis/write.ts'
import { Handling, type CommandRecord } from './command-book.ts'
import { heldBytesMax, heldCommandBytesMax } from './limits.ts'
import type { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'

const nothing: Buffer = Buffer.alloc(0)

export class Requests {
  readonly framer = new CommandFramer()
  readonly #session: Session
  #held: Buffer = nothing
  #isConsuming = false
  #isChanged = false
  /** What is held begins with a command that has waited at a server already. */
  #isPutBack = false

  constructor(session: Session) {
    this.#session = session
  }

  /** The client has asked for something that has not been dealt with. */
  get isUnderWay(): boolean {
    return this.#isConsuming || this.#held.length > 0
  }

  /** In the middle of what came. */
  get isConsuming(): boolean {
    return this.#isConsuming
  }

  /** Holds as much as it may. */
  get isFull(): boolean {
    return this.#held.length > heldBytesMax
  }

  clear(): void {
    this.#held = nothing
  }

  /** A command that was sent is to be sent again, before all others. */
  putBack(request: Buffer): void {
    this.#held = Buffer.concat([request, this.#held])
    this.#isPutBack = true
  }

  /** Takes the first command out of what is held; false when it is not complete. */
  skipFirst(): boolean {
    const next = this.framer.next(this.#held, 0, this.#held.length)
    this.framer.reset()
    if (next < 0) return false
    this.#held = this.#held.subarray(next)
    return true
  }

  receive(bytes: Buffer, end: number): void {
    const session = this.#session
    if (this.#held.length === 0 && this.#session.state === 'ready') this.#consume(bytes, end)
    else {
      this.#held = Buffer.concat([this.#held, bytes.subarray(0, end)])
      if (this.#session.state === 'ready') this.resume()
      else if (this.#held.length > heldBytesMax) session.client.pauseReading()
    }
  }

  /** Goes on with what is held. */
  resume(): void {
    const session = this.#session
    // Its wait ends with its client, wherever that is.
    if (this.#isPutBack && session.hasEnded) session.close()
    if (this.#session.state !== 'ready' || this.#isConsuming || this.#held.length === 0) return
    const held = this.#held
    this.#held = nothing
    this.#consume(held, held.length)
    session.readOn()
  }

  #consume(bytes: Buffer, end: number): void {
    const session = this.#session
    this.#isConsuming = true
    let offset = 0
    try {
      while (this.#session.state === 'ready' && offset < end) {
        const next = this.#step(bytes, offset, end)
        if (next === offset && !this.#isChanged) break
        this.#isChanged = false
        offset = next
      }
    } catch (thrown) {
      session.fail(toPontoonError(thrown))
    } finally {
      this.#isConsuming = false
    }
    if (offset > 0) this.#isPutBack = false
    if (this.#session.isClosed || offset === end) return
    // A line that was turned into the usual form stands before the rest.
    this.#held = Buffer.concat([this.#held, bytes.subarray(offset, end)])
    if (this.#held.length > heldBytesMax && this.#session.state !== 'ready')
      session.client.pauseReading()
  }

  /** Deals with some commands from `offset` on; gives the offset up to which it has come. */
  #step(bytes: Buffer, offset: number, end: number): number {
    const session = this.#session
    if (!session.context.gate.isOpen && session.own?.mustFinish !== true) {
      session.park()
      return offset
    }
    if (session.own !== null) {
      if (session.followRoute()) return end
      if (session.relocation !== null) {
        session.waitFor(session.relocation.done)
        return offset
      }
      return session.own.step(bytes, offset, end)
    }
    if (session.replies.isMuting) {
      session.takeOwn('client|reply')
      return offset
    }
    if (session.user === null || session.isPinned) return this.#single(bytes, offset, end)
    return this.#run(bytes, offset, end)
  }

  /** Commands that leave no trace, as many as follow each other, to one shared server. */
  #run(bytes: Buffer, start: number, end: number): number {
    const { framer } = this
    const session = this.#session
    const { context } = session
    const { book, route } = context
    let relay = session.sharedServer()
    if (this.#mustLeave(relay)) {
      session.drain()
      return start
    }
    let offset = start
    let runStart = start
    const now = context.clock.nowMs()
    while (offset < end) {
      let next: number
      try {
        next = framer.next(bytes, offset, end)
      } catch (thrown) {
        this.#send(relay, bytes, runStart, offset)
        return this.broken(thrown, start, offset)
      }
      if (next < 0) {
        this.#send(relay, bytes, runStart, offset)
        return offset > start ? this.#again(offset) : this.#partial(offset, end)
      }
      const nameAt = offset + framer.nameStart
      const record = framer.isInline
        ? book.unknown
        : book.find(bytes, nameAt, nameAt + framer.nameLength)
      if (record.handling !== Handling.Shared || record.subcommands !== undefined) {
        this.#send(relay, bytes, runStart, offset)
        return offset > start ? this.#again(offset) : this.#special(bytes, offset, next, record)
      }
      // Reads that went to the other side may be under way when the route has changed.
      const isElsewhere = relay !== null && relay.server.side !== route.primary
      if (isElsewhere || (route.reads > 0 && context.reads.isSplit)) {
        const choice = session.relayFor(record, bytes, offset, next)
        if (choice !== relay) {
          this.#send(relay, bytes, runStart, offset)
          // Also before a wait for a server: were it refused, that would come before the replies.
          if (session.outstanding > 0) {
            session.drain()
            return offset
          }
          relay = choice
          runStart = offset
        }
      }
      if (relay === null) {
        session.waitForShared()
        return offset
      }
      const measured = context.watch.sample(record, bytes, offset, next)
      if (next - offset > heldCommandBytesMax)
        context.watch.big(record, bytes, offset, next, next - offset)
      record.calls += 1
      relay.owed.push(session, record, now)
      if (measured !== null) relay.owed.measure(measured)
      if (session.outstanding === 0) context.activeCount += 1
      session.outstanding += 1
      session.upstream = relay
      session.lastRecord = record
      offset = next
    }
    this.#send(relay, bytes, runStart, offset)
    session.lastCommandMs = now
    return offset
  }

  /**
   * What comes at `offset` is no command. The ones before it, from `start` on, have been sent, or
   * their replies would be taken for another client's; they are answered before the client is told.
   */
  broken(thrown: unknown, start: number, offset: number): number {
    this.framer.reset()
    if (offset > start) return offset
    if (this.#session.outstanding === 0) throw thrown
    this.#session.drain()
    return offset
  }

  /** The framer is inside the command at `offset`: it begins it anew from there. */
  #again(offset: number): number {
    this.framer.reset()
    return offset
  }

  /** Who asks without a pause would never let go of a server that is given up. */
  #mustLeave(relay: ServerRelay | null): boolean {
    return relay?.isRetiring === true && this.#session.outstanding > 0
  }

  #send(relay: ServerRelay | null, bytes: Buffer, start: number, end: number): void {
    const session = this.#session
    if (relay === null || end === start) return
    relay.batch.append(bytes, start, end)
    relay.lastUsedMs = session.lastCommandMs
    session.context.stats.bytesToServers += end - start
  }

  /** One command at a time: before the login, and to find out that a pinned client needs a server. */
  #single(bytes: Buffer, offset: number, end: number): number {
    const session = this.#session
    if (session.user !== null) {
      session.takeOwn('pinned')
      return offset
    }
    const { framer } = this
    const next = framer.next(bytes, offset, end)
    if (next < 0) return this.#partial(offset, end)
    const nameAt = offset + framer.nameStart
    const record = framer.isInline
      ? session.context.book.unknown
      : session.context.book.find(bytes, nameAt, nameAt + framer.nameLength)
    return this.#special(bytes, offset, next, record)
  }

  /** The command at `offset` is not complete. Small ones are held, large ones stream. */
  #partial(offset: number, end: number): number {
    const session = this.#session
    const { framer } = this
    const { announcedBytes, nameStart, nameLength, seenBytes } = framer
    framer.reset()
    if (announcedBytes <= heldCommandBytesMax) return offset
    if (session.user === null) {
      session.client.sendOwned(errorReply('ERR Protocol error: unauthenticated bulk length'))
      session.close()
      return end
    }
    const isNamed = nameLength >= 0 && seenBytes >= nameStart + nameLength
    if (!isNamed && nameLength <= heldCommandBytesMax) return offset
    if (session.outstanding > 0) session.drain()
    else session.takeOwn('large command')
    return offset
  }

  #special(bytes: Buffer, offset: number, next: number, found: CommandRecord): number {
    const session = this.#session
    if (this.framer.isInline) return this.#inline(bytes, offset, next)
    if (this.framer.argumentCount === 0) return next
    const record = session.resolve(found, bytes, offset, next)
    if (session.user === null || record.handling === Handling.Session) {
      if (session.outstanding > 0) {
        session.drain()
        return offset
      }
      return session.commands.run(record, bytes, offset, next)
    }
    if (
      record.handling === Handling.Shared ||
      session.context.book.isHarmless(record, bytes, offset, next)
    )
      return this.sendOne(record, bytes, offset, next)
    if (session.outstanding > 0) session.drain()
    else session.takeOwn(record.name)
    return offset
  }

  sendOne(record: CommandRecord, bytes: Buffer, offset: number, next: number): number {
    const session = this.#session
    const { route, reads, clock } = session.context
    if (route.reads > 0) reads.sideOf(record, bytes, offset, next)
    const relay = session.serverAtHand()
    if (relay === null) return offset
    const isElsewhere = relay.server.side !== route.primary && session.outstanding > 0
    if (isElsewhere || this.#mustLeave(relay)) {
      session.drain()
      return offset
    }
    session.expect(relay, record, clock.nowMs())
    session.upstream = relay
    this.#send(relay, bytes, offset, next)
    return next
  }

  /** Inline commands are turned into the usual form; an empty line is none. */
  #inline(bytes: Buffer, offset: number, next: number): number {
    const session = this.#session
    const words = splitInline(bytes.subarray(offset, next))
    if (words === null) {
      if (session.outstanding > 0) {
        session.drain()
        return offset
      }
      session.client.sendOwned(errorReply('ERR Protocol error: unbalanced quotes in request'))
      session.close()
      return next
    }
    if (words.length === 0) return next
    const usual = command(...words)
    let done = this.#step(usual, 0, usual.length)
    while (done === 0 && this.#isChanged && this.#session.state === 'ready') {
      this.#isChanged = false
      done = this.#step(usual, 0, usual.length)
    }
    if (done > 0 || session.isClosed) return next
    // It waits: in the usual form it takes the place of the line.
    this.#held = usual
    return next
  }

  /** The command that the framer has just passed; null for an empty line, or no arguments. */
  recordAt(bytes: Buffer, at: number, next: number): CommandRecord | 'unbalanced' | null {
    const { framer } = this
    const { book } = this.#session.context
    if (framer.isInline) {
      const words = splitInline(bytes.subarray(at, next))
      if (words === null) return 'unbalanced'
      const [name, subcommand] = words
      if (name === undefined) return null
      const found = book.find(name, 0, name.length)
      if (subcommand === undefined) return found
      return found.subcommands?.find(subcommand, 0, subcommand.length) ?? found
    }
    if (framer.argumentCount === 0) return null
    const nameAt = at + framer.nameStart
    const found = book.find(bytes, nameAt, nameAt + framer.nameLength)
    return this.#session.resolve(found, bytes, at, next)
  }

  /** What the command at `at` is that will be large; null when it will not, or that is not told yet. */
  largeRecordAt(bytes: Buffer, at: number): CommandRecord | null {
    const session = this.#session
    const { announcedBytes, nameStart, nameLength, seenBytes } = this.framer
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

  /** Of the command that the framer has just passed, without its name. */
  countArguments(bytes: Buffer, at: number, next: number): number {
    if (!this.framer.isInline) return this.framer.argumentCount - 1
    return (splitInline(bytes.subarray(at, next))?.length ?? 1) - 1
  }

  /** The server refuses the command that the framer has just passed for its number of words. */
  isMiscounted({ facts }: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    return isMiscounted(facts, this.countArguments(bytes, at, next) + 1)
  }

  /** The step at hand has changed what the session has: the same bytes are looked at again. */
  goOn(): void {
    this.#isChanged = true
  }

  /** The own server does not take the command at `offset`. */
  instead(bytes: Buffer, offset: number, next: number): number {
    const session = this.#session
    if (this.#session.state !== 'ready' || this.#isChanged) return offset
    if (this.framer.isInline) return this.#inline(bytes, offset, next)
    const nameAt = offset + this.framer.nameStart
    const found = session.context.book.find(bytes, nameAt, nameAt + this.framer.nameLength)
    return session.commands.run(session.resolve(found, bytes, offset, next), bytes, offset, next)
  }
}
