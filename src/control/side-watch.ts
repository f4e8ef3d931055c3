/**
 * Asks every side now and then whether it still answers, so that a sidecar that started without
 * its databases says so in its log, in `status` and on the console. It only reports: clients
 * get their errors from the data plane, and readiness does not follow the databases.
 */
import type { Service } from '../proxy/service.ts'
import type { Clock } from '../shared/clock.ts'
import { toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { sides } from '../shared/side.ts'
import type { Side } from '../shared/side.ts'
import type { EventFeed } from './events.ts'
import { sideWatchLimits } from './limits.ts'
import { WatchLoops } from './watch-loops.ts'

/** What one look at a side found. */
export interface SideFinding {
  readonly reachable: boolean
  /** An error code, empty when reachable. */
  readonly code: string
  readonly message: string
  readonly version: string
  readonly latencyMs: number | null
}

export interface SideView {
  readonly host: string
  readonly port: number
  readonly state: 'unknown' | 'reachable' | 'unreachable'
  readonly code: string
  readonly message: string
  readonly version: string
  readonly latencyMs: number | null
  /** Wall-clock milliseconds of the last look. */
  readonly checkedAtMs: number | null
}

export type SideProbe = (
  service: Pick<Service, 'config' | 'backends' | 'route'>,
  side: Side,
) => Promise<SideFinding>

export interface SideWatchParts {
  readonly probe: SideProbe
  readonly events: EventFeed
  readonly clock: Clock
  readonly log: Log
}

export class SideWatch {
  readonly #parts: SideWatchParts
  readonly #findings = new Map<string, SideFinding & { readonly atMs: number }>()
  readonly #loops = new WatchLoops()

  constructor(parts: SideWatchParts) {
    this.#parts = parts
  }

  start(services: Iterable<Service>): void {
    this.#loops.start(
      [...services].flatMap((service) => sides.map((side) => this.#follow(service, side))),
    )
  }

  async stop(): Promise<void> {
    await this.#loops.stop()
  }

  view(service: Service, side: Side): SideView {
    const { host, port } = service.config[side]
    const found = this.#findings.get(keyOf(service, side))
    return {
      host,
      port,
      state: stateOf(found),
      code: found?.code ?? '',
      message: found?.message ?? '',
      version: found?.version ?? '',
      latencyMs: found?.latencyMs ?? null,
      checkedAtMs: found?.atMs ?? null,
    }
  }

  /** One sentence for each side that does not answer. */
  notes(services: Iterable<Service>): readonly string[] {
    return [...services].flatMap((service) =>
      sides.flatMap((side) => {
        const { state, message } = this.view(service, side)
        return state === 'unreachable' ? [`${service.name}: the ${side}: ${message}`] : []
      }),
    )
  }

  async #follow(service: Service, side: Side): Promise<void> {
    while (!this.#loops.signal.aborted) {
      const finding = await this.#loops.orStopped(this.#look(service, side))
      if (finding === null) return
      const { reachableEveryMs, unreachableEveryMs } = sideWatchLimits
      // Who may connect to which side is about to change: the next look counts.
      const counts = service.gate.snapshot().keptBy !== 'switch'
      if (counts) this.#report(service, side, finding)
      const waitMs = counts && finding.reachable ? reachableEveryMs : unreachableEveryMs
      await this.#loops.pause(waitMs)
    }
  }

  async #look(service: Service, side: Side): Promise<SideFinding> {
    try {
      return await this.#parts.probe(service, side)
    } catch (thrown) {
      const { code, message } = toPontoonError(thrown)
      return { reachable: false, code, message, version: '', latencyMs: null }
    }
  }

  #report(service: Service, side: Side, finding: SideFinding): void {
    const key = keyOf(service, side)
    const before = this.#findings.get(key)
    this.#findings.set(key, { ...finding, atMs: this.#parts.clock.wallMs() })
    if (before?.reachable === finding.reachable && before.code === finding.code) return
    const fields = { service: service.name, side, ...finding }
    if (finding.reachable) this.#parts.log.info(fields, 'a side answers')
    else
      this.#parts.log.warn(fields, 'a side cannot be reached; its clients get errors until it can')
    this.#parts.events.publish('side', fields)
  }
}

function keyOf(service: Service, side: Side): string {
  return `${service.name} ${side}`
}

function stateOf(found: SideFinding | undefined): SideView['state'] {
  if (found === undefined) return 'unknown'
  return found.reachable ? 'reachable' : 'unreachable'
}
