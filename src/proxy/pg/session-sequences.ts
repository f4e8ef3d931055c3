/**
 * currval and lastval: a server remembers what sequences gave last, and in transaction pooling it
 * may have been asked by somebody else, or by this client on another server. Whoever asks in a
 * transaction of its own is pinned from then on; the first time, what others may have left is
 * forgotten before, so that the answer is an error rather than another client's value.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { effect } from '../../routing/session-functions.ts'
import { txStatus } from '../../wire/pg/protocol.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { Session } from './session.ts'

const discardSequences = queryMessage('DISCARD SEQUENCES')

export class SessionSequences {
  readonly #session: Session
  #lastLink = 0
  #isFirstHere = false

  constructor(session: Session) {
    this.#session = session
  }

  /** The session has got a server, which is the so-and-so-many-th link of its database. */
  linked(server: PgServer, link: number): void {
    this.#isFirstHere = server.lastLink !== this.#lastLink
    this.#lastLink = link
    server.lastLink = link
  }

  /** Something of the session runs on its server: what sequences gave may be its own from now on. */
  used(): void {
    this.#isFirstHere = false
  }

  /** Goes ahead of a text that is the first to run on a server that others have had. */
  forgetOthers(server: PgServer, effects: number, sql: string): void {
    if (!this.#isFirstHere || (effects & effect.sequenceState) === 0) return
    if (this.#readsOlder(sql)) this.#session.errands.inject(server, discardSequences)
  }

  /** A text runs that asks what sequences gave last. */
  asked(sql: string): void {
    if (this.#readsOlder(sql)) this.#session.pinReason = 'sequence'
  }

  /** DISCARD SEQUENCES has run. */
  discarded(): void {
    if (this.#session.pinReason === 'sequence') this.#session.pinReason = ''
  }

  /** What a transaction before this one has drawn, not the same text. */
  #readsOlder(sql: string): boolean {
    const { server, pinReason } = this.#session
    const isFirst = server?.status === txStatus.idle
    return isFirst && pinReason === '' && !/\b(insert|nextval|setval)\b/i.test(sql)
  }
}
