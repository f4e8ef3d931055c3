/**
 * currval and lastval: a server remembers what sequences gave last, and in transaction pooling it
 * may have been asked by somebody else, or by this client on another server. An answer must never
 * be another client's value; an error is what a connection gives on which nothing was drawn.
 *
 * - Whoever asks in a text that is the first to run on a server that others have had (or the first
 *   behind its BEGIN) has the server forget before.
 * - What runs later in a transaction may ask for what that has drawn, so nothing can be forgotten
 *   by then. Once a text has asked, servers of its user and database forget at each change of
 *   clients: that costs those who need it a query of a few microseconds, and nobody else.
 * - Whoever asks in a transaction of its own is pinned from then on.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { effect } from '../../routing/session-functions.ts'
import { frontend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { Session } from './session.ts'

const discardSequences = queryMessage('DISCARD SEQUENCES')

/** The longest text that is taken for a BEGIN. */
const beginBytesMax = 100

export class SessionSequences {
  readonly #session: Session
  #lastLink = 0
  /** Nothing of the session has run yet on a server that others have had, but for a BEGIN. */
  #isFirstHere = false

  constructor(session: Session) {
    this.#session = session
  }

  /** The session has got a server, which is the so-and-so-many-th link of its database. */
  linked(server: PgServer, link: number): void {
    this.#isFirstHere = server.lastLink !== this.#lastLink
    this.#lastLink = link
    server.lastLink = link
    if (this.#session.identity.kinds.areSequencesAsked) this.#forget(server)
  }

  /** The message at `offset` runs: what sequences gave may be the session's own from now on. */
  used(type: number, bytes: Buffer, offset: number, total: number): void {
    if (this.#isFirstHere && !isBegin(type, bytes, offset, total)) this.#isFirstHere = false
  }

  /** Goes ahead of a text that asks what sequences gave last. */
  forgetOthers(server: PgServer, effects: number): void {
    if ((effects & effect.sequenceState) !== 0) this.#forget(server)
  }

  #forget(server: PgServer): void {
    if (!this.#isFirstHere) return
    this.#isFirstHere = false
    this.#session.errands.inject(server, discardSequences)
  }

  /** A text runs that asks what sequences gave last. */
  asked(sql: string): void {
    const session = this.#session
    if (drawsBeforeItAsks(sql)) return
    session.identity.kinds.areSequencesAsked = true
    if (session.server?.status === txStatus.idle && session.pinReason === '')
      session.pinReason = 'sequence'
  }

  /** DISCARD SEQUENCES has run. */
  discarded(): void {
    if (this.#session.pinReason === 'sequence') this.#session.pinReason = ''
  }
}

/** Whether the text asks for what it has drawn itself: it needs nothing from before. */
function drawsBeforeItAsks(sql: string): boolean {
  const before = sql.slice(0, Math.max(0, sql.search(/\b(currval|lastval)\b/i)))
  // An INSERT draws when it is over, and may itself ask for what another one has drawn.
  const statementsBefore = before.slice(0, before.lastIndexOf(';') + 1)
  return /\b(nextval|setval)\b/i.test(before) || /\binsert\b/i.test(statementsBefore)
}

/** A simple Query that begins a transaction and does no more. */
function isBegin(type: number, bytes: Buffer, offset: number, total: number): boolean {
  if (type !== frontend.query || total > beginBytesMax || offset + total > bytes.length)
    return false
  const letter = (bytes[offset + headerBytes] ?? 0) | 0x20
  const next = (bytes[offset + headerBytes + 1] ?? 0) | 0x20
  // Told from SELECT without making a string.
  if (letter !== 0x62 && (letter !== 0x73 || next !== 0x74)) return false
  const sql = bytes.toString('latin1', offset + headerBytes, offset + total - 1)
  return /^(begin|start\s+transaction)\b[^;]*;?\s*$/i.test(sql)
}
