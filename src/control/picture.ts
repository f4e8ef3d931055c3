/**
 * While somebody watches, looks at every service once a second: shows the picture, and publishes
 * what the data plane does by itself (a gate that opens at its deadline, new kinds of errors).
 * With no watcher it costs nothing.
 */
import type { Service } from '../proxy/service.ts'
import type { EventFeed } from './events.ts'
import { eventLimits } from './limits.ts'
import { errorCountsOf, viewService } from './service-view.ts'
import type { SideWatch } from './side-watch.ts'
import type { Operation } from './switches.ts'
import type { SyncWatch } from './sync-watch.ts'

interface Seen {
  readonly gate: string
  readonly errors: Readonly<Record<string, number>>
}

export interface PictureParts {
  readonly services: ReadonlyMap<string, Service>
  readonly sides: SideWatch
  readonly sync: SyncWatch
  readonly events: EventFeed
  /** The switch of a service that is under way. */
  readonly operationOf: (service: string) => Operation | null
}

export class Picture {
  readonly #parts: PictureParts
  readonly #timer: NodeJS.Timeout
  readonly #seen = new Map<string, Seen>()

  constructor(parts: PictureParts) {
    this.#parts = parts
    this.#timer = setInterval(() => this.look(), eventLimits.pictureEveryMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  look(): void {
    const { services, sides, sync, events, operationOf } = this.#parts
    if (events.listenerCount === 0) {
      // Changes are told to those who watch; the next watcher starts from what it sees.
      this.#seen.clear()
      return
    }
    for (const service of services.values()) this.#compare(service)
    const views = [...services.values()].map((one) =>
      viewService(one, sides, operationOf(one.name), sync.view(one.name)),
    )
    events.show('services', { services: views })
  }

  #compare(service: Service): void {
    const { gate } = service.snapshot()
    const errors = errorCountsOf(service)
    const before = this.#seen.get(service.name)
    this.#seen.set(service.name, { gate: gate.state, errors })
    if (before === undefined) return
    if (before.gate !== gate.state) {
      this.#parts.events.publish('gate', { service: service.name, ...gate })
    }
    const risen = Object.entries(errors).flatMap(([name, value]) => {
      const by = value - (before.errors[name] ?? 0)
      return by > 0 ? [[name, by] as const] : []
    })
    if (risen.length > 0) {
      this.#parts.events.publish('errors', {
        service: service.name,
        counts: Object.fromEntries(risen),
      })
    }
  }
}
