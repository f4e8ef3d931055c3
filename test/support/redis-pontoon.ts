/**
 * A Redis service of ours in the test's own process: its configuration goes through the real
 * schema, it listens on a free port of 127.0.0.1, and the test may look at its inside. Neighbours:
 * redis.ts (what stands behind it), redis-wire.ts (raw clients of it), pontoon.ts (PostgreSQL).
 */
import type { LookupFunction } from 'node:net'
import { configSchema, type RedisServiceConfig } from '../../src/config/schema.ts'
import { createRedisService } from '../../src/proxy/redis/service.ts'
import type { Service } from '../../src/proxy/service.ts'
import type { Route } from '../../src/routing/route.ts'
import { systemClock, type Clock } from '../../src/shared/clock.ts'
import { silentLog, type Log } from '../../src/shared/log.ts'
import { until } from './pontoon.ts'
import { connectRedis, type RedisWire, type WireOptions } from './redis-wire.ts'

export interface RedisUpstream {
  readonly host?: string
  readonly port: number
}

export interface RedisPontoonOptions {
  readonly source: RedisUpstream
  /** Default: the source again. */
  readonly target?: RedisUpstream
  readonly mode?: 'multiplexed' | 'pinned'
  /** Over the defaults: trust, no TLS. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly pool?: Readonly<Record<string, unknown>>
  readonly route?: Partial<Route>
  readonly log?: Log
  readonly clock?: Clock
  readonly lookup?: LookupFunction
}

export async function startRedisPontoon(options: RedisPontoonOptions): Promise<RedisPontoon> {
  const route: Route = {
    epoch: 1,
    phase: 'self-hosted',
    primary: 'source',
    reads: 0,
    mirror: 0,
    dualWrite: 0,
    ...options.route,
  }
  const service = createRedisService({
    name: 'cache',
    config: redisServiceConfig(options),
    route,
    clock: options.clock ?? systemClock,
    log: options.log ?? silentLog,
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  })
  await service.listen()
  return new RedisPontoon(service)
}

/** The configuration as the file would give it, with every default. */
export function redisServiceConfig(options: RedisPontoonOptions): RedisServiceConfig {
  const cache = {
    protocol: 'redis',
    listen: '127.0.0.1:0',
    clientAuth: { mode: 'trust' },
    source: side(options.source),
    target: side(options.target ?? options.source),
    ...options.config,
    // As in pontoon.ts.
    pool: { mode: options.mode ?? 'multiplexed', queueTimeoutMs: 30_000, ...options.pool },
  }
  const parsed = configSchema.parse({ services: { cache } }).services['cache']
  if (parsed?.protocol !== 'redis') throw new Error('the schema lost the service')
  return parsed
}

function side({ host = '127.0.0.1', port }: RedisUpstream): object {
  return { host, port, connectTimeoutMs: 30_000 }
}

export class RedisPontoon {
  readonly host = '127.0.0.1'
  readonly service: Service

  /** Made by startRedisPontoon only. */
  constructor(service: Service) {
    this.service = service
  }

  get port(): number {
    const [address] = this.service.snapshot().listening
    return Number(address?.split(':').at(-1))
  }

  /** From now on this counts: what came before had the time that it needs. */
  tighten({ pool }: { readonly pool: Partial<RedisServiceConfig['pool']> }): void {
    const { config } = this.service
    if (config.protocol !== 'redis') throw new Error('another service')
    this.service.applyConfig({ ...config, pool: { ...config.pool, ...pool } })
  }

  client(options: Partial<WireOptions> = {}): Promise<RedisWire> {
    return connectRedis({ ...options, port: this.port })
  }

  /** Servers that are one client's own at present. */
  ownServers(): number {
    const { pools } = this.service.snapshot()
    return pools
      .filter(({ database }) => database.endsWith('(own)'))
      .reduce((sum, pool) => sum + pool.active, 0)
  }

  /** All open or opening servers. */
  servers(): number {
    const { pools } = this.service.snapshot()
    return pools.reduce((sum, pool) => sum + pool.idle + pool.active + pool.connecting, 0)
  }

  async untilIdle(): Promise<void> {
    await until(
      () => {
        const { clients } = this.service.snapshot()
        return clients.active + clients.waiting + clients.parked === 0
      },
      `idle, but ${JSON.stringify(this.service.snapshot())}`,
    )
  }

  stop(): Promise<void> {
    return this.service.close(0)
  }
}
