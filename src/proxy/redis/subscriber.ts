/**
 * What a client of a server of its own listens to: subscriptions of both versions of the protocol,
 * MONITOR. It knows what may be sent meanwhile, and by what replies are told from messages: RESP2 is
 * counted (listener.ts), RESP3 has pushes and a confirmation (confirmation.ts).
 */
import type { RespVersion } from '../../net/redis/login.ts'
import { marker } from '../../wire/redis/protocol.ts'
import type { CommandRecord } from './command-book.ts'
import { Confirmation } from './confirmation.ts'
import { lastWordRequest, Listener, type Tell } from './listener.ts'
import type { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'
import { StandInReader, type StandInAnswer, type StandIns } from './stand-ins.ts'
import type { Subscriptions } from './subscriptions.ts'

/** Their replies are pushes in RESP3, and one per channel in RESP2. */
const subscribing = /^[ps]?(?:un)?subscribe$/

/** After these the server speaks unasked, or does not answer, so that nothing can be counted. */
const uncounted = /^(?:monitor|client\|reply)$/

/** After these nothing is framed. */
const raw = /^p?sync$/

export class Subscriber {
  readonly subscriptions: Subscriptions
  readonly confirmation = new Confirmation()
  readonly #session: Session
  readonly #relay: ServerRelay
  readonly #standIns: StandIns

  /** On a server that has `subscriptions` already. */
  constructor(
    session: Session,
    relay: ServerRelay,
    subscriptions: Subscriptions,
    standIns: StandIns,
  ) {
    this.#session = session
    this.#relay = relay
    this.subscriptions = subscriptions
    this.#standIns = standIns
    if (subscriptions.size > 0 && session.version === 2) this.#listen(true)
  }

  /** What is sent is owed a reply that will be recognised. */
  get isCounting(): boolean {
    return !this.#relay.isRaw && this.#relay.listener?.isCounted !== false
  }

  /**
   * In a cluster what comes behind it may be for another node, which would answer sooner; behind an
   * EXEC the version may be another one.
   */
  get mustBeConfirmed(): boolean {
    const { isDue, isOfExec } = this.confirmation
    return isDue && (isOfExec || this.#relay.server.address === null)
  }

  /** The answer to the HELLO that confirms it has come whole: of RESP3 it is a map. */
  confirmed(type: number): void {
    const { isOfExec } = this.confirmation
    this.confirmation.end()
    if (isOfExec) this.speaks(type === marker.map ? 3 : 2)
  }

  isSubscription({ name }: CommandRecord): boolean {
    return subscribing.test(name)
  }

  /** A command that begins it, with everything before it answered. */
  begin(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    if (raw.test(record.name)) this.#relay.isRaw = true
    else if (uncounted.test(record.name)) this.#listen(false)
    else if (!this.isSubscription(record)) return
    else if (this.#session.version === 3) this.confirmation.begin(record)
    else this.#listen(true).sent(record.name, this.#countArguments(bytes, at, next))
  }

  #countArguments(bytes: Buffer, at: number, next: number): number {
    return this.#session.requests.countArguments(bytes, at, next)
  }

  /** An EXEC has begun it. A subscription to several channels says more than one thing in there. */
  beginAtExec(): void {
    this.#listen(false)
  }

  /**
   * A command while it listens in RESP2, or to what cannot be counted: whether it may be sent now.
   * Null when it listens to nothing, or has shown just now that it does not any more.
   */
  accept(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean | null {
    const { listener } = this.#relay
    if (listener === null) return null
    const { outstanding } = this.#session
    const isSubscription = this.isSubscription(record)
    const { isCounted } = listener
    // A subscriber may do nothing else, and whether he still is one the replies will tell.
    const mayFollow = isCounted && (isSubscription || record.name === 'ping')
    if (!mayFollow && outstanding > 0) {
      this.#session.drain()
      return false
    }
    if (!isCounted) return true
    if (!isSubscription && outstanding === 0 && this.subscriptions.size === 0) {
      this.#relay.listener = null
      return null
    }
    listener.sent(record.name, isSubscription ? this.#countArguments(bytes, at, next) : 1)
    return true
  }

  /** From now on. Subscribers of RESP2 get no pushes. */
  speaks(version: RespVersion): void {
    this.#session.version = version
    if (version === 2 && this.subscriptions.size > 0) this.#listen(true)
  }

  /**
   * A single reply; gives what to send for it. Where others cannot be counted it is that of RESET,
   * which may have none: what is sent behind it shows that it has run.
   */
  expect(record: CommandRecord, request: Buffer): Buffer {
    this.#relay.listener?.sent(record.name, 1)
    this.#session.expect(this.#relay, record, this.#session.context.clock.nowMs())
    if (this.isCounting) return request
    this.#relay.owed.mute()
    return Buffer.concat([request, lastWordRequest])
  }

  /** A RESET has ended it. */
  end(): void {
    this.#session.version = 2
    this.subscriptions.clear()
    if (!this.isCounting) this.#relay.listener = null
  }

  /** Has the server say it, where only that knows when it is its turn; false where it does not. */
  answer(answer: StandInAnswer): boolean {
    if (this.isCounting || this.#relay.isRaw) return false
    this.#relay.server.transport.sendOwned(this.#standIns.add(answer))
    return true
  }

  #listen(isCounted: boolean): Listener {
    const tell: Tell = (bytes, start, end) => this.#session.deliver(bytes, start, end)
    const reader = isCounted ? null : new StandInReader(this.#standIns, false, tell)
    const told: Tell = reader === null ? tell : (...heard) => reader.pass(...heard)
    const listener = new Listener(this.subscriptions, isCounted, told)
    this.#relay.listener = listener
    return listener
  }
}
