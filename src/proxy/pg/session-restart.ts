/**
 * A server that dies before it was sent anything of the client's request has done nothing of it:
 * only preparations of Pontoon's own were under way (settings, the columns of a statement, a BEGIN
 * that was answered here). The request then starts over on another server. What may have been sent
 * is never sent again.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { shortLifeMs } from '../../net/pool-rules.ts'
import type { PontoonError } from '../../shared/errors.ts'
import type { Session } from './session.ts'

/**
 * So many servers may be lost to one request as soon as they were opened: where that happens each
 * time, servers are not to be opened in a loop. Others are there only so many.
 */
export const shortLivesMax = 3

export function isShortLife(server: PgServer, nowMs: number): boolean {
  return nowMs - server.openedAtMs < shortLifeMs
}

export class SessionRestart {
  readonly #session: Session
  /** Nothing of the client was sent to its server since that was linked. */
  isUnsent = false
  #shortLives = 0
  /** No other server is tried for the request from then on (clock milliseconds). */
  #endsAtMs = Number.POSITIVE_INFINITY

  constructor(session: Session) {
    this.#session = session
  }

  /** A server was linked. */
  linked(): void {
    // Else it is still the request for which a server was lost.
    if (this.isUnsent) return
    this.isUnsent = true
    this.#shortLives = 0
    this.#endsAtMs = Number.POSITIVE_INFINITY
  }

  /** The request would start over if this server were lost now. */
  mayStartOver(server: PgServer): boolean {
    const { state, context } = this.#session
    if (!this.isUnsent || state !== 'active') return false
    const nowMs = context.clock.nowMs()
    const shortLives = this.#shortLives + (isShortLife(server, nowMs) ? 1 : 0)
    return shortLives < shortLivesMax && nowMs < this.#endsAtMs
  }

  /** The server is lost. */
  startOver(server: PgServer, why: PontoonError): void {
    const session = this.#session
    const { context, errands, statements, backend, frontend } = session
    context.log.info(
      { service: context.name, pid: server.pid, error: why.message },
      'a server was lost ahead of a request, which goes to another one',
    )
    const nowMs = context.clock.nowMs()
    if (isShortLife(server, nowMs)) this.#shortLives += 1
    this.#endsAtMs = Math.min(this.#endsAtMs, nowMs + context.config.pool.queueTimeoutMs)
    // What it still owed never comes.
    for (const tag of [...server.replies.tags()].toReversed())
      statements.unchanged(server, tag, true)
    errands.ended()
    backend.forget()
    frontend.awaitsStatement = false
    server.spoil()
    session.replaceServer()
  }
}
