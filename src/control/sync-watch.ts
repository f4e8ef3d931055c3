/**
 * Follows the sync of every PostgreSQL service that has a control role on both sides: for status,
 * metrics, events. It only reports, over connections of its own; a database that is down delays
 * nobody but the next look.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SyncSupervisor, type SyncView } from '../migration/pg/sync/supervisor.ts'
import type { Secrets } from '../net/secrets/secrets.ts'
import type { Service } from '../proxy/service.ts'
import type { Clock } from '../shared/clock.ts'
import { toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { gateCondition } from './doubts.ts'
import type { EventFeed } from './events.ts'
import { syncWatchLimits } from './limits.ts'

export interface SyncWatchParts {
  readonly secrets: Secrets
  readonly events: EventFeed
  readonly clock: Clock
  readonly log: Log
}

export class SyncWatch {
  readonly #parts: SyncWatchParts
  readonly #views = new Map<string, SyncView>()
  readonly #told = new Map<string, string>()
  readonly #stop = new AbortController()
  #loops: readonly Promise<void>[] = []

  constructor(parts: SyncWatchParts) {
    this.#parts = parts
  }

  start(services: Iterable<Service>): void {
    this.#loops = [...services].map((service) => this.#follow(service))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  /** Null while there is nothing to follow. */
  view(service: string): SyncView | null {
    return this.#views.get(service) ?? null
  }

  async #follow(service: Service): Promise<void> {
    const supervisor = this.#supervisorOf(service)
    if (supervisor === null) return
    const { signal } = this.#stop
    const { name } = service
    while (!signal.aborted) {
      const view = await orAborted(this.#look(name, supervisor), signal)
      if (signal.aborted) break
      if (view === null) this.#views.delete(name)
      else this.#show(name, view)
      const waitMs = view === null ? syncWatchLimits.idleEveryMs : syncWatchLimits.everyMs
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
    supervisor.close()
  }

  async #look(name: string, supervisor: SyncSupervisor): Promise<SyncView | null> {
    const { signal } = this.#stop
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

/** A login under way cannot be stopped, and is not waited for. A race would keep every listener. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(null)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
