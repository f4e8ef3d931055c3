/**
 * What becomes of the sessions that hold a server when the primary side moves. One whose state
 * Pontoon can give to another server is moved: its server is dropped, and its next request links
 * one of the new primary side. The others are listed, so that whoever moves the side decides.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'
import type { ClientSnapshot } from '../service.ts'
import type { ClientLogin } from './client-login.ts'
import type { Session } from './session.ts'

/**
 * Why a session cannot be given another server, in the words of pinReason; '' when it can. What
 * it listens to can come from the shared listener, if names and payloads need no other encoding.
 */
export function immovableReason(session: Session): string {
  const { server, pinReason, footprint, reported, backend } = session
  if (server === null) return ''
  if (!backend.isBetweenMessages) return 'unknown-state'
  if (footprint !== null) return pinReason === '' ? footprint.reason : pinReason
  if (pinReason === 'listen' && reported.get('client_encoding') === 'UTF8') return ''
  return pinReason
}

/** Its server may go without a word: it is at rest, a switch is under way, and it can be moved. */
export function mayLoseServer(session: Session): boolean {
  const { state, server, context } = session
  if (server === null || (state !== 'idle' && state !== 'parked')) return false
  const isSwitching = context.gate.keptBy === 'switch' || server.side !== context.route.primary
  return isSwitching && immovableReason(session) === ''
}

/**
 * The client has all its answers from the server, and left nothing there: the session is about to
 * give it back, and to tell its client of its end would end a session that need not end.
 */
export function isThroughWith(session: Session, server: PgServer): boolean {
  const { isPooled, pinReason, effects, errands, frontend } = session
  const isClean = isPooled && pinReason === '' && effects === 0
  return isClean && server.isAtRest && !errands.isUnderWay && frontend.isBetweenMessages
}

/** Who waits for a server waits at the gate instead, those first who have waited longest. */
export function recallWaiting(sessions: Iterable<Session>, logins: Iterable<ClientLogin>): void {
  const waiting = [...sessions].filter(({ state }) => state === 'waiting')
  for (const session of waiting.toSorted((a, b) => a.stateSinceMs - b.stateSinceMs))
    session.wait.recall()
  for (const underWay of logins) underWay.recall?.()
}

export function immovable(sessions: Iterable<Session>, nowMs: number): readonly ClientSnapshot[] {
  const found: ClientSnapshot[] = []
  for (const session of sessions) {
    const pinReason = immovableReason(session)
    if (pinReason !== '') found.push({ ...session.snapshot(nowMs), pinReason })
  }
  return found
}

/**
 * The primary side is another one from now on. A transaction that is still open on the old one
 * could write there, so it is ended; sessions that cannot move are ended at their next request.
 */
export function leaveSide(sessions: Iterable<Session>, primary: Side): void {
  for (const session of sessions) {
    const { server, state, onPrimary } = session
    if (server === null || server.side === primary) continue
    if (state === 'active') {
      if (onPrimary) session.fail(sideLeft(server.side))
    } else if (mayLoseServer(session)) session.unlink()
  }
}

export function sideLeft(side: Side): PontoonError {
  return new PontoonError(
    'SIDE_LEFT',
    `terminating connection: its server belongs to the ${side}, which is primary no more`,
  )
}
