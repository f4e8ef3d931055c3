/**
 * The blocking command that a client has under way on a server of its own (own-server.ts). A pause
 * ends it without its client's knowledge: CLIENT UNBLOCK makes the server answer as if the time
 * were over, that answer is kept from the client, and the command waits at the gate to be sent
 * again. Where the server does not allow that, it waits for a short time only, again and again
 * (limited-wait.ts). What has been popped meanwhile is delivered: the socket is never closed on it.
 */
import { wordsOf } from '../../wire/redis/arguments.ts'
import type { CommandRecord } from './command-book.ts'
import { LatestIds } from './latest-ids.ts'
import { LimitedWait } from './limited-wait.ts'
import type { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'

/** It may not have come to block yet: how long until the server is asked again. */
const recallAgainMs = 10

/** How a command is sent that blocks. */
export interface BlockingSend {
  /** What must be asked ahead of it, on the same connection. */
  readonly ahead: LatestIds | null
  /** What is sent in its place. */
  readonly instead: Buffer | null
}

export class BlockingCommand {
  readonly #session: Session
  readonly #relay: ServerRelay
  #record: CommandRecord | null = null
  /** To be sent again after a pause. */
  #request: Buffer | null = null
  /** Where its streams ended when it was sent. */
  #latest: LatestIds | null = null
  #limited: LimitedWait | null = null
  /** As it is sent next, when its null was kept from the client. */
  #again: Buffer | null = null
  /** Its client has left: it is over unless it is answered at once. */
  #isGivenUp = false
  /** A null that comes now is not for the client. */
  #isRecalled = false
  /** The server is asked to end it, or will be. */
  #recall: 'none' | 'asked' | 'later' = 'none'

  constructor(session: Session, relay: ServerRelay) {
    this.#session = session
    this.#relay = relay
  }

  get isUnderWay(): boolean {
    return this.#request !== null
  }

  /** The server may still be told to end what this connection waits for, whatever that is by then. */
  get isBeingEnded(): boolean {
    return this.#recall === 'asked'
  }

  /** It is about to be sent. */
  begin(record: CommandRecord, request: Buffer): BlockingSend {
    this.#record = record
    this.#request = request
    const words = wordsOf(request)
    if (this.#relay.server.endWait === null)
      this.#limited = LimitedWait.of(record.facts, words, this.#nowMs)
    else if (record.name === 'xread') this.#latest = LatestIds.of(words)
    return { ahead: this.#latest, instead: this.#limited?.request ?? null }
  }

  /** Nothing is sent behind it, so that it can be ended alone. */
  get isAlone(): boolean {
    const canEnd = this.#relay.server.endWait !== null
    return this.isUnderWay && (canEnd || !this.#session.hasEnded)
  }

  /**
   * Its client has left, and what is held behind it is carried out only if it need not wait. False
   * where nobody can be asked to end it.
   */
  giveUp(): boolean {
    if (!this.isAlone) return false
    this.#isGivenUp = true
    this.recall()
    return true
  }

  /** It was answered, or its server or client is gone. */
  end(): void {
    this.#request = null
    this.#latest = null
    this.#limited = null
  }

  /** A pause is to end it. */
  recall(): void {
    const session = this.#session
    const { endWait, side } = this.#relay.server
    if (this.#request === null || endWait === null || this.#recall !== 'none') return
    // Replies ahead of it are to come, and one of those may be of a WAIT; or `$` would mean later.
    if (session.outstanding !== 1 || this.#latest?.isKnown === false) {
      this.#recallLater()
      return
    }
    this.#recall = 'asked'
    this.#isRecalled = true
    endWait(
      (request, answered) => session.groups[side].ask(request, answered),
      (answer) => this.#answered(answer),
    )
  }

  /** It has taken another way than the command: that may not have come yet, or be answered by now. */
  #answered(answer: string): void {
    this.#recall = 'none'
    // Then a null has come, or will.
    if (answer === ':1') return
    if (answer !== '') this.#isRecalled = false
    if (this.#request === null) return
    if (!answer.startsWith('-')) this.#recallLater()
    else if (this.#isGivenUp) this.#session.own?.hangUp()
  }

  #recallLater(): void {
    this.#recall = 'later'
    setTimeout(() => {
      this.#recall = 'none'
      if (this.#isGivenUp || !this.#session.context.gate.isOpen) this.recall()
    }, recallAgainMs)
  }

  /** Whether the reply `bytes[start, end)` is a null that does not mean the end of its time. */
  withholds(bytes: Buffer, start: number, end: number): boolean {
    const isRecalled = this.#isRecalled
    if (this.#request === null || (!isRecalled && this.#limited === null)) return false
    // Of a command ahead of it, which has a null of its own.
    if (this.#session.outstanding > 1) return false
    const isNull =
      end - start <= 5 && /^(?:[*$]-1|_)\r\n$/.test(bytes.toString('latin1', start, end))
    // What was popped ahead of that leaves it to come, for the next command.
    if (isNull || this.#recall !== 'asked') this.#isRecalled = false
    if (!isNull) return false
    this.#again = isRecalled ? this.#whole() : (this.#limited?.rest(this.#nowMs) ?? null)
    return this.#again !== null
  }

  #whole(): Buffer | null {
    return this.#latest?.request() ?? this.#request
  }

  get #nowMs(): number {
    return this.#session.context.clock.nowMs()
  }

  /** That null has come whole: the command is to be sent again, after a pause if there is one. */
  putBack(): void {
    const again = this.#again
    this.#again = null
    this.end()
    if (again === null) return
    if (this.#record !== null) this.#record.calls -= 1
    this.#session.requests.putBack(again)
  }
}
