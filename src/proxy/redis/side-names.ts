/**
 * Follows the names of the two sides, as a managed cache moves its name to the new primary in a
 * failover: servers at addresses that are gone are left at their next rest. Sentinels and clusters
 * say themselves where their nodes are.
 */
import type { LookupFunction } from 'node:net'
import { NameWatch, plainAddress } from '../../net/name-watch.ts'
import { sides, type Side } from '../../shared/side.ts'
import type { RedisContext } from './context.ts'

export class RedisSideNames {
  readonly #context: RedisContext
  readonly #watches: Readonly<Record<Side, NameWatch>>

  constructor(context: RedisContext, lookup: LookupFunction | undefined) {
    this.#context = context
    const watch = (side: Side): NameWatch =>
      new NameWatch({
        host: context.config[side].host,
        lookup,
        onAnswer: (addresses) => this.#answered(side, addresses),
      })
    this.#watches = { source: watch('source'), target: watch('target') }
  }

  /** Once a second. */
  look(): void {
    const { clock, config } = this.#context
    for (const side of sides) {
      const { cluster, sentinels } = config[side]
      if (cluster || sentinels !== undefined) continue
      this.#watches[side].look(clock.nowMs(), config.pool.dnsIntervalMs)
    }
  }

  #answered(side: Side, addresses: ReadonlySet<string>): void {
    let left = 0
    for (const group of this.#context.groups.all()) {
      if (group.kind.side !== side) continue
      for (const [, pool] of group.pools())
        left += pool.retire(
          ({ address }) => address !== null && !addresses.has(plainAddress(address)),
        )
    }
    if (left === 0) return
    const { log, name } = this.#context
    log.info(
      { service: name, side, addresses: [...addresses], servers: left },
      'the name of a side leads elsewhere; servers at the old address are closed at their next rest',
    )
  }
}
