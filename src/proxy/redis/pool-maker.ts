/** Makes the pools of a service: how servers are opened, their limits, and what is counted. */
import type { RedisServiceConfig } from '../../config/schema.ts'
import { Pool } from '../../net/pool.ts'
import type { PoolLimits, PoolObserver } from '../../net/pool-rules.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { Side } from '../../shared/side.ts'
import { countIn, type ServiceStats } from '../service.ts'
import type { PoolUse, ServerKind } from './server-group.ts'
import type { RedisSides } from './sides.ts'

export interface RedisPoolMakerParts {
  readonly name: string
  config(): RedisServiceConfig
  readonly clock: Clock
  readonly log: Log
  readonly stats: ServiceStats
  readonly sides: RedisSides
  opened(kind: ServerKind): void
}

export class RedisPoolMaker {
  readonly #parts: RedisPoolMakerParts

  constructor(parts: RedisPoolMakerParts) {
    this.#parts = parts
  }

  make(kind: ServerKind, use: PoolUse): Pool<RedisServer> {
    const { sides, clock } = this.#parts
    const pool: Pool<RedisServer> = new Pool(
      async () => {
        const server = await sides.open(kind, use, (lost) => pool.lost(lost))
        this.#parts.opened(kind)
        return server
      },
      this.limitsOf(kind.side, use),
      clock,
      { observer: this.#observe(kind) },
    )
    return pool
  }

  limitsOf(side: Side, use: PoolUse): PoolLimits {
    const config = this.#parts.config()
    const { pool } = config
    return {
      ...pool,
      size: use === 'own' ? pool.ownSize : pool.size,
      minSize: 0,
      probeTimeoutMs: config[side].connectTimeoutMs,
    }
  }

  #observe({ side, user, database }: ServerKind): PoolObserver {
    const { name, log, stats } = this.#parts
    const counted = stats.servers[side]
    return {
      opened: (tookMs) => {
        counted.opened += 1
        counted.openSeconds.observe(tookMs / 1_000)
      },
      openFailed: ({ code, message }, isNew) => {
        countIn(counted.openErrors, code)
        if (!isNew) return
        log.warn(
          { service: name, side, user, database, code, error: message },
          'a server cannot be opened; it is tried again',
        )
      },
      closed: (reason) => countIn(counted.closed, reason),
      probed: (isAlive) => {
        counted.probes[isAlive ? 'alive' : 'dead'] += 1
      },
    }
  }
}
