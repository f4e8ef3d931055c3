/** What the sessions of one PostgreSQL service share; made by service.ts, used by everything here. */
import type { ServiceConfig } from '../../config/schema.ts'
import type { FlushQueue } from '../../net/flush-queue.ts'
import type { Gate } from '../../net/gate.ts'
import type { Route } from '../../routing/route.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { ServiceStats } from '../service.ts'
import type { Session } from './session.ts'
import type { SharedListeners } from './shared-listener.ts'
import type { StatementCatalogue } from './statements.ts'

export interface ServiceContext {
  readonly name: string
  readonly config: ServiceConfig
  readonly route: Route
  readonly gate: Gate
  readonly clock: Clock
  readonly log: Log
  readonly stats: ServiceStats
  readonly flushes: FlushQueue
  readonly statements: StatementCatalogue
  readonly listeners: SharedListeners
  /** Sessions with a request under way. */
  activeCount: number
  /** Since when a session does what it does now (clock milliseconds). */
  workSinceMs(session: Session): number
  /** A session has come to rest or has left: whoever drains looks again. */
  settled(session: Session): void
  left(session: Session): void
}
