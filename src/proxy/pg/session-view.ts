/** Sessions as status and consoles show them. */
import { unreachable } from '../../shared/assert.ts'
import type { ClientSnapshot, ClientState, ServiceSnapshot } from '../service.ts'
import type { Session } from './session.ts'
import { workOf } from './session-work.ts'

export function snapshotOf(session: Session, now: number): ClientSnapshot {
  const { identity, server, context } = session
  return {
    id: identity.id,
    user: identity.user,
    database: identity.database,
    applicationName: session.settings.get('application_name') ?? identity.applicationName,
    address: identity.from.text,
    state: clientStateOf(session),
    side: server?.side ?? null,
    serverPid: server?.pid ?? null,
    pinReason: session.pinReason,
    stateAgeMs: now - session.stateSinceMs,
    work: workOf(session),
    workAgeMs: now - context.workSinceMs(session),
  }
}

export function clientStateOf({ state, pinReason }: Session): ClientState {
  switch (state) {
    case 'idle':
    case 'closed':
      return pinReason === '' ? 'idle' : 'pinned'
    case 'parked':
    case 'waiting':
    case 'active':
      return state
    default:
      return unreachable(state)
  }
}

/** How many there are of each state, and of those pinned to a server, by reason. */
export function countSessions(
  sessions: Iterable<Session>,
  startup: number,
): Pick<ServiceSnapshot, 'clients' | 'pinned'> {
  const clients = { startup, idle: 0, waiting: 0, active: 0, pinned: 0, parked: 0 }
  const pinned: Record<string, number> = {}
  for (const session of sessions) {
    clients[clientStateOf(session)] += 1
    const { pinReason } = session
    if (pinReason !== '') pinned[pinReason] = (pinned[pinReason] ?? 0) + 1
  }
  return { clients, pinned }
}

/** At most `limit`; those that cannot give their server back come first. */
export function listSessions(
  sessions: Iterable<Session>,
  limit: number,
  now: number,
): readonly ClientSnapshot[] {
  const pinned: Session[] = []
  const others: Session[] = []
  for (const session of sessions) (session.pinReason === '' ? others : pinned).push(session)
  return [...pinned, ...others].slice(0, limit).map((session) => snapshotOf(session, now))
}
