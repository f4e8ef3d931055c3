/**
 * What comes from one server, for the clients it owes: finds the end of each reply, gives runs of
 * replies to the same client as one slice, and counts. A server that many share and one that is a
 * client's own differ only in who is told what (session.ts).
 */
import type { RedisServer } from '../../net/redis/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { readArgument } from '../../wire/redis/arguments.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { resetRequest } from '../../wire/redis/write.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import { BatchWriter } from './batch-writer.ts'
import type { CommandRecord } from './command-book.ts'
import type { RedisContext } from './context.ts'
import { HeldFrame } from './held-frame.ts'
import type { Listener } from './listener.ts'
import { OwedReplies } from './owed-replies.ts'
import type { OwnServer } from './own-server.ts'
import type { Session } from './session.ts'

/** As much of the answer to a question of Pontoon's own as it gets to see. */
const answerBytesMax = 64

interface Aside {
  beginning: string
  readonly answered: (beginning: string) => void
}

const toNobody = (): void => undefined

export class ServerRelay implements TransportHandler {
  readonly server: RedisServer
  readonly owed = new OwedReplies()
  readonly batch: BatchWriter
  /** The client that has it for itself; null while many share it. */
  owner: Session | null = null
  /** Nothing is framed any more: everything goes to the owner as it comes. */
  isRaw = false
  /** Everything goes to the owner as it comes, and this tells what of it was owed. */
  listener: Listener | null = null
  /** Clients whose replies it holds back because they do not read; then others are kept off. */
  isHeldUp = false
  /** In the middle of a reply that will be long: who can goes elsewhere. */
  isLong = false
  /** It does not read what we send. */
  isCongested = false
  /** No new command may go to it. */
  isRetiring = false
  lastUsedMs: number
  readonly #context: RedisContext
  readonly #framer = new ReplyFramer()
  /** What Pontoon has asked itself, in order. */
  readonly #asides: Aside[] = []
  readonly #onGone: (relay: ServerRelay, error: PontoonError) => void
  /** Others may come again. */
  readonly #onOpen: () => void
  /** The push under way goes to nobody. */
  #isDropping = false
  /** What is under way is owed to nobody: a push, or the error of a subscription. */
  #isUnasked = false
  readonly #push = new HeldFrame()
  /** The frame under way may be a reply that is muted. */
  #isHolding = false
  readonly #holding: Buffer[] = []
  /** What has come of the reply that is measured. */
  #measuredBytes = 0
  /** Its client goes elsewhere: how many replies are still to come, and who waits for that. */
  #leaving: { repliesLeft: number; readonly left: () => void } | null = null

  constructor(
    context: RedisContext,
    server: RedisServer,
    onGone: (relay: ServerRelay, error: PontoonError) => void,
    onOpen: () => void = () => undefined,
  ) {
    this.#context = context
    this.server = server
    this.#onGone = onGone
    this.#onOpen = onOpen
    this.lastUsedMs = context.clock.nowMs()
    this.batch = new BatchWriter(server.transport)
    server.transport.handler = this
  }

  /** May take the next command of a client that has none under way. */
  get isOpen(): boolean {
    return !this.isHeldUp && !this.isCongested && !this.isRetiring && this.server.isUsable
  }

  /** In the middle of a reply: its client has a part of it. */
  get isInsideReply(): boolean {
    return this.#framer.isInside
  }

  onBytes(bytes: Buffer, end: number): void {
    this.#context.stats.bytesFromServers += end
    this.#take(bytes, end)
  }

  #take(bytes: Buffer, end: number): void {
    try {
      if (this.#leaving !== null) this.#sayLast(bytes, end)
      else if (this.isRaw) this.owner?.deliver(bytes, 0, end)
      else if (this.listener !== null) this.#follow(bytes, end, this.listener)
      else this.#split(bytes, end)
      if (this.isLong !== this.#framer.isLong) {
        this.isLong = !this.isLong
        if (!this.isLong) this.#onOpen()
      }
    } catch (thrown) {
      this.server.transport.destroy(toPontoonError(thrown))
    }
  }

  /**
   * Its client, a subscriber to whom nothing is owed, goes elsewhere. Calls back when it has said
   * all that it had to say by now: RESET is understood in every state, and answered behind that.
   */
  leave(left: () => void): void {
    this.#leaving = { repliesLeft: this.owed.length + 1, left }
    this.server.transport.sendOwned(resetRequest)
  }

  /** Messages are for the client, replies are not: they come as neither arrays nor pushes. */
  #sayLast(bytes: Buffer, end: number): void {
    for (let offset = 0; offset < end && this.#leaving !== null;) {
      const next = this.#framer.next(bytes, offset, end)
      const stop = next < 0 ? end : next
      const { type } = this.#framer
      if (type === marker.array || type === marker.push) this.owner?.deliver(bytes, offset, stop)
      else if (next >= 0) this.#leaving.repliesLeft -= 1
      offset = stop
      if (this.#leaving.repliesLeft > 0) continue
      const { left } = this.#leaving
      this.#leaving = null
      left()
    }
  }

  #follow(bytes: Buffer, end: number, listener: Listener): void {
    const { owed, owner } = this
    let from = 0
    let offset = 0
    while (offset < end) {
      const isBegin = !this.#framer.isInside
      const next = this.#framer.next(bytes, offset, end)
      const stop = next < 0 ? end : next
      // Only its end shows whether such a frame is that reply.
      if (isBegin && owed.isMuted) this.#isHolding = listener.mayPay(this.#framer.type)
      if (this.#isHolding) {
        listener.tell(bytes, from, offset)
        from = offset
      }
      const isPaid = listener.hears(bytes, offset, stop, next >= 0)
      if (this.#isHolding) {
        this.#holding.push(Buffer.from(bytes.subarray(offset, stop)))
        from = stop
        if (next >= 0) this.#judge(listener, isPaid && listener.wasReply)
      }
      if (isPaid) {
        const { record, sentAtMs } = owed
        const tookMs = this.#context.clock.nowMs() - sentAtMs
        // What shows that a RESET has run is an error, and no refusal of it.
        const type = listener.isCounted ? this.#framer.type : marker.simple
        owed.shift()
        this.#count(record, tookMs, type)
        if (owner !== null) {
          listener.tell(bytes, from, stop)
          from = stop
          owner.outstanding -= 1
          owner.own?.replied(record, bytes, isBegin ? offset : -1, type)
          if (owner.outstanding === 0) {
            owner.settled(record, tookMs)
            if (this.#isOver(listener, bytes, stop, end)) return
          }
        }
      }
      offset = stop
    }
    listener.tell(bytes, from, end)
  }

  /** Of what was held: a reply that is muted goes to nobody, what is heard goes to its client. */
  #judge(listener: Listener, isMuted: boolean): void {
    this.#isHolding = false
    const frame = Buffer.concat(this.#holding.splice(0))
    if (!isMuted) listener.tell(frame, 0, frame.length)
  }

  /** It has another use since its client was told, so the rest is not for this one. */
  #isOver(listener: Listener | null, bytes: Buffer, next: number, end: number): boolean {
    const isStill = this.server.transport.handler === this
    if (isStill && !this.isRaw && this.listener === listener) return false
    if (next === end) return true
    // It is somebody else's already, who must not take this for an answer to him.
    if (!isStill) this.server.transport.destroy(unaskedReply())
    else this.#take(bytes.subarray(next, end), end - next)
    return true
  }

  #split(bytes: Buffer, end: number): void {
    const { owed } = this
    const now = this.#context.clock.nowMs()
    let runStart = 0
    let run: Session | null = null
    let offset = 0
    while (offset < end) {
      const isBegin = !this.#framer.isInside
      const next = this.#framer.next(bytes, offset, end)
      const own = this.owner?.own ?? null
      if (isBegin) this.#begins(own, bytes, offset, next < 0 ? end : next)
      const isUnasked = this.#isUnasked
      const isWithheld =
        own !== null &&
        !isUnasked &&
        owed.session !== null &&
        own.withholds(bytes, offset, next < 0 ? end : next, isBegin, next >= 0)
      const receiver = isWithheld ? null : isUnasked ? this.#pushReceiver() : this.#receiver()
      if (receiver !== run) {
        if (run !== null) run.deliver(bytes, runStart, offset)
        run = receiver
        runStart = offset
      }
      if (isWithheld) own.passOn(bytes, offset, next < 0 ? end : next)
      if (receiver === null && !isWithheld && !isUnasked)
        this.#asideReplied(bytes, offset, next < 0 ? end : next, next >= 0)
      if (isUnasked && own !== null) {
        const push = this.#push.take(bytes, offset, next < 0 ? end : next, next >= 0)
        if (push !== null) own.subscriber.subscriptions.take(push)
      }
      if (!isUnasked && owed.measured !== null)
        this.#measure(owed.measured, (next < 0 ? end : next) - offset, next >= 0)
      if (next < 0) break
      if (!isUnasked) {
        const record = owed.record
        const { sentAtMs } = owed
        const waiting = owed.session
        owed.shift()
        this.#count(record, now - sentAtMs, this.#framer.type)
        if (isBegin && this.#framer.type === marker.error && saysUnable(bytes, offset))
          this.#context.groups.unable(this.server.side, now)
        if (waiting !== null && isWithheld) {
          waiting.outstanding -= 1
          own?.withheld(record, bytes, isBegin ? offset : -1, this.#framer.type)
          if (waiting.outstanding === 0) {
            waiting.settled(record, 0)
            if (this.#isOver(null, bytes, next, end)) return
          }
        } else if (receiver !== null) {
          receiver.outstanding -= 1
          if (this.owner !== null)
            this.owner.own?.replied(record, bytes, isBegin ? offset : -1, this.#framer.type)
        }
        if (receiver !== null && receiver.outstanding === 0) {
          // What comes next from it may be answered at once, so its replies go first.
          receiver.deliver(bytes, runStart, next)
          run = null
          receiver.settled(record, now - sentAtMs)
          if (this.#isOver(null, bytes, next, end)) return
        }
      }
      offset = next
    }
    if (run !== null) run.deliver(bytes, runStart, end)
    if (this.isRetiring && owed.length === 0) this.#onRest(this)
  }

  #onRest: (relay: ServerRelay) => void = () => undefined

  /** Calls back once nothing is owed any more. */
  retire(whenAtRest: (relay: ServerRelay) => void): void {
    this.isRetiring = true
    this.#onRest = whenAtRest
    if (this.owed.length === 0) whenAtRest(this)
  }

  /**
   * Sends a command of Pontoon's own; nobody gets its reply but `answered`, the beginning of it,
   * or nothing when the server is lost.
   */
  ask(request: Buffer, answered: (beginning: string) => void = toNobody): void {
    const { book, clock } = this.#context
    const name = readArgument(request, 0, request.length, 0) ?? request
    this.owed.push(null, book.find(name, 0, name.length), clock.nowMs())
    this.#asides.push({ beginning: '', answered })
    if (this.owner === null) this.batch.append(request, 0, request.length)
    else this.server.transport.sendOwned(request)
  }

  #asideReplied(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    const [aside] = this.#asides
    if (aside === undefined) return
    const room = answerBytesMax - aside.beginning.length
    if (room > 0) aside.beginning += bytes.toString('latin1', start, Math.min(end, start + room))
    if (!isLast) return
    this.#asides.shift()
    aside.answered(aside.beginning)
  }

  /** A reply begins: is it one that somebody waits for? */
  #begins(own: OwnServer | null, bytes: Buffer, start: number, end: number): void {
    const { type } = this.#framer
    const isPush = type === marker.push
    if (isPush) this.#isDropping = this.owner === null
    const isOwed = own !== null && this.owed.session !== null
    const isBehind =
      !isPush && isOwed && own.subscriber.confirmation.isBehind(type, bytes, start, end)
    if (isBehind) this.#isDropping = this.owed.isMuted
    this.#isUnasked = isPush || isBehind
  }

  #receiver(): Session | null {
    if (this.owed.length > 0) return this.owed.session
    throw unaskedReply()
  }

  #pushReceiver(): Session | null {
    return this.#isDropping ? null : this.owner
  }

  #measure(key: string, bytes: number, isLast: boolean): void {
    this.#measuredBytes += bytes
    if (!isLast) return
    this.#context.watch.bigReply(this.owed.record, key, this.#measuredBytes)
    this.#measuredBytes = 0
  }

  #count(record: CommandRecord, tookMs: number, type: number): void {
    this.#context.stats.queries[this.server.side] += 1
    record.latency.observe(tookMs / 1_000)
    if (record.isWrite) this.#context.reads.written(tookMs)
    if (type === marker.error || type === marker.bulkError) record.errors += 1
    if (tookMs >= this.#context.watch.slowMs) this.#context.watch.slow(record, tookMs)
  }

  /** A client does not read: nothing more is read for it, nor for those behind it. */
  holdUp(): void {
    this.isHeldUp = true
    this.server.transport.pauseReading()
  }

  goOn(): void {
    this.isHeldUp = false
    this.server.transport.resumeReading()
    this.#onOpen()
  }

  onCongested(): void {
    this.isCongested = true
    if (this.owner === null) this.#context.groups.congested(this)
    else this.owner.client.pauseReading()
  }

  onDrained(): void {
    this.isCongested = false
    this.#onOpen()
    if (this.owner === null) this.#context.groups.drained(this)
    else this.owner.readOn()
  }

  onClosed(error: Error | null): void {
    const words = error instanceof PontoonError ? error.message : 'the server closed the connection'
    this.#onGone(
      this,
      new PontoonError('SERVER_LOST', words, error === null ? {} : { cause: error }),
    )
    for (const { answered } of this.#asides.splice(0)) answered('')
  }
}

function unaskedReply(): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', 'the server sent a reply that nobody asked for')
}

/** What a replica says to a write, so also a primary that was made one in a failover. */
const readOnly = Buffer.from('-READONLY ')

/** What a server says to nearly everything while it reads its data, so also one that just began. */
const loading = Buffer.from('-LOADING ')

function saysUnable(bytes: Buffer, offset: number): boolean {
  const begins = (words: Buffer): boolean => {
    const end = offset + words.length
    return end <= bytes.length && bytes.compare(words, 0, words.length, offset, end) === 0
  }
  return begins(readOnly) || begins(loading)
}
