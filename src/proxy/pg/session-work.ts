/** What keeps a session's server at work, for whoever waits for it to end. */
import type { Session } from './session.ts'

/**
 * query: a reply is due. idle in transaction: the client's turn. open batch: the client has not
 * sent its Sync. copy: the client sends data. replication: it never ends by itself. Empty when
 * the session is at rest.
 */
export type SessionWork =
  '' | 'query' | 'idle in transaction' | 'open batch' | 'copy' | 'replication'

export function workOf({ state, server, pinReason, errands }: Session): SessionWork {
  if (state !== 'active' || server === null) return ''
  if (pinReason === 'replication') return 'replication'
  if (server.copyIn) return 'copy'
  if (server.batchOpen) return 'open batch'
  return server.replies.length > 0 || errands.isUnderWay ? 'query' : 'idle in transaction'
}
