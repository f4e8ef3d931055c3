/** What the routes of the admin API work with; runtime.ts puts it together. */
import type { FastifyRequest } from 'fastify'
import type { Log } from '../../shared/log.ts'
import type { AuditLog } from '../../store/audit-log.ts'
import type { Service } from '../../proxy/service.ts'
import type { EventFeed } from '../events.ts'
import type { Health } from '../health.ts'
import type { Metrics } from '../metrics.ts'
import type { Actor, Operator } from '../operator.ts'
import type { SideWatch } from '../side-watch.ts'
import type { Switches } from '../switches.ts'
import type { SyncWatch } from '../sync-watch.ts'
import type { Access, AccessGuard } from './access.ts'

export interface AdminContext {
  readonly version: string
  readonly services: ReadonlyMap<string, Service>
  readonly operator: Operator
  readonly guard: AccessGuard
  readonly audit: AuditLog
  readonly events: EventFeed
  readonly metrics: Metrics
  readonly health: Health
  readonly sides: SideWatch
  readonly switches: Switches
  readonly sync: SyncWatch
  readonly log: Log
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may ask; a route that says nothing is for operators only. */
    access?: Access
    /** Set on routes that change something, so that even what is refused is audited. */
    audited?: boolean
  }
  interface FastifyRequest {
    actor: Actor | null
  }
}

/** The caller, as hooks.ts found it; a route that runs without one is a bug. */
export function actorOf(request: FastifyRequest): Actor {
  if (request.actor === null) throw new Error('a route ran before its caller was checked')
  return request.actor
}

export interface ServiceParams {
  readonly service: string
}
