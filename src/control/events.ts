/**
 * What happened, for whoever watches: route changes, gates, errors, reloads. Kept in a short
 * ring so that a watcher that reconnects misses nothing recent. admin/events.ts turns it into a
 * server-sent stream; watch.ts publishes what the data plane does by itself.
 */
import { eventLimits } from './limits.ts'

export type EventKind =
  'route' | 'gate' | 'errors' | 'config' | 'services' | 'side' | 'sync' | 'operation' | 'stopping'

export interface ControlEvent {
  /** Rises by one per kept event; 0 for the periodic `services` picture, which is not kept. */
  readonly id: number
  readonly kind: EventKind
  readonly atMs: number
  readonly data: Readonly<Record<string, unknown>>
}

export type EventListener = (event: ControlEvent) => void

export class EventFeed {
  readonly #wallMs: () => number
  readonly #listeners = new Set<EventListener>()
  #kept: ControlEvent[] = []
  #lastId = 0

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs
  }

  get listenerCount(): number {
    return this.#listeners.size
  }

  /** Publishes and keeps the event for late watchers. */
  publish(kind: EventKind, data: ControlEvent['data']): void {
    this.#lastId += 1
    const event = { id: this.#lastId, kind, atMs: this.#wallMs(), data }
    this.#kept.push(event)
    if (this.#kept.length > eventLimits.keptMax) this.#kept.shift()
    this.#deliver(event)
  }

  /** Publishes a picture that the next one replaces: nobody needs an old one. */
  show(kind: EventKind, data: ControlEvent['data']): void {
    this.#deliver({ id: 0, kind, atMs: this.#wallMs(), data })
  }

  /** The kept events after `id`, oldest first. */
  since(id: number): readonly ControlEvent[] {
    return this.#kept.filter((event) => event.id > id)
  }

  /** Returns how to stop listening. */
  listen(listener: EventListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #deliver(event: ControlEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
