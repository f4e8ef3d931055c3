/**
 * Queries of Pontoon's own on the server that a session holds: its settings before a request, the
 * question what a transaction has left behind, the move of its LISTENs. One at a time; their
 * replies are swallowed (backend-relay.ts), and while one is under way no request of the client is
 * forwarded.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { assert } from '../../shared/assert.ts'
import { PontoonError } from '../../shared/errors.ts'
import { txStatus } from '../../wire/pg/protocol.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { Session } from './session.ts'
import { needsTruth, SessionTruth, truthAgeMaxMs } from './session-truth.ts'
import { settingsSql } from './settings.ts'

export type Errand = 'none' | 'settings' | 'truth' | 'move'

export class SessionErrands {
  readonly #session: Session
  #underWay: Errand = 'none'
  #truth: SessionTruth | null = null
  #truthAtMs = 0

  constructor(session: Session) {
    this.#session = session
  }

  get underWay(): Errand {
    return this.#underWay
  }

  get isUnderWay(): boolean {
    return this.#underWay !== 'none'
  }

  /** The settings of the session go to the server ahead of its request. */
  applySettings(server: PgServer): void {
    assert(!this.isUnderWay, 'one errand at a time')
    const { settings, settingsKey } = this.#session
    this.#underWay = 'settings'
    this.inject(server, queryMessage(settingsSql(server.settings, settings)))
    server.settings = settings
    server.settingsKey = settingsKey
  }

  /** The server has taken the settings: the request goes on. */
  applied(): void {
    this.#underWay = 'none'
    this.#session.frontend.resume()
  }

  /** What is to be done before a server at rest may be given back; false when nothing is. */
  runNext(server: PgServer, nowMs: number): boolean {
    if (this.isUnderWay) return false
    if (this.#mustAskTruth(nowMs)) this.#askTruth(server, nowMs)
    else if (this.#session.listening?.mayMove === true) this.#moveListens(server)
    else return false
    return true
  }

  /** The effects are known only by asking; a pinned session is asked again now and then. */
  #mustAskTruth(nowMs: number): boolean {
    const { effects, pinReason, statements } = this.#session
    // A query would drop the unnamed statement, which nobody could parse again.
    if (statements.longNames.has('')) return false
    if (needsTruth(effects)) return true
    return pinReason !== '' && nowMs - this.#truthAtMs > truthAgeMaxMs
  }

  #askTruth(server: PgServer, nowMs: number): void {
    const session = this.#session
    this.#truthAtMs = nowMs
    this.#underWay = 'truth'
    this.#truth = new SessionTruth(session.effects, session.settingTexts, session.settings)
    session.effects = 0
    session.settingTexts = []
    this.inject(server, queryMessage(this.#truth.sql))
  }

  #moveListens(server: PgServer): void {
    const { listening } = this.#session
    assert(listening !== null, 'a session that listens')
    this.#underWay = 'move'
    this.inject(server, queryMessage(listening.beginMove()))
  }

  /** Sends a simple Query of our own; its replies are swallowed. It drops the unnamed statement. */
  inject(server: PgServer, query: Buffer): void {
    server.unnamedOwner = null
    server.replies.push(owed.query | owed.injected)
    server.transport.sendOwned(query)
  }

  /** One row of the answer to what was asked. */
  row(columns: readonly (string | null)[]): void {
    this.#truth?.row(columns)
  }

  /** ReadyForQuery of an injected query has come. */
  queryDone(server: PgServer): void {
    if (this.#truth !== null) this.#truthTold(server, this.#truth)
    else if (this.#underWay === 'move') {
      const next = this.#session.listening?.nextOfMove() ?? ''
      if (next === '') this.#underWay = 'none'
      else this.inject(server, queryMessage(next))
    }
  }

  #truthTold(server: PgServer, truth: SessionTruth): void {
    const session = this.#session
    this.#truth = null
    this.#underWay = 'none'
    session.pinReason = truth.pinReason(session.pinReason, session.statements.longNames.size > 0)
    if (truth.failed) return
    // Somebody closed statements that we count on.
    if (truth.prepared !== null && truth.prepared < server.prepared.size) server.spoil()
    session.takeSettings(server, truth.settings())
    session.listens(truth.channels)
  }

  /**
   * The server refused a query of ours. The truth: the server is closed when the client is done
   * with it. A move: the session listens on there. A setting: the server still has those
   * of another client, so the session ends.
   */
  failed(server: PgServer, text: string): void {
    const session = this.#session
    session.context.log.warn(
      { service: session.context.name, pid: server.pid, error: text, errand: this.#underWay },
      'a query of Pontoon failed on a server',
    )
    // It listens on; nextOfMove() finds that the mark has not come.
    if (this.#underWay === 'move') return
    server.spoil()
    if (this.#truth === null)
      throw new PontoonError('SETTING_REFUSED', `the session's settings cannot be applied: ${text}`)
    this.#truth.failed = true
  }

  /** Whether the server may be asked or told something while its session is idle. */
  mayRunOn(server: PgServer): boolean {
    return !this.isUnderWay && server.isAtRest && server.status === txStatus.idle
  }
}
