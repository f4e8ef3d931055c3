/**
 * Waits for a side that a forced switch has left: when it can be reached again, it is fenced and
 * told who takes the writes, whoever has brought it back. Whether there is one says the primary
 * side, once per epoch of the route.
 */
import type { ServiceConfig } from '../config/schema.ts'
import { afterwardsOf } from '../migration/pg/left-side-words.ts'
import { isSilence } from '../migration/pg/switch/forced-guards.ts'
import { isOtherLeft, tellLeftSide } from '../migration/pg/switch/tell-left-side.ts'
import { ServerLoginError } from '../net/pg/login.ts'
import type { Secrets } from '../net/secrets/secrets.ts'
import type { Service } from '../proxy/service.ts'
import { toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { otherSide, type Side } from '../shared/side.ts'
import type { RouteStore } from '../store/route-store.ts'
import { leftSideLimits } from './limits.ts'
import { WatchLoops } from './watch-loops.ts'

/** While it starts, in which nobody can write to it either. */
const cannotConnectNow = '57P03'

export interface LeftSideWatchParts {
  readonly secrets: Secrets
  readonly store: RouteStore
  readonly log: Log
}

export class LeftSideWatch {
  readonly #parts: LeftSideWatchParts
  readonly #loops = new WatchLoops()
  readonly #complaints = new Map<string, string>()

  constructor(parts: LeftSideWatchParts) {
    this.#parts = parts
  }

  start(services: Iterable<Service>): void {
    this.#loops.start([...services].map((service) => this.#follow(service)))
  }

  async stop(): Promise<void> {
    await this.#loops.stop()
  }

  async #follow(service: Service): Promise<void> {
    let settledEpoch = 0
    while (!this.#loops.signal.aborted) {
      const { epoch } = service.route
      if (epoch !== settledEpoch && (await this.#loops.orStopped(this.#settle(service))) === true)
        settledEpoch = epoch
      await this.#loops.pause(leftSideLimits.everyMs)
    }
  }

  /** False while it is to be tried again. */
  async #settle(service: Service): Promise<boolean> {
    const { config, name, route } = service
    if (config.protocol !== 'postgres' || !hasControl(config)) return true
    const { secrets, store, log } = this.#parts
    // Until it is over, the mark does not say yet whom it leaves.
    if (store.switchOf(name) !== undefined) return false
    const context = { service: name, config, secrets }
    const { signal } = this.#loops
    const isLeft = await isOtherLeft(context, route).catch(() => null)
    // The primary cannot be asked: side-watch.ts says so.
    if (isLeft === null) return false
    if (!isLeft) return true
    const side = otherSide(route.primary)
    const fields = { service: name, side, primary: route.primary, epoch: route.epoch }
    try {
      if ((await tellLeftSide(context, store, route, signal)) === 'known') return true
    } catch (thrown) {
      this.#complain(fields, thrown)
      return false
    }
    log.warn(
      fields,
      `a side that a forced switch has left is back and was fenced; the sides have parted ways, nothing replicates between them; ${afterwardsOf(side)}`,
    )
    return true
  }

  /** A side that is back takes writes of whoever goes past Pontoon until it is fenced. */
  #complain(fields: { readonly service: string; readonly side: Side }, thrown: unknown): void {
    const { service, side } = fields
    const { code, message } = toPontoonError(thrown)
    const isStarting = thrown instanceof ServerLoginError && thrown.sqlstate === cannotConnectNow
    const isToBeSaid = !isSilence(thrown) && !isStarting && code !== 'SWITCH_RUNNING'
    if (isToBeSaid && this.#complaints.get(service) !== message)
      this.#parts.log.error(
        { ...fields, code },
        `the ${side}, which a forced switch has left, answers again but is not fenced yet: ${message}`,
      )
    this.#complaints.set(service, message)
  }
}

function hasControl({ source, target }: ServiceConfig): boolean {
  return source.controlUser !== undefined && target.controlUser !== undefined
}
