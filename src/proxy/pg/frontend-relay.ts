/**
 * Client bytes on their way to a server. Only headers are looked at, bodies stream through;
 * in transaction pooling statement names are rewritten (statement-relay.ts) and what a text does
 * to its session is noted. Bytes are kept only while there is no server to take them or while a
 * message that must be read whole is incomplete.
 */
import type { PgServer } from '../../net/pg/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { LongText } from '../../routing/long-text.ts'
import { effect } from '../../routing/session-effects.ts'
import { assert } from '../../shared/assert.ts'
import { bytesOf } from '../../shared/bytes.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { frontend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { owed, owedRepliesMax } from '../../wire/pg/reply-queue.ts'
import { readyForQuery } from '../../wire/pg/write.ts'
import { chooseSide, readOnlyLeft } from './choose-side.ts'
import { bindNamesIn, isCopyMessage, isRequest, tooLong, unknownType } from './client-message.ts'
import { QueryRelay } from './query-relay.ts'
import { requestEnd } from './request-end.ts'
import type { Session } from './session.ts'
import { StatementRelay } from './statement-relay.ts'

/** A Query or Parse up to this size is read whole before it is forwarded. */
export const wholeBytesMax = 1024 * 1024

/** Names in Bind, Describe and Close must stand within this many bytes. */
const namesBytesMax = 64 * 1024

/** What a client may send while its request waits for a server. */
const waitingBytesMax = 64 * 1024

/** How soon a client that has closed its half is asked whether it is still there. */
const keepAliveMs = 5_000

const noBytes = Buffer.alloc(0)

/** What to do with the message at hand. */
type Step = 'forward' | 'replaced' | 'incomplete' | 'wait' | 'stop'

export class FrontendRelay implements TransportHandler {
  readonly #session: Session
  readonly #statements: StatementRelay
  readonly #queries: QueryRelay
  /** Bytes not yet consumed. */
  #held: Buffer | null = null
  /** Bytes of the present message that are still to come and stream through. */
  #passBytes = 0
  /** They are dropped instead. */
  #isDropping = false
  /** The next message waits until it is known what its statement name stands for. */
  awaitsStatement = false
  /** Terminate has come and waits for replies. */
  isLeaving = false
  /** The text of the message that streams through, when it must be looked at. */
  #longText: LongText | null = null
  /** The client has closed its half. */
  #hasEnded = false
  /** Start of the bytes that go to the server as they are. */
  #from = 0

  constructor(session: Session) {
    this.#session = session
    this.#statements = new StatementRelay(session)
    this.#queries = new QueryRelay(session, this.#statements.sqlNames)
  }

  /** The last message forwarded is complete. */
  get isBetweenMessages(): boolean {
    return this.#passBytes === 0
  }

  /** Bytes of the client that are kept here. */
  get heldBytes(): number {
    return this.#held?.length ?? 0
  }

  onBytes(bytes: Buffer, end: number): void {
    const session = this.#session
    session.context.stats.bytesFromClients += end
    session.totals.bytesFromClients += end
    if (session.state === 'closed') return
    const isWaiting = session.state === 'parked' || session.state === 'waiting'
    if (isWaiting || this.#held !== null) {
      const held = this.#held ?? noBytes
      this.#held = Buffer.concat([held, bytes.subarray(0, end)])
      if (!isWaiting) this.#consumeHeld()
      // Reading goes on for a while, or the end of a client that waits would go unnoticed.
      else if (this.#held.length > waitingBytesMax) session.client.pauseReading()
      return
    }
    const wasPassing = this.#passBytes > 0
    const consumed = this.#run(bytes, end)
    if (consumed < end) this.#held = bytesOf(bytes, consumed, end)
    // Replies may have come before the last message was through (a COPY that failed early).
    if (
      wasPassing &&
      this.#passBytes === 0 &&
      session.server?.isAtRest === true &&
      session.backend.isAtBoundary &&
      session.state === 'active'
    )
      session.settle()
  }

  /** The session can go on: a server was linked, the gate opened, or replies have come. */
  resume(): void {
    if (this.#held !== null) this.#consumeHeld()
    if (this.#hasEnded) this.#leaveWhenDone()
    const { client, state, server } = this.#session
    if (!client.isPaused || this.awaitsStatement) return
    const mayRead = (state === 'idle' && !client.isCongested) || state === 'active'
    if (mayRead && !this.#mustSettleFirst() && !(server?.transport.isCongested ?? false))
      client.resumeReading()
  }

  /** Takes out the request that waits; false when its end has not come yet. */
  dropRequest(): boolean {
    const held = this.#held ?? noBytes
    const end = requestEnd(held)
    if (end > 0) this.#held = end < held.length ? held.subarray(end) : null
    return end > 0
  }

  onCongested(): void {
    // The client does not read: stop reading from the server.
    this.#session.congestedSinceMs = this.#session.context.clock.nowMs()
    this.#session.server?.transport.pauseReading()
  }

  onDrained(): void {
    this.#session.congestedSinceMs = null
    this.#session.server?.transport.resumeReading()
    this.#session.listening?.deliver()
    this.resume()
  }

  /**
   * The client sends nothing more. What it has asked is answered first, as after Terminate; while
   * the request waits for a server nothing of it is done yet, and more likely than not nobody is
   * there to read the answer.
   */
  onEnded(): void {
    const session = this.#session
    if (session.state === 'parked' || session.state === 'waiting') {
      session.fail(new PontoonError('CLIENT_LEFT', 'the client closed its half while it waited'))
      return
    }
    this.#hasEnded = true
    // A client that is gone altogether shows by a reset, at the latest when it is asked.
    session.client.socket.setKeepAlive(true, keepAliveMs)
    this.#leaveWhenDone()
  }

  #leaveWhenDone(): void {
    const { state, server, client } = this.#session
    if (!this.#hasEnded || state === 'closed') return
    // In the middle of a message or of COPY data, or behind the last answer: nothing can follow.
    if (this.#passBytes === 0 && state === 'active' && server !== null && !server.copyIn) {
      if (server.replies.owesReady || this.awaitsStatement || this.#mustSettleFirst()) {
        this.isLeaving = true
        return
      }
    }
    const isHeldUp = state === 'parked' || state === 'waiting' || client.isCongested
    if (this.#held !== null && (isHeldUp || this.#isServerTaken)) return
    this.#session.close()
  }

  onClosed(): void {
    this.#session.close()
  }

  #consumeHeld(): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    const consumed = this.#run(held, held.length)
    if (consumed < held.length) this.#held = consumed === 0 ? held : held.subarray(consumed)
  }

  /** Consumes what can be consumed and returns how far that is. */
  #run(bytes: Buffer, end: number): number {
    try {
      return this.#consume(bytes, end)
    } catch (thrown) {
      this.#session.fail(toPontoonError(thrown))
      return end
    }
  }

  #consume(bytes: Buffer, end: number): number {
    const session = this.#session
    let offset = 0
    this.#from = 0
    while (offset < end) {
      if (this.#passBytes > 0) {
        offset = this.#pass(bytes, offset, end)
        continue
      }
      if (end - offset < headerBytes) break
      const type = bytes[offset] ?? 0
      const total = bytes.readInt32BE(offset + 1) + 1
      if (total < headerBytes || total > session.context.config.limits.messageBytesMax)
        throw tooLong(type, total)
      const step = this.#step(bytes, offset, end, type, total)
      if (step === 'incomplete' || step === 'wait') break
      if (step === 'stop') return end
      const available = Math.min(total, end - offset)
      this.#passBytes = total - available
      offset += available
      if (step === 'replaced') this.#from = offset
    }
    this.forwardTo(bytes, offset)
    return offset
  }

  #pass(bytes: Buffer, offset: number, end: number): number {
    const passed = Math.min(this.#passBytes, end - offset)
    this.#passBytes -= passed
    if (this.#longText !== null) {
      this.#longText.push(bytes, offset, offset + passed)
      if (this.#passBytes === 0) this.#noteLongText(this.#longText)
    }
    if (this.#isDropping) {
      this.#from = offset + passed
      if (this.#passBytes === 0) this.#isDropping = false
    }
    return offset + passed
  }

  /** A text that is not held: its bytes are looked at as they pass. `[start, end)` is here. */
  scanLongText(bytes: Buffer, start: number, end: number): void {
    this.#longText = new LongText()
    this.#longText.push(bytes, start, end)
  }

  #noteLongText(text: LongText): void {
    this.#longText = null
    const session = this.#session
    const effects = text.effects()
    if (effects === null) session.pinReason = 'unscanned'
    else session.noteEffects(effects, text.settingTexts.join('\n;'))
    if (effects !== null) session.statements.noteLongEffects(effects)
  }

  /** Forwards the untouched bytes before `offset`. */
  forwardTo(bytes: Buffer, offset: number): void {
    const from = this.#from
    this.#from = offset
    if (offset <= from) return
    const server = this.#session.server
    if (server === null) return
    this.#session.context.stats.bytesToServers += offset - from
    server.transport.send(bytes, from, offset)
  }

  #step(bytes: Buffer, offset: number, end: number, type: number, total: number): Step {
    const session = this.#session
    if (type === frontend.terminate) {
      // As the server does: what was asked before is answered first, but no batch without Sync.
      if (session.state === 'active' && session.server?.replies.owesReady === true) {
        // The server says itself what it thinks of a goodbye amid COPY data.
        if (session.server.copyIn) return 'forward'
        this.isLeaving = true
        session.client.pauseReading()
        return 'wait'
      }
      this.forwardTo(bytes, offset)
      session.close()
      return 'stop'
    }
    if (session.state !== 'active') {
      const step = this.#start(bytes, offset, end, type, total)
      if (step !== 'forward') return step
      // Bytes before this message belonged to the last server and are gone.
      this.#from = offset
    } else if (this.#mustSettleFirst() && !isCopyMessage(type)) {
      session.client.pauseReading()
      return 'wait'
    }
    const { server } = session
    assert(server !== null, 'an active session has a server')
    const step = this.#relay(server, bytes, offset, end, type, total)
    if (step === 'forward' || step === 'replaced') {
      session.restart.isUnsent = false
      session.sequences.used(type, bytes, offset, total)
    }
    return step
  }

  /**
   * By a question of ours, or by a cancel request of ours: PostgreSQL signals its backend twice,
   * and the second signal would end what runs by then. When it is through, the request's own
   * connection is closed.
   */
  get #isServerTaken(): boolean {
    const { errands, server } = this.#session
    return errands.isUnderWay || (server !== null && server.ownCancelsInFlight > 0)
  }

  /**
   * A new request may have to wait until all replies have come: to the settings it needs; to the
   * question what the last one left behind, which may call for other settings; to a reset, behind
   * which it would be unclear who has set what; while the gate is
   * paused, so that a pipeline cannot keep it from draining; on the side that is not primary, so
   * that what follows a read is routed anew; and when too much is owed.
   */
  #mustSettleFirst(): boolean {
    const { server, onPrimary, context, reset } = this.#session
    if (this.#isServerTaken || reset !== '') return true
    if (server === null || server.replies.length === 0 || server.batchOpen || server.copyIn)
      return false
    return !context.gate.isOpen || !onPrimary || server.replies.length >= owedRepliesMax
  }

  /** The first message of a request. */
  #start(bytes: Buffer, offset: number, end: number, type: number, total: number): Step {
    const session = this.#session
    if (session.client.isCongested || this.#isServerTaken) {
      // Its answer would pile up behind what the client has not read yet.
      session.client.pauseReading()
      return 'wait'
    }
    const local = this.#answerAlone(bytes, offset, end, type, total)
    if (local !== null) return local
    if (!isRequest(type)) throw unknownType(type)
    if (end - offset < total && total <= wholeBytesMax) return 'incomplete'
    if (session.server !== null) return session.begin(null) ? 'forward' : 'wait'
    const choice = chooseSide(session, bytes, offset, end, total)
    if (choice === 'answered') return 'replaced'
    return session.begin(choice) ? 'forward' : 'wait'
  }

  /**
   * Messages that need no server: a lone Sync, and a Flush or what follows a failed COPY, to which
   * a server says nothing.
   */
  #answerAlone(
    bytes: Buffer,
    offset: number,
    end: number,
    type: number,
    total: number,
  ): Step | null {
    if (type === frontend.sync && total === headerBytes && this.#session.server === null) {
      const status = this.#session.deferredBegin === null ? txStatus.idle : txStatus.inTransaction
      this.#session.client.sendOwned(readyForQuery(status))
      return 'replaced'
    }
    if (type === frontend.flush) return 'replaced'
    if (type === frontend.parse && end - offset >= total) {
      return this.#statements.answerParse(bytes, offset, offset + total) ? 'replaced' : null
    }
    if (isCopyMessage(type)) {
      this.#isDropping = end - offset < total
      return 'replaced'
    }
    return null
  }

  /** Notes what the server owes for the message and rewrites it where needed. */
  #relay(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    end: number,
    type: number,
    total: number,
  ): Step {
    const session = this.#session
    const { stats } = session.context
    switch (type) {
      case frontend.query:
        return this.#query(server, bytes, offset, end, total)
      case frontend.execute:
        stats.queries[server.side] += 1
        session.totals.queries += 1
        server.batchOpen = true
        server.replies.push(owed.execute, session.statements.takeExecuteTag())
        return 'forward'
      case frontend.sync:
        server.batchOpen = false
        session.statements.synced()
        // While the server reads COPY data it ignores Sync.
        if (server.copyIn) server.replies.ignoreSync()
        else server.replies.push(owed.sync)
        return 'forward'
      case frontend.flush:
      case frontend.copyData:
        return 'forward'
      case frontend.copyDone:
      case frontend.copyFail:
        if (!server.copyIn) server.replies.pushCopyEnd()
        server.copyIn = false
        return 'forward'
      case frontend.functionCall:
        if (server.replies.push(owed.functionCall)) server.batchOpen = false
        // No text tells what it does.
        if (session.isPooled) session.effects |= effect.opaque
        session.footprint?.note(type, bytes, offset, end, total)
        return 'forward'
      case frontend.parse:
      case frontend.bind:
      case frontend.describe:
      case frontend.close:
        return this.#relayExtended(server, bytes, offset, end, type, total)
      default:
        throw unknownType(type)
    }
  }

  #query(server: PgServer, bytes: Buffer, offset: number, end: number, total: number): Step {
    const session = this.#session
    let step: Step = 'forward'
    if (session.isPooled) {
      if (end - offset < total && total <= wholeBytesMax) return 'incomplete'
      step = this.#queries.relay(server, bytes, offset, Math.min(end, offset + total), total)
      this.awaitsStatement = step === 'wait'
      if (this.awaitsStatement) {
        session.client.pauseReading()
        return step
      }
    } else {
      session.footprint?.note(frontend.query, bytes, offset, end, total)
      if (server.replies.push(owed.query)) server.batchOpen = false
    }
    session.context.stats.queries[server.side] += 1
    session.totals.queries += 1
    return step
  }

  /** Too long to be read whole: it keeps its name, and the session its server while it is there. */
  #longParse(server: PgServer, bytes: Buffer, offset: number, end: number): Step {
    const session = this.#session
    const nameEnd = bytes.indexOf(0, offset + headerBytes)
    if (nameEnd < 0 || nameEnd >= end) {
      if (end - offset < namesBytesMax) return 'incomplete'
      throw new PontoonError('CLIENT_PROTOCOL', 'the name in a Parse message is too long')
    }
    if (!session.onPrimary) throw readOnlyLeft()
    session.pinReason = 'long-statement'
    const name = bytes.toString('latin1', offset + headerBytes, nameEnd)
    session.statements.longNames.add(name)
    // What was unnamed before must not take its place.
    if (name === '') {
      session.statements.unnamed = null
      server.unnamedOwner = null
    }
    this.scanLongText(bytes, nameEnd + 1, end)
    server.replies.push(owed.parse)
    return 'forward'
  }

  #relayExtended(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    end: number,
    type: number,
    total: number,
  ): Step {
    const available = end - offset
    if (available < total) {
      const limit = type === frontend.parse ? wholeBytesMax : namesBytesMax
      if (total <= limit) return 'incomplete'
      // A Bind with large parameters streams as soon as its names are there.
      if (type === frontend.bind && this.#session.isPooled && !bindNamesIn(bytes, offset, end)) {
        if (available < namesBytesMax) return 'incomplete'
        throw new PontoonError('CLIENT_PROTOCOL', 'the names in a Bind message are too long')
      }
    }
    const wasOpen = server.batchOpen
    server.batchOpen = true
    if (!this.#session.isPooled) {
      this.#session.footprint?.note(type, bytes, offset, end, total)
      server.replies.push(this.#statements.owedFor(type))
      return 'forward'
    }
    if (type === frontend.parse && available < total)
      return this.#longParse(server, bytes, offset, end)
    const step = this.#statements.relay(
      server,
      bytes,
      offset,
      Math.min(total, available),
      total,
      type,
    )
    this.awaitsStatement = step === 'wait' || step === 'ask'
    if (step !== 'wait' && step !== 'ask') return step
    // What was asked is a part of the batch.
    if (step === 'wait') server.batchOpen = wasOpen
    this.#session.client.pauseReading()
    return 'wait'
  }
}
