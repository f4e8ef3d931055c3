/**
 * SIGHUP, or RELOAD at a console: reads the configuration files again, applies what can change while running and names
 * what needs a restart. A file with a mistake changes nothing at all.
 */
import { compareConfigs, liveConfig } from '../config/compare.ts'
import { loadConfig } from '../config/load.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Service } from '../proxy/service.ts'
import { certificateProblems } from './certificates.ts'
import type { EventFeed } from './events.ts'
import type { ProcessLog } from './logging.ts'
import type { Actor, Operator } from './operator.ts'

export interface ReloadReport {
  /** Paths of values that are in force now. */
  readonly applied: readonly string[]
  /** Paths of values that count only after a restart. */
  readonly needRestart: readonly string[]
  /** Paths that only say where a new service starts; the stored route counts. */
  readonly forNewServices: readonly string[]
  /** What works, but is probably not what was meant. */
  readonly warnings: readonly string[]
}

export interface ReloaderParts {
  readonly config: Config
  readonly configFiles: readonly string[]
  readonly services: ReadonlyMap<string, Service>
  readonly operator: Operator
  readonly events: EventFeed
  readonly log: ProcessLog
}

export class Reloader {
  readonly #parts: ReloaderParts
  #config: Config
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: ReloaderParts) {
    this.#parts = parts
    this.#config = parts.config
  }

  get config(): Config {
    return this.#config
  }

  /** One after the other. Throws what loadConfig throws. */
  async reload(actor: Actor): Promise<ReloadReport> {
    const mine = this.#last.then(() => this.#audited(actor))
    this.#last = mine.catch(() => undefined)
    return await mine
  }

  async #audited(actor: Actor): Promise<ReloadReport> {
    const { configFiles, operator, events, log } = this.#parts
    const report = await operator.audited(
      'config.reload',
      null,
      { configFiles },
      actor,
      async () => {
        const result = this.#apply(loadConfig(configFiles, process.env))
        return { result, details: { ...result } }
      },
    )
    events.publish('config', { ...report })
    if (report.needRestart.length > 0) {
      log.warn({ ...report }, 'configuration reloaded; some changes need a restart')
    } else log.info({ ...report }, 'configuration reloaded')
    return report
  }

  #apply({ config: next, warnings }: LoadedConfig): ReloadReport {
    const { services, log } = this.#parts
    const changes = compareConfigs(this.#config, next)
    const live = liveConfig(this.#config, next)
    this.#config = live
    log.setLevel(live.log.level)
    const refused = Object.entries(live.services).flatMap(
      ([name, config]) => services.get(name)?.applyConfig(config) ?? [],
    )
    return {
      applied: changes.live.filter((path) => !refused.includes(path)),
      needRestart: [...new Set([...changes.needRestart, ...refused])],
      forNewServices: changes.forNewServices,
      warnings: [...warnings, ...certificateProblems(services.values())],
    }
  }
}
