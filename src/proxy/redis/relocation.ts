/**
 * The primary side has moved, and a client that has a server of its own follows: another server is
 * prepared on the new side, then the old one says what it has still to say, then the client goes on
 * with the new one. Nothing that was published on either side is lost, doubled or out of order, if
 * nobody publishes on both at once: so the gate stays shut meanwhile (relocations.ts).
 */
import type { Pool } from '../../net/pool.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import { PontoonError } from '../../shared/errors.ts'
import { OwnServer } from './own-server.ts'
import { Preparation } from './preparation.ts'
import type { Session } from './session.ts'

export class Relocation {
  /** It is over, one way or the other. */
  readonly done: Promise<void>
  readonly #session: Session
  readonly #old: OwnServer
  readonly #pool: Pool<RedisServer>
  #finish: () => void = () => undefined
  #leaveQueue: (() => void) | null = null
  #endHurry: () => void = () => undefined
  #server: RedisServer | null = null
  #preparation: Preparation | null = null
  #isPrepared = false
  #isOldGone = false
  #isOver = false

  constructor(session: Session, old: OwnServer) {
    this.#session = session
    this.#old = old
    this.#pool = session.groups[session.context.route.primary].ownPool
    this.done = new Promise((resolve) => {
      this.#finish = resolve
    })
  }

  begin(): void {
    const taken = this.#pool.take()
    if (taken !== null) {
      this.#prepare(taken)
      return
    }
    // Nobody may publish until it is there.
    this.#endHurry = this.#pool.hurry()
    this.#leaveQueue = this.#pool.wait(
      {
        onServer: (server) => {
          this.#leaveQueue = null
          this.#prepare(server)
          return true
        },
        onRefused: (error) => {
          this.#leaveQueue = null
          this.fail(error)
        },
      },
      true,
    )
  }

  /** The old server has nothing to say any more. */
  oldIsGone(): void {
    this.#isOldGone = true
    if (this.#isPrepared) this.#swap()
  }

  /** The old server is the right one again, unless it is leaving the client already. */
  movedBack(): void {
    if (!this.#isPrepared && !this.#isOldGone) this.cancel()
  }

  /** The client is closed, as if it could not have moved at all. */
  fail(error: PontoonError): void {
    if (this.#isOver) return
    this.cancel()
    this.#session.fail(new PontoonError('SIDE_LEFT', error.message, { cause: error }))
  }

  /** The client has left, or stays where it is. */
  cancel(): void {
    if (this.#isOver) return
    this.#leaveQueue?.()
    const server = this.#server
    if (server !== null) {
      server.spoil()
      server.rest()
      if (server.transport.isClosed) this.#pool.lost(server)
      else this.#pool.give(server)
    }
    this.#end()
  }

  #prepare(server: RedisServer): void {
    this.#server = server
    const { setup, subscriber } = this.#old
    const made = { setup, subscriptions: subscriber.subscriptions }
    this.#preparation = new Preparation(server, made, (failure) => {
      if (failure !== null) this.fail(failure)
      else queueMicrotask(() => this.#prepared())
    })
  }

  #prepared(): void {
    if (this.#isOver) return
    this.#isPrepared = true
    if (this.#isOldGone) this.#swap()
    else this.#old.leave(() => this.oldIsGone())
  }

  #swap(): void {
    const [server, preparation, session] = [this.#server, this.#preparation, this.#session]
    if (this.#isOver || server === null || preparation === null) return
    const { subscriptions } = preparation
    const made = { setup: this.#old.setup, subscriptions }
    const own = new OwnServer(session, server, this.#pool, this.#old.reason, made)
    session.own = own
    const early = preparation.early()
    this.#end()
    if (early.length > 0) own.relay.onBytes(early, early.length)
    server.transport.resumeReading()
    // It may have moved back while the old server had its last word.
    session.followRoute()
  }

  #end(): void {
    this.#isOver = true
    this.#endHurry()
    this.#session.relocated()
    this.#finish()
  }
}
