/**
 * What startup, liveness and readiness probes hear. Readiness says whether this sidecar takes
 * clients; it does not follow the databases, because a failover would then take every replica
 * of the application out of service at once and help nobody.
 */
import { unreachable } from '../shared/assert.ts'

export type Lifecycle = 'starting' | 'running' | 'stopping'

const followers: Readonly<Record<Lifecycle, readonly Lifecycle[]>> = {
  starting: ['running', 'stopping'],
  running: ['stopping'],
  stopping: [],
}

export interface HealthReport {
  readonly ok: boolean
  readonly state: Lifecycle
  /** Why not, or what an operator should know all the same. */
  readonly reasons: readonly string[]
}

export class Health {
  readonly #notes: () => readonly string[]
  #state: Lifecycle = 'starting'

  /** `notes` says what is wrong around a sidecar that is ready nevertheless. */
  constructor(notes: () => readonly string[]) {
    this.#notes = notes
  }

  get state(): Lifecycle {
    return this.#state
  }

  become(next: Lifecycle): void {
    if (next === this.#state) return
    if (!followers[this.#state].includes(next)) {
      throw new Error(`the sidecar cannot go from ${this.#state} to ${next}`)
    }
    this.#state = next
  }

  startup(): HealthReport {
    const ok = this.#state !== 'starting'
    return { ok, state: this.#state, reasons: ok ? [] : ['The listeners are not up yet.'] }
  }

  /** It answers, so it lives. */
  live(): HealthReport {
    return { ok: true, state: this.#state, reasons: [] }
  }

  ready(): HealthReport {
    const notes = this.#notes()
    switch (this.#state) {
      case 'starting':
        return { ok: false, state: this.#state, reasons: ['The listeners are not up yet.'] }
      case 'stopping':
        return { ok: false, state: this.#state, reasons: ['The sidecar is shutting down.'] }
      case 'running':
        return { ok: true, state: this.#state, reasons: notes }
      default:
        return unreachable(this.#state)
    }
  }
}
