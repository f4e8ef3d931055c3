/**
 * One client's life after login. The hot path of a transaction:
 *
 *   frontend-relay (client bytes, framed) → choose-side (route) → Session.begin (gate, pool)
 *   → frontend-relay (forward) → backend-relay (server bytes, framed, forwarded)
 *   → Session.settle (ReadyForQuery, nothing owed) → pool
 *
 * The session holds the state that both relays share and the only ways to link and unlink a
 * server. States and their legal moves are in `sessionMoves` (session-state.ts).
 */
import type { StatementTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import type { Pool } from '../../net/pool.ts'
import type { Transport } from '../../net/transport.ts'
import { effect } from '../../routing/session-effects.ts'
import type { Reset } from '../../routing/session-reset.ts'
import { assert } from '../../shared/assert.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { countIn, type ClientSnapshot, type DatabaseTotals } from '../service.ts'
import { BackendRelay } from './backend-relay.ts'
import type { SideChoice } from './choose-side.ts'
import { ClientStatements } from './client-statements.ts'
import type { ServiceContext } from './context.ts'
import { fatalResponse } from './errors.ts'
import { Footprint } from './footprint.ts'
import { FrontendRelay } from './frontend-relay.ts'
import { reportedDifferences } from '../../net/pg/reported.ts'
import type { SessionIdentity } from './session-identity.ts'
import { assertMove, type SessionState } from './session-state.ts'
import { SessionErrands } from './session-errands.ts'
import { SessionListening } from './session-listening.ts'
import { mayLoseServer, sideLeft } from './session-move.ts'
import { SessionRestart } from './session-restart.ts'
import { SessionSequences } from './session-sequences.ts'
import { undoneByDiscard } from './session-truth.ts'
import { snapshotOf } from './session-view.ts'
import { SessionWait } from './session-wait.ts'
import { settingsKey, settingsReading, type Settings } from './settings.ts'

/** Ends of many sessions at once, of which the log has one line already. */
const isOfOperator: ReadonlySet<string> = new Set(['SHUTTING_DOWN', 'TERMINATED'])

/** Kinds of sessions remembered per statement. */
const parsedForMax = 100

export class Session {
  readonly context: ServiceContext
  readonly identity: SessionIdentity
  readonly client: Transport
  readonly frontend: FrontendRelay
  readonly backend: BackendRelay
  /** False in session pooling and for replication: bytes pass unaltered and the server stays. */
  readonly isPooled: boolean
  /** In session pooling, what it has left on its server. */
  readonly footprint: Footprint | null
  /** What all sessions of its database have done. */
  readonly totals: DatabaseTotals
  /** When it was made (clock milliseconds). */
  readonly openedAtMs: number
  server: PgServer | null = null
  /** The linked server belongs to the primary side. */
  onPrimary = true
  /** On the other side: a statement was bound that may end the transaction there. */
  mayHaveEnded = false
  #state: SessionState = 'idle'
  #stateSinceMs: number
  #pool: Pool<PgServer> | null = null
  #linkedAtMs = 0
  /** What it does; an errand is Pontoon's own and counts as no transaction. */
  #kind: 'read' | 'write' | 'errand' = 'write'
  /** Why the server cannot be given back, '' when it can. */
  pinReason = ''
  /** Effects (routing/session-effects.ts) of what ran since the server was last known clean. */
  effects = 0
  /** The request at hand is nothing but a reset, of a session with no effects before. */
  reset: Reset = ''
  /** Texts behind a `settings` effect, to learn the names of custom settings. */
  settingTexts: string[] = []
  settings: Settings
  /** What RESET goes back to. */
  readonly #startupSettings: Settings
  settingsKey: string
  /** How its texts are read, see settingsReading. */
  reading: string
  /** What the client was last told in ParameterStatus. */
  reported: ReadonlyMap<string, string>
  readonly statements: ClientStatements
  /** A BEGIN READ ONLY answered by us, to be sent ahead of the first statement. */
  deferredBegin: Buffer | null = null
  /** The one that was sent with the settings of its server. */
  #sentBegin: Buffer | null = null
  /** Clock milliseconds since when the client does not keep up, or null. */
  congestedSinceMs: number | null = null
  /** Clock milliseconds of the last transaction that may have written, or -Infinity. */
  lastWriteMs = Number.NEGATIVE_INFINITY
  readonly errands: SessionErrands
  readonly wait: SessionWait
  readonly sequences: SessionSequences
  readonly restart: SessionRestart
  /** Its LISTENs, from the first one on. */
  listening: SessionListening | null = null
  #parseKey = ''
  #parseKeyOf = ''

  constructor(
    context: ServiceContext,
    identity: SessionIdentity,
    client: Transport,
    settings: Settings,
    reported: ReadonlyMap<string, string>,
  ) {
    this.context = context
    this.identity = identity
    this.client = client
    this.settings = settings
    this.#startupSettings = settings
    this.settingsKey = settingsKey(settings)
    this.reading = settingsReading(settings)
    this.reported = reported
    this.statements = new ClientStatements(context.statements)
    this.isPooled = context.config.pool.mode === 'transaction' && !identity.isReplication
    this.footprint = this.isPooled ? null : new Footprint()
    if (identity.isReplication) this.pinReason = 'replication'
    this.totals = context.stats.database(identity.database)
    this.openedAtMs = context.clock.nowMs()
    this.#stateSinceMs = this.openedAtMs
    this.#linkedAtMs = this.openedAtMs
    this.errands = new SessionErrands(this)
    this.wait = new SessionWait(this)
    this.sequences = new SessionSequences(this)
    this.restart = new SessionRestart(this)
    this.frontend = new FrontendRelay(this)
    this.backend = new BackendRelay(this)
    client.handler = this.frontend
    client.waitsForTurns = true
  }

  /** When its last request began (clock milliseconds). */
  get requestedAtMs(): number {
    return this.#linkedAtMs
  }

  /** Since when it is in its present state (clock milliseconds). */
  get stateSinceMs(): number {
    return this.#stateSinceMs
  }

  get state(): SessionState {
    return this.#state
  }

  /** Holds no open transaction and owes the server nothing: it can be parked where it is. */
  get isAtRest(): boolean {
    return this.#state !== 'active'
  }

  /** Session pooling: the server that logged in for this client stays with it. */
  adopt(server: PgServer, pool: Pool<PgServer>): void {
    this.#pool = pool
    this.server = server
    this.totals.serverLinks += 1
    server.transport.handler = this.backend
  }

  /**
   * A request is about to start. Returns true when a server is linked and the request may be
   * forwarded now; false when the session waits and the frontend relay is to be resumed later.
   */
  begin(choice: SideChoice | null): boolean {
    assert(this.#state === 'idle', 'a request starts from idle')
    if (!this.context.gate.admits(this.identity.kinds.place)) {
      this.wait.park()
      return false
    }
    this.#kind = choice?.access ?? 'write'
    if (this.server !== null) {
      // It was primary when the server was linked: two sides must never take writes.
      if (this.server.side !== this.context.route.primary) {
        this.fail(sideLeft(this.server.side))
        return false
      }
      this.#start(this.context.clock.nowMs())
      if (this.isPooled && this.server.settingsKey !== this.settingsKey)
        this.errands.applySettings(this.server)
      return !this.errands.isUnderWay
    }
    assert(choice !== null, 'a session without a server says which it needs')
    this.onPrimary = choice.onPrimary
    const { pool } = choice.slot
    this.#pool = pool
    const server = pool.take()
    if (server !== null) {
      this.link(server, 0)
      return !this.errands.isUnderWay
    }
    this.wait.queue(pool)
    return false
  }

  /** A server was found for the request, `waitedMs` after it was asked for. */
  link(server: PgServer, waitedMs: number): void {
    assert(this.server === null, 'a session links one server')
    assert(server.isAtRest, 'a linked server owes nothing')
    this.server = server
    server.transport.handler = this.backend
    this.context.stats.clientWait.observe(waitedMs / 1_000)
    this.totals.serverLinks += 1
    this.sequences.linked(server, this.totals.serverLinks)
    this.restart.linked()
    this.totals.waitedMs += waitedMs
    this.#start(this.context.clock.nowMs())
    if (server.settingsKey !== this.settingsKey) this.errands.applySettings(server)
    else if (server.reported !== this.reported) this.tellReported(server)
    server.isFresh = false
    const begin = this.deferredBegin
    this.#sentBegin = begin
    if (begin === null) return
    this.deferredBegin = null
    this.errands.inject(server, begin)
  }

  /** The server just linked serves nobody, and got nothing of the request: that starts over. */
  replaceServer(): void {
    const { server } = this
    assert(server !== null && !server.isUsable, 'a server that is replaced serves nobody')
    this.deferredBegin = this.#sentBegin
    this.move('idle')
    this.#giveUp(server)
    // The service may be closing, and end whoever is idle.
    this.context.settled(this)
    if (this.#state === 'idle') this.frontend.resume()
  }

  #start(nowMs: number): void {
    this.#linkedAtMs = nowMs
    this.wait.over()
    this.mayHaveEnded = false
    this.move('active')
  }

  /** Tells the client which reported parameters differ on this server. */
  tellReported(server: PgServer): void {
    for (const message of reportedDifferences(this.reported, server.reported))
      this.client.sendOwned(message)
    this.reported = server.reported
  }

  /**
   * ReadyForQuery has come, nothing is owed and no transaction is open: count the transaction
   * and give the server back unless the session holds on to it.
   */
  settle(): void {
    const server = this.server
    assert(server !== null && server.isAtRest, 'only a server at rest settles')
    const now = this.context.clock.nowMs()
    if (this.isPooled && this.errands.runNext(server, now)) return
    if (this.#state === 'active') this.#finish(server, now)
    if (this.isPooled && this.pinReason === '') this.#release(server)
    this.context.settled(this)
    this.listening?.deliver()
    if (this.#state === 'idle') this.frontend.resume()
  }

  #finish(server: PgServer, now: number): void {
    this.move('idle')
    if (this.#kind === 'errand') return
    const { stats } = this.context
    stats.transactions[server.side] += 1
    stats.query[server.side][this.#kind].observe((now - this.#linkedAtMs) / 1_000)
    if (this.#kind === 'write') this.lastWriteMs = now
    this.totals.transactions += 1
    this.totals.linkedMs += now - this.#linkedAtMs
  }

  /** A text runs that may change the session. */
  noteEffects(effects: number, sql: string): void {
    this.effects |= effects
    if ((effects & (effect.settings | effect.opaque)) !== 0) this.settingTexts.push(sql)
    if ((effects & (effect.tempTable | effect.opaque)) !== 0) this.errands.noteTempTables()
    if ((effects & effect.unlisten) !== 0) this.listening?.noteUnlisten(sql)
    if ((effects & effect.sequenceState) !== 0) this.sequences.asked(sql)
  }

  /** A setting is another one: if no text told so, a function did it; or the server reloads. */
  noteReport(): void {
    if ((this.effects & (effect.settings | effect.opaque)) === 0) this.effects |= effect.opaque
  }

  /** DISCARD ALL has run. */
  discarded(): void {
    this.listening?.unlistenAll()
    if (undoneByDiscard.has(this.pinReason)) this.pinReason = ''
  }

  /** What the server says of its settings is what the client has from now on. */
  takeSettings(server: PgServer, settings: Settings): void {
    server.settings = settings
    server.settingsKey = settingsKey(settings)
    // What was reset is again as the client asked for at its startup.
    this.changeSettings(new Map([...this.#startupSettings, ...settings]))
  }

  changeSettings(settings: Settings): void {
    this.settings = settings
    this.settingsKey = settingsKey(settings)
    this.reading = settingsReading(settings)
  }

  /** The channels that its server listens to for it. */
  listens(channels: readonly string[]): void {
    if (channels.length === 0 && this.listening === null) return
    this.listening ??= new SessionListening(this)
    this.listening.told(channels)
  }

  /** Its LISTENs can leave its server: at once when it rests, else when its request is done. */
  moveListens(): void {
    if (this.listening?.mayMove === true) this.#runErrand()
  }

  /** What pins it may be gone since its last request: a client that idles must not hold a server. */
  reviewPin(nowMs: number): void {
    if (this.errands.mayUnpin(nowMs)) this.#runErrand()
  }

  #runErrand(): void {
    const { server } = this
    if (this.#state !== 'idle' || server === null || !this.context.gate.isOpen) return
    if (!this.errands.mayRunOn(server)) return
    this.#kind = 'errand'
    this.#start(this.context.clock.nowMs())
    this.settle()
  }

  #release(server: PgServer): void {
    const pool = this.#pool
    assert(pool !== null, 'a linked server came from a pool')
    this.server = null
    if (this.effects !== 0) this.effects = 0
    server.rest()
    if (server.cancelsInFlight === 0) pool.give(server)
    else
      server.afterCancels(() => {
        // One that has closed meanwhile is known to be lost.
        if (!server.transport.isClosed) pool.give(server)
      })
  }

  /** Sessions with the same key read a text alike. */
  get parseKey(): string {
    if (this.#parseKeyOf !== this.settingsKey || this.#parseKey === '') {
      this.#parseKeyOf = this.settingsKey
      this.#parseKey = `${this.identity.user}\n${this.identity.database}\n${this.settingsKey}`
    }
    return this.#parseKey
  }

  /** A Parse has succeeded on a server. */
  parseSucceeded({ statement }: StatementTag): void {
    // What ran before it may have changed how names are found.
    const parsedFor = statement?.parsedFor ?? null
    if (parsedFor === null || this.effects !== 0) return
    if (parsedFor.size >= parsedForMax) parsedFor.clear()
    parsedFor.add(this.parseKey)
  }

  /** An error of our own ends the session: the client gets one ErrorResponse, then the close. */
  fail(error: PontoonError): void {
    if (this.#state === 'closed') return
    countIn(this.context.stats.ownErrors, error.code)
    if (!isOfOperator.has(error.code))
      this.context.log.info(
        {
          service: this.context.name,
          client: this.identity.from.text,
          user: this.identity.user,
          code: error.code,
          error: error.message,
        },
        'a session was ended',
      )
    // In the middle of a message it would be taken for a part of that.
    if (this.backend.isBetweenMessages)
      this.client.sendOwned(fatalResponse(error, this.#state === 'active'))
    this.close()
  }

  /** Ends a session whose client does not even read errors. */
  abandon(error: PontoonError): void {
    if (this.#state === 'closed') return
    countIn(this.context.stats.ownErrors, error.code)
    this.context.log.warn(
      { service: this.context.name, client: this.identity.from.text, code: error.code },
      error.message,
    )
    this.close()
    this.client.destroy()
  }

  /** The linked server is gone. What it said last has been forwarded already. */
  serverLost(error: PontoonError, wasTold: boolean): void {
    if (mayLoseServer(this)) {
      this.unlink()
      return
    }
    const { server } = this
    if (server !== null && this.restart.mayStartOver(server)) {
      this.restart.startOver(server, error)
      return
    }
    this.server = null
    if (server !== null) this.#pool?.lost(server)
    if (wasTold) this.close()
    else this.fail(error)
  }

  /** At rest: gives its server up; the next request links one on the side that is primary then. */
  unlink(): void {
    const { server } = this
    assert(
      server !== null && this.#state !== 'active',
      'only a session at rest gives up its server',
    )
    this.effects = 0
    this.pinReason = ''
    this.backend.forget()
    this.listening?.serverLeft()
    server.spoil()
    this.#giveUp(server)
  }

  /** It serves nobody any more. */
  #giveUp(server: PgServer): void {
    this.server = null
    if (server.transport.isClosed) {
      this.#pool?.lost(server)
      return
    }
    server.rest()
    this.#pool?.give(server)
  }

  /** Ends the session from either side, at most once. */
  close(): void {
    if (this.#state === 'closed') return
    this.move('closed')
    this.wait.leave()
    const server = this.server
    if (server !== null) this.#dropServer(server)
    this.statements.leave()
    this.listening?.leave()
    this.client.end()
    this.context.left(this)
  }

  /** A server that may carry something of the client, or still works for it, serves nobody else. */
  #dropServer(server: PgServer): void {
    this.server = null
    const reusable =
      this.isPooled &&
      server.isAtRest &&
      // A cancel request on its way would hit the next client's query.
      server.cancelsInFlight === 0 &&
      this.effects === 0 &&
      this.pinReason === '' &&
      this.frontend.isBetweenMessages &&
      this.backend.isAtBoundary
    server.rest()
    if (!reusable) server.spoil()
    // A goodbye would complete what the client has left incomplete.
    if (!this.frontend.isBetweenMessages) server.transport.end()
    this.#pool?.give(server)
  }

  snapshot(now: number): ClientSnapshot {
    return snapshotOf(this, now)
  }

  /** The only way from one state to another. */
  move(to: SessionState): void {
    assertMove(this.#state, to)
    if (this.#state === 'active') this.context.activeCount -= 1
    if (to === 'active') this.context.activeCount += 1
    this.#state = to
    this.#stateSinceMs = this.context.clock.nowMs()
  }
}
