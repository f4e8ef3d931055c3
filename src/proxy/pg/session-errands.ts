/**
 * Queries of Pontoon's own on the server that a session holds: its settings before a request, the
 * question what a transaction has left behind, the move of its LISTENs. One at a time; their
 * replies are swallowed (backend-relay.ts), and while one is under way no request of the client is
 * forwarded.
 */
import { hasTransactionTimeout } from '../../net/pg/reported.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { effect } from '../../routing/session-functions.ts'
import { assert } from '../../shared/assert.ts'
import { PontoonError } from '../../shared/errors.ts'
import { txStatus } from '../../wire/pg/protocol.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { Session } from './session.ts'
import { isLasting, needsTruth, SessionTruth, truthAgeMaxMs } from './session-truth.ts'
import {
  identityOf,
  isOfPast,
  noSettings,
  settingsKey,
  settingsSql,
  withoutPast,
} from './settings.ts'
import type { Settings } from './settings.ts'

/**
 * So many servers in a row may refuse the settings of a session before it ends: the order in which
 * settings and roles were set need not be what they object to on the next.
 */
const refusalsMax = 3

/** So many may besides for what ran on them before: all that a pool holds, one after the other. */
const pastRefusalsMax = 100

/**
 * due: something is to be asked or told once no cancel request can hit it. end: the server has said
 * its last word, and what the client sends waits for another one.
 */
export type Errand = 'none' | 'settings' | 'due' | 'truth' | 'move' | 'end'

export class SessionErrands {
  readonly #session: Session
  #underWay: Errand = 'none'
  #truth: SessionTruth | null = null
  /** When the server last answered (clock milliseconds), be it that it refused to. */
  #truthAtMs = 0
  /** Names in what was prepared after this one may mean temporary tables; null without any. */
  #tempTablesSince: number | null = null
  /** Servers that have refused the settings, one after the other. */
  #refusals = 0
  #pastRefusals = 0
  /** The server that is being given the settings is fresh. */
  #isOnFresh = false
  #isRefused = false
  /** What the server had before it was given the settings. */
  #before: Settings = noSettings
  /** It keeps one of those, and the session, which is pinned to it, has to as well. */
  #isKept = false

  constructor(session: Session) {
    this.#session = session
  }

  get underWay(): Errand {
    return this.#underWay
  }

  /** The server keeps the settings of another client, and the session gets another server. */
  get isRefused(): boolean {
    return this.#isRefused
  }

  get isUnderWay(): boolean {
    return this.#underWay !== 'none'
  }

  /** The settings of the session go to the server ahead of its request. */
  applySettings(server: PgServer): void {
    assert(!this.isUnderWay, 'one errand at a time')
    const session = this.#session
    const { settings } = session
    this.#underWay = 'settings'
    this.#isOnFresh = server.isFresh
    this.#before = server.settings
    const sql = settingsSql(server.settings, settings, this.#refusals % 2 === 1)
    this.inject(server, queryMessage(sql))
    server.settings = settings
    server.settingsKey = session.settingsKey
  }

  /** The server has taken the settings, or refused them: the request goes on, or starts over. */
  applied(): void {
    this.#underWay = 'none'
    if (this.#isRefused) {
      this.#isRefused = false
      this.#session.replaceServer()
      return
    }
    if (this.#isKept) {
      this.#keep()
      return
    }
    this.#refusals = 0
    this.#pastRefusals = 0
    this.#session.frontend.resume()
  }

  /** What is to be done before a server at rest may be given back; false when nothing is. */
  runNext(server: PgServer, nowMs: number): boolean {
    if (this.isUnderWay) return true
    if (this.#session.reset !== '') this.#takeReset(server)
    const isAsking = this.#mustAskTruth(nowMs)
    if (!isAsking && this.#session.listening?.mayMove !== true) return false
    if (server.cancelsInFlight > 0) this.#awaitCancels(server)
    else if (isAsking) this.#askTruth(server)
    else this.#moveListens(server)
    return true
  }

  /** Those on their way are for what has ended, and must not hit what comes next of ours. */
  #awaitCancels(server: PgServer): void {
    const session = this.#session
    this.#underWay = 'due'
    server.afterCancels(() => {
      // It may have been dropped, or have gone, meanwhile.
      if (session.server !== server) return
      this.#underWay = 'none'
      session.settle()
    })
  }

  /** The effects are known only by asking; a pinned session is asked again now and then. */
  #mustAskTruth(nowMs: number): boolean {
    const { effects, pinReason, statements } = this.#session
    if (!needsTruth(effects)) {
      if (pinReason === '') return false
      const isReleased = (effects & effect.release) !== 0 && !isLasting(pinReason)
      if (!isReleased && nowMs - this.#truthAtMs <= truthAgeMaxMs) return false
    }
    // A query would drop the unnamed statement, which nobody could parse again.
    return !statements.longNames.has('')
  }

  /** Nothing but a reset has run: there is nothing to ask if it was not refused. */
  #takeReset(server: PgServer): void {
    const session = this.#session
    const { reset, pinReason, listening } = session
    session.reset = ''
    if (server.hasRefused || pinReason !== '' || listening !== null) return
    session.effects = 0
    session.settingTexts = []
    session.takeSettings(server, reset === 'identity' ? noSettings : identityOf(server.settings))
  }

  /** A text runs that may make temporary tables. */
  noteTempTables(): void {
    this.#tempTablesSince ??= this.#session.context.statements.lastSeq
  }

  /** Something has run since the server was asked, which may have undone what pins the session. */
  mayUnpin(nowMs: number): boolean {
    const { pinReason, requestedAtMs } = this.#session
    if (pinReason === '' || isLasting(pinReason) || requestedAtMs < this.#truthAtMs) return false
    return this.#mustAskTruth(nowMs)
  }

  #askTruth(server: PgServer): void {
    const session = this.#session
    this.#underWay = 'truth'
    this.#truth = new SessionTruth({
      effects: session.effects,
      texts: session.settingTexts,
      before: session.settings,
      hasFatalTimeout: hasTransactionTimeout(server.reported),
    })
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

  /** Nothing more is sent to this server. */
  awaitEnd(): void {
    this.#underWay = 'end'
  }

  /** It is gone, and the session goes on with another one. */
  ended(): void {
    this.#underWay = 'none'
    this.#isRefused = false
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
    if (truth.startsOver()) {
      this.inject(server, queryMessage(truth.sql))
      return
    }
    this.#truth = null
    this.#underWay = 'none'
    // Not when it was asked: an answer that takes long would be old at once, and asked for again.
    this.#truthAtMs = session.context.clock.nowMs()
    session.pinReason = truth.pinReason(session.pinReason, session.statements.longNames.size > 0)
    if (truth.failed) return
    // A function that a SELECT called has made them, nobody knows when.
    if (truth.hasTempTables) this.#tempTablesSince ??= 0
    if (this.#tempTablesSince !== null && session.pinReason === '') {
      server.doubtStatements(this.#tempTablesSince)
      this.#tempTablesSince = null
    }
    // Somebody closed statements that we count on.
    if (truth.prepared !== null && truth.prepared < server.prepared.size) server.spoil()
    session.takeSettings(server, truth.settings())
    session.listens(truth.channels)
  }

  /**
   * The server refused a query of ours. The truth: it is asked once more, and then closed when the
   * client is done with it. A move: the session listens on there. A setting: the server still has
   * those of another client, so the session gets another one, or ends.
   */
  failed(server: PgServer, text: string): void {
    const session = this.#session
    session.context.log.warn(
      { service: session.context.name, pid: server.pid, error: text, errand: this.#underWay },
      'a query of Pontoon failed on a server',
    )
    // It listens on; nextOfMove() finds that the mark has not come.
    if (this.#underWay === 'move') return
    // A BEGIN, say: what the client has sent behind it must not count without.
    if (this.#underWay === 'none')
      throw new PontoonError('SERVER_LOST', `what goes ahead of the request was refused: ${text}`)
    if (this.#truth !== null) {
      this.#truth.refused()
      if (this.#truth.failed) server.spoil()
      return
    }
    const isPast = isOfPast(this.#isOnFresh, text)
    if (isPast && session.pinReason !== '') {
      this.#isKept = true
      return
    }
    server.spoil()
    if (isPast) this.#pastRefusals += 1
    else this.#refusals += 1
    const isFinal = this.#refusals >= refusalsMax || this.#pastRefusals >= pastRefusalsMax
    if (session.pinReason !== '' || isFinal)
      throw new PontoonError('SETTING_REFUSED', `the session's settings cannot be applied: ${text}`)
    this.#isRefused = true
  }

  /** temp_buffers stay as they are while the session is pinned; all else it is given again. */
  #keep(): void {
    const session = this.#session
    const { server } = session
    assert(server !== null, 'a pinned session has a server')
    this.#isKept = false
    session.changeSettings(withoutPast(session.settings, this.#before))
    server.settings = this.#before
    server.settingsKey = settingsKey(this.#before)
    if (server.settingsKey === session.settingsKey) session.frontend.resume()
    else this.applySettings(server)
  }

  /** Whether the server may be asked or told something while its session is idle. */
  mayRunOn(server: PgServer): boolean {
    return !this.isUnderWay && server.isAtRest && server.status === txStatus.idle
  }
}
