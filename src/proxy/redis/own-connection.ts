/**
 * What a client that has a server of its own says about its connection (HELLO, AUTH, CLIENT SETNAME…):
 * whether the server hears it, and what is remembered of it. Neighbours: own-server.ts, which asks;
 * session-commands.ts, which answers what the server does not hear.
 */
import { readArguments } from '../../wire/redis/arguments.ts'
import { resetRequest } from '../../wire/redis/write.ts'
import type { CommandRecord } from './command-book.ts'
import { versionAsked } from './hello.ts'
import type { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'
import type { StandIns } from './stand-ins.ts'
import type { Subscriber } from './subscriber.ts'
import type { Traces } from './traces.ts'
import type { TransactionState } from './transaction-state.ts'

const endsSession = /^(?:reset|quit)$/

export interface OwnConnectionParts {
  readonly session: Session
  readonly relay: ServerRelay
  readonly transaction: TransactionState
  readonly traces: Traces
  readonly subscriber: Subscriber
  readonly standIns: StandIns
  /** Sends it in the place of the command `[at, next)`. */
  sendInstead(request: Buffer, bytes: Buffer, at: number, next: number): void
}

export class OwnConnection {
  readonly #parts: OwnConnectionParts

  constructor(parts: OwnConnectionParts) {
    this.#parts = parts
  }

  /** Whether the command may be sent now. If not, the session deals with it. */
  accept(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const { session, relay, transaction, traces, subscriber } = this.#parts
    const isWrong = next > 0 && session.requests.isMiscounted(record, bytes, at, next)
    const ends = !isWrong && endsSession.test(record.name)
    // Behind what cannot be counted only the server knows when it is its turn.
    if (record.name === 'quit' && !subscriber.isCounting) return true
    if (record.name === 'hello' && transaction.isOpen) {
      // The next EXEC to be answered is that of this transaction.
      if (session.outstanding > 0) {
        session.drain()
        return false
      }
      transaction.greets()
    }
    if (session.isPinned) {
      if (record.name === 'hello' && !transaction.isOpen) this.#noteHello(record, bytes, at, next)
      if (!session.commands.isOurs(record)) {
        if (subscriber.accept(record, bytes, at, next) === false) return false
        if (record.name === 'reset') {
          if (!isWrong && next >= 0) this.#noteReset(record, bytes, at, next)
          return true
        }
        // Inside MULTI it takes effect at EXEC, out of our sight.
        const isSeen = next >= 0 && !transaction.isOpen
        traces.asks(record.name, isSeen ? Buffer.from(bytes.subarray(at, next)) : null)
        return true
      }
    } else if (transaction.isOpen && !ends) {
      // What the server would do takes effect at EXEC, out of our sight.
      const isStoodFor = !isWrong && next >= 0 && this.queue(record, bytes, at, next)
      if (!isWrong && !isStoodFor) traces.stick(record.name)
      return true
    } else if (!ends && relay.listener?.isCounted === true) {
      // The server says itself what a subscriber of RESP2 may not ask for.
      const listening = subscriber.accept(record, bytes, at, next)
      if (listening !== null) return listening
    }
    if (session.outstanding > 0) session.drain()
    return false
  }

  /** In a transaction: true when something else is queued there for it. */
  queue(record: CommandRecord, bytes: Buffer, at: number, next: number): boolean {
    const { session, subscriber, transaction, standIns } = this.#parts
    if (!subscriber.isCounting || session.requests.framer.isInline) return false
    const queued = session.commands.inTransaction(record, readArguments(bytes, at, next))
    if (queued === null) return false
    if (record.name === 'client|reply') transaction.tells()
    const request = Buffer.isBuffer(queued) ? queued : standIns.add(queued)
    this.#parts.sendInstead(request, bytes, at, next)
    return true
  }

  #noteHello(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    const version = versionAsked(bytes, at, next)
    // Also for one that asks for none: its answer must not be taken for that of the next.
    this.#parts.traces.whenTaken(record, () => {
      if (version !== null) this.#parts.subscriber.speaks(version)
    })
  }

  #noteReset(record: CommandRecord, bytes: Buffer, at: number, next: number): void {
    const { session, relay, transaction, traces, subscriber } = this.#parts
    if (relay.isRaw) return
    session.replies.reset()
    if (!subscriber.isCounting)
      this.#parts.sendInstead(subscriber.expect(record, resetRequest), bytes, at, next)
    traces.whenTaken(record, () => {
      subscriber.end()
      transaction.reset()
      traces.setup.clear()
    })
  }
}
