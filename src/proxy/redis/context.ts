/** What the sessions and servers of one Redis service share; made by service.ts. */
import type { RedisServiceConfig } from '../../config/schema.ts'
import type { FlushQueue } from '../../net/flush-queue.ts'
import type { Gate } from '../../net/gate.ts'
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import type { Route } from '../../routing/route.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { ServiceStats } from '../service.ts'
import type { CommandBook } from './command-book.ts'
import type { CommandWatch } from './command-watch.ts'
import type { GroupSet, ServerKind } from './server-group.ts'
import type { ProvenSecrets } from '../proven-secrets.ts'
import type { ReadRouter } from './read-router.ts'
import type { Relocations } from './relocations.ts'
import type { Session } from './session.ts'

export interface RedisContext {
  readonly name: string
  readonly config: RedisServiceConfig
  readonly route: Route
  readonly gate: Gate
  readonly clock: Clock
  readonly log: Log
  readonly stats: ServiceStats
  readonly flushes: FlushQueue
  readonly book: CommandBook
  readonly watch: CommandWatch
  readonly groups: GroupSet
  readonly reads: ReadRouter
  readonly relocations: Relocations
  readonly sessions: ReadonlyMap<number, Session>
  /** For clientAuth mode passthrough. */
  readonly proven: ProvenSecrets<string>
  /** Asks the primary side whether it takes the password; rejects when it does not. */
  prove(user: string, password: string): Promise<void>
  /** As whom servers of that kind are opened, and how. */
  loginOptions(kind: ServerKind): RedisLoginOptions
  /** Sessions with a command under way. */
  activeCount: number
  /** A session has come to rest or has left: whoever drains looks again. */
  settled(): void
  left(session: Session): void
}
