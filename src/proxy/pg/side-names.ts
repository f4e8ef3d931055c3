/**
 * Follows the names of the two sides: when one leads elsewhere, the servers at addresses that are
 * gone are closed at their next release, as with a reconnect.
 */
import type { LookupFunction } from 'node:net'
import type { ServiceConfig } from '../../config/schema.ts'
import { NameWatch, plainAddress } from '../../net/name-watch.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import { sides, type Side } from '../../shared/side.ts'
import type { PoolSet } from './pool-set.ts'

export interface SideNamesParts {
  readonly name: string
  config(): ServiceConfig
  readonly clock: Clock
  readonly log: Log
  readonly pools: PoolSet
  readonly lookup?: LookupFunction | undefined
}

/**
 * A name for reads may give another replica with each answer; only an address that has not been
 * among the answers for this long is gone. One for writes leads to the primary alone.
 */
const readAddressMs = 300_000

/** After trouble with a side its name is looked up no more often than this. */
const troubleIntervalMs = 1_000

export class SideNames {
  readonly #parts: SideNamesParts
  readonly #watches: Readonly<Record<Side, NameWatch>>
  readonly #seenAtMs: Readonly<Record<Side, Map<string, number>>> = {
    source: new Map(),
    target: new Map(),
  }

  constructor(parts: SideNamesParts) {
    this.#parts = parts
    const watch = (side: Side): NameWatch =>
      new NameWatch({
        host: parts.config()[side].host,
        lookup: parts.lookup,
        onAnswer: (addresses) => this.#answered(side, addresses),
      })
    this.#watches = { source: watch('source'), target: watch('target') }
  }

  /** Several times a minute. */
  look(): void {
    const { clock } = this.#parts
    const { dnsIntervalMs } = this.#parts.config().pool
    for (const side of sides) this.#watches[side].look(clock.nowMs(), dnsIntervalMs)
  }

  /** A side is in trouble: its name may lead elsewhere already. */
  lookSoon(side: Side): void {
    this.#watches[side].look(this.#parts.clock.nowMs(), troubleIntervalMs)
  }

  #answered(side: Side, addresses: ReadonlySet<string>): void {
    const now = this.#parts.clock.nowMs()
    const seenAtMs = this.#seenAtMs[side]
    for (const address of addresses) seenAtMs.set(address, now)
    for (const [address, atMs] of seenAtMs) if (now - atMs > readAddressMs) seenAtMs.delete(address)
    let left = 0
    for (const { kind, existing } of this.#parts.pools.slots()) {
      if (kind.side !== side || existing === null) continue
      const current = kind.access === 'write' ? addresses : seenAtMs
      left += existing.retire(
        ({ address }) => address !== null && !current.has(plainAddress(address)),
      )
    }
    if (left === 0) return
    this.#parts.log.info(
      { service: this.#parts.name, side, addresses: [...addresses], servers: left },
      'the name of a side leads elsewhere; servers at the old address are closed once they are free',
    )
  }
}
