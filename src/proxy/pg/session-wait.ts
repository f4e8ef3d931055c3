/**
 * How the request at hand of a session waits: at the gate while that is shut, and in the queue of
 * a pool when all servers are in use. One wait at a time; the session's state tells which.
 */
import type { PgServer } from '../../net/pg/server.ts'
import type { Pool } from '../../net/pool.ts'
import type { PoolWaiter } from '../../net/pool-rules.ts'
import type { Route } from '../../routing/route.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { txStatus } from '../../wire/pg/protocol.ts'
import { errorResponse, readyForQuery } from '../../wire/pg/write.ts'
import { countIn } from '../service.ts'
import type { Session } from './session.ts'

const cancelled = Buffer.concat([
  errorResponse({
    severity: 'ERROR',
    sqlstate: '57014',
    message: 'canceling statement due to user request',
  }),
  readyForQuery(txStatus.idle),
])

export class SessionWait implements PoolWaiter<PgServer> {
  readonly #session: Session
  #leaveLine: (() => void) | null = null
  /** The request was parked before it came to a pool. */
  #wasParked = false
  #sinceMs = 0
  /** As it was when the request was routed. */
  #route: Route

  constructor(session: Session) {
    this.#session = session
    this.#route = session.context.route
  }

  /** The gate does not admit the request. */
  park(): void {
    const { context, identity } = this.#session
    this.#begin('parked')
    this.#wasParked = true
    this.#leaveLine = context.gate.park(() => this.#startOver(), identity.kinds.place)
  }

  /** The pool has no server now. */
  queue(pool: Pool<PgServer>): void {
    this.#begin('waiting')
    this.#route = this.#session.context.route
    this.#leaveLine = pool.wait(this, this.#wasParked)
  }

  /** The gate was shut while it waits for a server: it waits there instead, without a deadline. */
  recall(): void {
    if (this.#session.state !== 'waiting') return
    this.leave()
    this.#startOver()
  }

  /**
   * Its client cancels the request: it ends as if it had run already. Drivers rely on that for
   * their timeouts. Not behind a BEGIN that was answered here: no server has that transaction.
   */
  cancel(): boolean {
    const session = this.#session
    if (session.state !== 'waiting' && session.state !== 'parked') return false
    if (session.deferredBegin !== null || !session.frontend.dropRequest()) return false
    session.client.sendOwned(cancelled)
    this.leave()
    this.#startOver()
    session.context.settled(session)
    return true
  }

  /** It is about to start. */
  over(): void {
    this.#wasParked = false
  }

  /** The session ends, or has what it waited for. */
  leave(): void {
    this.#leaveLine?.()
    this.#leaveLine = null
  }

  onServer(server: PgServer): boolean {
    const session = this.#session
    this.#leaveLine = null
    if (this.#isOutdated) {
      session.move('idle')
      session.frontend.resume()
      return false
    }
    session.link(server, session.context.clock.nowMs() - this.#sinceMs)
    session.frontend.resume()
    return true
  }

  onRefused(error: PontoonError): void {
    const session = this.#session
    const { context, identity } = session
    this.#leaveLine = null
    const isEnding = error.code === 'SHUTTING_DOWN'
    const isOutdated = !isEnding && this.#isOutdated
    session.move('idle')
    if (isOutdated) {
      session.frontend.resume()
      return
    }
    // No server is to be had. A read finds its way to the primary; anything else fails.
    if (session.onPrimary || isEnding) {
      session.fail(error)
      return
    }
    countIn(context.stats.ownErrors, error.code)
    const slot = identity.kinds[context.route.primary].write
    if (session.begin({ slot, access: 'read', onPrimary: true })) session.frontend.resume()
  }

  /**
   * Paused while it waited, to start now would be after the drain was reported; under another
   * route, it could be on a side that is primary no more. So it parks, or is routed anew.
   */
  get #isOutdated(): boolean {
    const { gate, route } = this.#session.context
    return !gate.isOpen || route !== this.#route
  }

  #begin(state: 'parked' | 'waiting'): void {
    this.#session.move(state)
    this.#sinceMs = this.#session.context.clock.nowMs()
  }

  #startOver(): void {
    const session = this.#session
    this.#leaveLine = null
    session.totals.waitedMs += session.context.clock.nowMs() - this.#sinceMs
    session.move('idle')
    session.frontend.resume()
  }
}
