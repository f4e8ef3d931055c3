import { BugError } from '../../shared/assert.ts'

/**
 * idle: no request under way (a pinned session keeps its server). parked: waits for the gate.
 * waiting: queues for a server. active: a server works for it. closed: gone.
 */
export type SessionState = 'idle' | 'parked' | 'waiting' | 'active' | 'closed'

export const sessionMoves: Readonly<Record<SessionState, readonly SessionState[]>> = {
  idle: ['parked', 'waiting', 'active', 'closed'],
  parked: ['idle', 'closed'],
  waiting: ['active', 'idle', 'closed'],
  active: ['idle', 'closed'],
  closed: [],
}

/** Throws unless the table allows the move. */
export function assertMove(from: SessionState, to: SessionState): void {
  // The two moves of every query, without a search.
  if (from === 'idle' ? to === 'active' : from === 'active' && to === 'idle') return
  if (!sessionMoves[from].includes(to))
    throw new BugError(`a session cannot go from ${from} to ${to}`)
}
