/**
 * Follows the sync of every PostgreSQL service that has a control role on both sides: for status,
 * metrics, events. It only reports, over connections of its own; a database that is down delays
 * nobody but the next look.
 */
import type { Explanation } from '../migration/pg/sync/explain.ts'
import type { SyncState } from '../migration/pg/sync/health.ts'
import { SyncSupervisor, type SyncView } from '../migration/pg/sync/supervisor.ts'
import type { Secrets } from '../net/secrets/secrets.ts'
import type { Service } from '../proxy/service.ts'
import type { Clock } from '../shared/clock.ts'
import { toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { gateCondition } from './doubts.ts'
import type { EventFeed } from './events.ts'
import { syncWatchLimits } from './limits.ts'
import { WatchLoops } from './watch-loops.ts'

export interface SyncWatchParts {
  readonly secrets: Secrets
  /** Whether a switch of that service is under way, which turns its sync round. */
  readonly isSwitching: (service: string) => boolean
  readonly events: EventFeed
  readonly clock: Clock
  readonly log: Log
}

/** What a direction that does not run has for a reason while a switch is under way. */
const switching: Explanation = {
  cause: 'a switch is under way, which stops one direction and starts the other',
  fix: 'wait for its end: pontoon status shows it',
}

export class SyncWatch {
  readonly #parts: SyncWatchParts
  readonly #views = new Map<string, SyncView>()
  /** Services that were looked at, be it in vain. */
  readonly #looked = new Set<string>()
  readonly #told = new Map<string, string>()
  readonly #loops = new WatchLoops()

  constructor(parts: SyncWatchParts) {
    this.#parts = parts
  }

  start(services: Iterable<Service>): void {
    this.#loops.start([...services].map((service) => this.#follow(service)))
  }

  async stop(): Promise<void> {
    await this.#loops.stop()
  }

  /** Null while there is nothing to follow. */
  view(service: string): SyncView | null {
    return this.#views.get(service) ?? null
  }

  /** Of the direction from the primary side to the other; null where nothing can be known. */
  stateOf(service: string): SyncState | null {
    const view = this.view(service)
    if (view === null) return this.#looked.has(service) ? 'absent' : null
    return view.health.find(({ direction }) => direction === view.direction)?.state ?? 'absent'
  }

  async #follow(service: Service): Promise<void> {
    const { signal } = this.#loops
    const { name } = service
    let { config } = service
    let supervisor = this.#supervisorOf(service)
    while (!signal.aborted) {
      const quiet = this.#parts.isSwitching(name)
      const view = await this.#loops.orStopped(this.#look(name, supervisor))
      if (signal.aborted) break
      if (supervisor === null) this.#looked.delete(name)
      else this.#looked.add(name)
      if (view === null) this.#views.delete(name)
      else if (quiet || this.#parts.isSwitching(name)) this.#views.set(name, duringSwitch(view))
      else this.#show(name, view)
      const waitMs = view === null ? syncWatchLimits.idleEveryMs : syncWatchLimits.everyMs
      await this.#loops.pause(waitMs)
      // A reload may have brought other roles, and passwords that were changed.
      if (service.config === config) continue
      config = service.config
      supervisor?.close()
      supervisor = this.#supervisorOf(service)
    }
    supervisor?.close()
  }

  async #look(name: string, supervisor: SyncSupervisor | null): Promise<SyncView | null> {
    if (supervisor === null) return null
    const { signal } = this.#loops
    try {
      return await supervisor.look(signal)
    } catch (thrown) {
      if (!signal.aborted) {
        const { code, message } = toPontoonError(thrown)
        this.#parts.log.warn({ service: name, code, error: message }, 'sync cannot be looked at')
      }
      return null
    }
  }

  #supervisorOf(service: Service): SyncSupervisor | null {
    const { config, name } = service
    if (config.protocol !== 'postgres') return null
    if (config.source.controlUser === undefined || config.target.controlUser === undefined)
      return null
    const { secrets, clock } = this.#parts
    return new SyncSupervisor({
      context: { service: name, config, secrets },
      route: () => service.route,
      backends: service.backends,
      moreConditions: () => [gateCondition(service)],
      nowMs: () => clock.nowMs(),
    })
  }

  /** Events and log for what changes; the figures are for those who ask. */
  #show(service: string, view: SyncView): void {
    this.#views.set(service, view)
    for (const { direction, state, problem } of view.health) {
      const key = `${service} ${direction}`
      const before = this.#told.get(key)
      if (before === state) continue
      this.#told.set(key, state)
      const fields = {
        service,
        direction,
        state,
        cause: problem?.cause ?? '',
        fix: problem?.fix ?? '',
      }
      const isWell = state === 'streaming' || state === 'copying'
      if (isWell) this.#parts.log.info(fields, 'sync runs')
      else this.#parts.log.warn(fields, 'sync does not run')
      this.#parts.events.publish('sync', fields)
    }
  }
}

function duringSwitch(view: SyncView): SyncView {
  const health = view.health.map((one) =>
    one.problem === null ? one : { ...one, problem: switching },
  )
  const text = `${switching.cause}: ${switching.fix}`
  const conditions = view.conditions.map((one) =>
    one.ok || one.name !== 'stream' ? one : { ...one, text },
  )
  return { ...view, health, conditions, rollbackReady: false }
}
