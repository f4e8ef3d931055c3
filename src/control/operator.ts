/**
 * What an operator can do to a service, whoever asks: the admin API, a service's console.
 * Every action, carried out or refused, leaves one entry in the audit log and one event.
 *
 * A change of route goes: changeRoute decides, the store makes it durable (compare-and-set of
 * the epoch), the service follows, the audit log records. Changes of one service go one by one.
 */
import type { Route, RoutePatch } from '../routing/route.ts'
import { changeRoute } from '../routing/change.ts'
import type { PhaseProfiles } from '../config/phases.ts'
import type { DrainReport, Service, SessionFilter } from '../proxy/service.ts'
import type { RouteStore } from '../store/route-store.ts'
import type { AuditLog, AuditRecord } from '../store/audit-log.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import type { EventFeed } from './events.ts'
import { gateLimits } from './limits.ts'
import { ProblemError } from './problem.ts'

export type Role = 'viewer' | 'operator'

/** Who did something; `system` is a signal or Pontoon itself. */
export interface Actor {
  readonly name: string
  readonly role: Role | 'system'
  readonly address: string
}

export interface RouteChange {
  readonly before: Route
  readonly after: Route
  /** False for a dry run and for a change that asked for what is already so. */
  readonly applied: boolean
}

/** As the admin API tells it. */
export interface RouteAnswer extends RouteChange {
  /** What speaks against the new route; null when nothing is known to. */
  readonly warning: string | null
}

export interface RouteRequest {
  readonly patch: RoutePatch
  /** The epoch that the caller looked at. */
  readonly epoch: number
  readonly dryRun: boolean
}

export type OperatorAction =
  | 'route.change'
  | 'gate.pause'
  | 'gate.resume'
  | 'pool.reconnect'
  | 'session.end'
  | 'config.reload'
  | 'process.stop'
  | 'switch.cutover'
  | 'switch.rollback'
  | 'switch.recover'
  | 'request'

type Details = Readonly<Record<string, unknown>>

/** What an action did, for the audit log. */
interface Done<T> {
  readonly result: T
  readonly before?: unknown
  readonly after?: unknown
  readonly details?: Details
}

export interface OperatorParts {
  readonly services: ReadonlyMap<string, Service>
  readonly profiles: PhaseProfiles
  readonly store: RouteStore
  readonly audit: AuditLog
  readonly events: EventFeed
  readonly log: Log
  /** Tells watchers at once what an action has changed, instead of at the next picture. */
  readonly onAction: () => void
}

export class Operator {
  readonly #parts: OperatorParts
  /** The last change of each service that is under way; the next one waits for it. */
  readonly #changes = new Map<string, Promise<unknown>>()
  readonly #recorded = new WeakSet<PontoonError>()

  constructor(parts: OperatorParts) {
    this.#parts = parts
  }

  service(name: string): Service {
    const service = this.#parts.services.get(name)
    if (service !== undefined) return service
    const known = [...this.#parts.services.keys()].join(', ')
    throw new PontoonError('NOT_FOUND', `No service '${name}'; there is ${known || 'none'}.`)
  }

  async changeRoute(name: string, request: RouteRequest, actor: Actor): Promise<RouteChange> {
    if (request.dryRun) return this.#decide(this.service(name), request)
    const asked = { ...request.patch, epoch: request.epoch }
    return await this.audited('route.change', name, asked, actor, async () => {
      const change = await this.#oneByOne(name, () => this.#applyChange(name, request))
      if (change.applied) this.#announceRoute(name, change, actor)
      return { result: change, before: change.before, after: change.after }
    })
  }

  /** With `terminate`, what still runs after `waitMs` is ended (SQLSTATE 57P01). */
  async pause(
    name: string,
    forMs: number,
    waitMs: number,
    actor: Actor,
    terminate = false,
  ): Promise<DrainReport> {
    const asked = { forMs, waitMs, terminate }
    return await this.audited('gate.pause', name, asked, actor, async () => {
      const service = this.service(name)
      const before = service.snapshot().gate.state
      const draining = service.pause(forMs, waitMs, `paused by ${actor.name}`)
      this.#parts.onAction()
      const waited = await draining
      const ended = terminate ? endRest(service, waited) : 0
      const { opensInMs } = service.gate.snapshot()
      const { drained, waitingFor } =
        ended > 0 && opensInMs !== null && opensInMs > 0
          ? await service.pause(opensInMs, gateLimits.endMs, `paused by ${actor.name}`)
          : waited
      const details = { drained, waitingFor: waitingFor.length, ended }
      return { result: { drained, waitingFor, ended }, before, after: 'paused', details }
    })
  }

  async resume(name: string, actor: Actor): Promise<void> {
    await this.audited('gate.resume', name, {}, actor, async () => {
      const service = this.service(name)
      const before = service.snapshot().gate.state
      service.resume()
      this.#parts.onAction()
      return { result: undefined, before, after: service.snapshot().gate.state }
    })
  }

  async reconnect(name: string, actor: Actor, database: string | null = null): Promise<void> {
    const asked = database === null ? {} : { database }
    await this.audited('pool.reconnect', name, asked, actor, async () => {
      this.service(name).reconnect(database)
      return { result: undefined }
    })
  }

  /** Ends sessions with 57P01; settles with how many. */
  async endSessions(name: string, which: SessionFilter, actor: Actor): Promise<number> {
    return await this.audited('session.end', name, which, actor, async () => {
      const ended = this.service(name).endSessions(which)
      return { result: ended, details: { ended } }
    })
  }

  /** Runs an action and records how it ended before anyone hears of it. */
  async audited<T>(
    action: OperatorAction,
    service: string | null,
    asked: Details,
    actor: Actor,
    run: () => Promise<Done<T>>,
  ): Promise<T> {
    try {
      const { result, details, ...change } = await run()
      const all = { ...asked, ...details }
      await this.#record({ action, service, actor, outcome: 'done', ...change, details: all })
      return result
    } catch (thrown) {
      const error = toPontoonError(thrown)
      this.#recorded.add(error)
      const outcome = error.kind.http < 500 ? 'refused' : 'failed'
      await this.#record({ action, service, actor, outcome, details: refusal(asked, error) })
      throw error
    }
  }

  /** Records what was refused before it got here (token, headers, schema); only once. */
  async recordRefusal(
    error: PontoonError,
    service: string | null,
    asked: Details,
    actor: Actor,
  ): Promise<void> {
    if (this.#recorded.has(error)) return
    this.#recorded.add(error)
    const details = refusal(asked, error)
    await this.#record({ action: 'request', service, actor, outcome: 'refused', details })
  }

  #decide(service: Service, { patch, epoch }: RouteRequest): RouteChange {
    const before = service.route
    if (before.epoch !== epoch) throw staleEpoch(service.name, epoch, before)
    const after = changeRoute(before, patch, {
      service: service.name,
      profiles: this.#parts.profiles,
    })
    return { before, after, applied: false }
  }

  async #applyChange(name: string, request: RouteRequest): Promise<RouteChange> {
    const service = this.service(name)
    const change = this.#decide(service, request)
    if (change.after === change.before) return change
    await this.#store(name, change, request.epoch)
    service.applyRoute(change.after)
    return { ...change, applied: true }
  }

  /** Another process may share the store: whoever lost hears what is in force now. */
  async #store(name: string, { before, after }: RouteChange, asked: number): Promise<void> {
    const { store } = this.#parts
    try {
      await store.compareAndSet(name, before.epoch, after)
    } catch (error) {
      const stored = store.get(name)
      const isStale = error instanceof PontoonError && error.code === 'EPOCH_STALE'
      throw isStale && stored !== undefined ? staleEpoch(name, asked, stored) : error
    }
  }

  #announceRoute(name: string, { before, after }: RouteChange, actor: Actor): void {
    this.#parts.events.publish('route', { service: name, before, after, by: actor.name })
  }

  async #oneByOne<T>(name: string, change: () => Promise<T>): Promise<T> {
    const previous = this.#changes.get(name) ?? Promise.resolve()
    const mine = previous.then(change, change)
    // The next in line only waits; a failure is reported to the one who asked.
    this.#changes.set(name, mine.then(ignore, ignore))
    return await mine
  }

  /** A full disk must not turn a change that is in force into an error; it is said loudly. */
  async #record(record: AuditRecord): Promise<void> {
    const { actor, action, ...rest } = record
    this.#parts.log.info({ action, by: actor.name, ...rest }, `operator action ${record.outcome}`)
    try {
      await this.#parts.audit.append(record)
    } catch (error) {
      this.#parts.log.error(
        { action, by: actor.name, service: record.service, err: error },
        'an operator action could not be written to the audit log',
      )
    }
  }
}

function refusal(asked: Details, { code, message }: PontoonError): Details {
  return { ...asked, code, message }
}

function staleEpoch(name: string, asked: number, route: Route): ProblemError {
  return new ProblemError(
    'EPOCH_STALE',
    `The route of '${name}' is at epoch ${route.epoch}, not ${asked}; look at it again and decide anew.`,
    { epoch: route.epoch, route },
  )
}

function ignore(): void {
  return undefined
}

/** Not under a gate that somebody has opened meanwhile: then nothing waits for them any more. */
function endRest(service: Service, { waitingFor }: DrainReport): number {
  if (service.gate.isOpen) return 0
  return waitingFor.reduce((sum, { id }) => sum + service.endSessions({ id }), 0)
}
