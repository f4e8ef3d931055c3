/**
 * A session in the queue of a pool. Made at its first wait and used for all that follow: with more
 * clients than servers every query waits, and what it allocates is paid for each time.
 */
import type { PgServer } from '../../net/pg/server.ts'
import type { Pool } from '../../net/pool.ts'
import { QueuePlace } from '../../net/pool-queue.ts'
import type { PoolWaiter } from '../../net/pool-rules.ts'
import type { Route } from '../../routing/route.ts'
import type { PontoonError } from '../../shared/errors.ts'
import type { Session } from './session.ts'

export class SessionWait implements PoolWaiter<PgServer> {
  readonly #session: Session
  readonly #place: QueuePlace<PgServer>
  #route: Route

  constructor(session: Session) {
    this.#session = session
    this.#place = new QueuePlace(this)
    this.#route = session.context.route
  }

  start(pool: Pool<PgServer>, isHeldUp: boolean): void {
    this.#route = this.#session.context.route
    pool.queue(this.#place, isHeldUp)
  }

  leave(): void {
    this.#place.leave()
  }

  onServer(server: PgServer): boolean {
    if (this.#startsOver()) return false
    this.#session.serve(server)
    return true
  }

  onRefused(error: PontoonError): void {
    if (error.code !== 'SHUTTING_DOWN' && this.#startsOver()) return
    this.#session.refuse(error)
  }

  /**
   * Paused while it waited, to start now would be after the drain was reported; under another
   * route, it could be on a side that is primary no more. So it parks, or is routed anew.
   */
  #startsOver(): boolean {
    const { context } = this.#session
    if (context.gate.isOpen && context.route === this.#route) return false
    this.#session.startOver()
    return true
  }
}
