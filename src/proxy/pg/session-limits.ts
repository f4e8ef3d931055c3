/**
 * Holds sessions to the limits of the configuration. Looks at all of them several times a second,
 * so that a query costs no timer; what it measures is right to within one look.
 */
import type { ServiceConfig } from '../../config/schema.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { PontoonError, type ErrorCode } from '../../shared/errors.ts'
import type { ServiceContext } from './context.ts'
import type { Session } from './session.ts'

type Limits = ServiceConfig['limits']

/** What was seen of an active session. */
interface Watch {
  readonly server: PgServer
  /** Replies that its server had completed, and whether it owed another. */
  answered: number
  isOwed: boolean
  /** Since when both are so (clock milliseconds). */
  sinceMs: number
  /** When its server was asked to cancel what runs, or null. */
  cancelledAtMs: number | null
}

/** A cancel request that is not delivered by then never will be. */
const cancelTimeoutMs = 5_000

export class SessionLimits {
  readonly #context: ServiceContext
  readonly #watches = new WeakMap<Session, Watch>()

  constructor(context: ServiceContext) {
    this.#context = context
  }

  look(sessions: Iterable<Session>): void {
    const { limits } = this.#context.config
    const now = this.#context.clock.nowMs()
    for (const session of sessions) {
      // A WAL sender watches over its client itself (wal_sender_timeout), and a stream has no end.
      if (session.identity.isReplication) continue
      if (session.state === 'active') this.#lookAtActive(session, limits, now)
      else if (session.state === 'idle') lookAtIdle(session, limits, now)
      const { congestedSinceMs } = session
      if (congestedSinceMs !== null && now - congestedSinceMs > limits.slowReaderMs)
        session.abandon(slowReader(limits))
    }
  }

  /** Since when it waits for the same reply, or for its client; right to within one look. */
  workSinceMs(session: Session): number {
    const watch = this.#watches.get(session)
    const isCurrent =
      session.state === 'active' &&
      watch?.server === session.server &&
      watch?.answered === session.server?.replies.answered
    return Math.max(session.stateSinceMs, isCurrent ? (watch?.sinceMs ?? 0) : 0)
  }

  #lookAtActive(session: Session, limits: Limits, now: number): void {
    const { server, errands } = session
    const { transactionTimeoutMs, queryTimeoutMs, idleInTransactionMs } = limits
    if (server === null) return
    if (transactionTimeoutMs !== undefined && now - session.requestedAtMs > transactionTimeoutMs) {
      // The server would work on for nobody.
      if (server.replies.length > 0) void this.#cancel(server)
      session.fail(ended('TRANSACTION_TIMEOUT', 'transaction timeout', transactionTimeoutMs))
      return
    }
    const watch = this.#watch(session, server, now)
    const forMs = now - watch.sinceMs
    if (watch.isOwed) {
      if (queryTimeoutMs !== undefined && forMs > queryTimeoutMs)
        this.#timeOut(session, watch, limits, now)
    } else if (
      idleInTransactionMs !== undefined &&
      forMs > idleInTransactionMs &&
      !errands.isUnderWay
    )
      session.fail(idleInTransaction(idleInTransactionMs))
  }

  /** Since when the session's server owes the same reply, or none. */
  #watch(session: Session, server: PgServer, now: number): Watch {
    const { answered, length } = server.replies
    const isOwed = length > 0
    const known = this.#watches.get(session)
    if (
      known?.server === server &&
      known.answered === answered &&
      known.isOwed === isOwed &&
      known.sinceMs >= session.requestedAtMs
    )
      return known
    const watch = { server, answered, isOwed, sinceMs: now, cancelledAtMs: null }
    this.#watches.set(session, watch)
    return watch
  }

  /** First the server is asked to cancel, then it is closed. */
  #timeOut(session: Session, watch: Watch, limits: Limits, now: number): void {
    if (watch.cancelledAtMs === null) {
      watch.cancelledAtMs = now
      this.#context.stats.queriesCancelled += 1
      this.#context.log.info(
        { service: this.#context.name, client: session.identity.from.text, pid: watch.server.pid },
        'a query has reached limits.queryTimeoutMs and is cancelled',
      )
      const { server } = watch
      void this.#cancel(server).finally(() => {
        if (session.server === server) session.frontend.resume()
      })
    } else if (now - watch.cancelledAtMs > limits.cancelGraceMs) {
      const text = `the query ran longer than ${limits.queryTimeoutMs ?? 0} ms and could not be cancelled`
      session.fail(new PontoonError('QUERY_TIMEOUT', text))
    }
  }

  /** Settles when it can hit nothing any more; never rejects. */
  async #cancel(server: PgServer): Promise<void> {
    try {
      await server.cancel(cancelTimeoutMs, true)
    } catch (error) {
      this.#context.log.warn(
        { service: this.#context.name, pid: server.pid, error: String(error) },
        'a cancel request could not be delivered',
      )
    }
  }
}

function lookAtIdle(session: Session, limits: Limits, now: number): void {
  const { clientIdleMs, idleInTransactionMs } = limits
  const forMs = now - session.stateSinceMs
  // Its BEGIN was answered, though no server has seen it yet.
  if (session.deferredBegin !== null) {
    if (idleInTransactionMs !== undefined && forMs > idleInTransactionMs)
      session.fail(idleInTransaction(idleInTransactionMs))
  } else if (clientIdleMs !== undefined && forMs > clientIdleMs)
    session.fail(ended('CLIENT_IDLE', 'idle-session timeout', clientIdleMs))
}

function slowReader({ slowReaderMs }: Limits): PontoonError {
  const text = `the client did not take what waits for it within ${slowReaderMs} ms`
  return new PontoonError('CLIENT_SLOW_READER', text)
}

function idleInTransaction(limitMs: number): PontoonError {
  return ended('IDLE_IN_TRANSACTION', 'idle-in-transaction timeout', limitMs)
}

/** In the server's own words. */
function ended(code: ErrorCode, why: string, limitMs: number): PontoonError {
  return new PontoonError(code, `terminating connection due to ${why} (${limitMs} ms)`)
}
