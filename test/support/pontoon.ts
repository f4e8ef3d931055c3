/**
 * A PostgreSQL service of ours in the test's own process: its configuration goes through the real
 * schema, it listens on a free port of 127.0.0.1, and the test may look at its inside. Neighbours:
 * postgres.ts (what stands behind it), pg-wire.ts and pg-login.ts (raw clients of it).
 */
import type { LookupFunction } from 'node:net'
import { configSchema } from '../../src/config/schema.ts'
import type { ServiceConfig } from '../../src/config/schema.ts'
import { createPostgresService } from '../../src/proxy/pg/service.ts'
import type { PoolSnapshot, Service } from '../../src/proxy/service.ts'
import type { Route } from '../../src/routing/route.ts'
import { systemClock } from '../../src/shared/clock.ts'
import type { Clock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'
import type { Log } from '../../src/shared/log.ts'
import { login } from './pg-login.ts'
import type { LoggedIn, Login } from './pg-login.ts'
import { query } from './pg-frontend.ts'
import { connect, errorFields, rowValues } from './pg-wire.ts'
import type { BackendMessage, PgWire } from './pg-wire.ts'
import { until, untilMs } from './until.ts'

export { until }

export interface Upstream {
  readonly host: string
  readonly port: number
  readonly password?: string
}

export interface PontoonOptions {
  readonly source: Upstream
  /** Default: the source again. */
  readonly target?: Upstream
  readonly mode?: 'session' | 'transaction'
  /** Over the defaults: trust, and the source's superuser password for everyone. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly pool?: Readonly<Record<string, unknown>>
  readonly route?: Partial<Route>
  readonly log?: Log
  readonly clock?: Clock
  /** Finds the addresses of the sides. */
  readonly lookup?: LookupFunction
}

const firstRoute: Route = {
  epoch: 1,
  phase: 'self-hosted',
  primary: 'source',
  reads: 0,
  mirror: 0,
  dualWrite: 0,
}

export async function startPontoon(options: PontoonOptions): Promise<Pontoon> {
  const config = serviceConfig(options)
  const service = createPostgresService({
    name: 'orders',
    config,
    route: { ...firstRoute, ...options.route },
    clock: options.clock ?? systemClock,
    log: options.log ?? silentLog,
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  })
  await service.listen()
  return new Pontoon(service)
}

/** Tests that are about a limit set it; those that are not have time, on a slow machine too. */
const patience = {
  pool: { queueTimeoutMs: 30_000 },
  limits: { loginTimeoutMs: 60_000 },
  side: { connectTimeoutMs: 30_000 },
}

/** The configuration as the file would give it, with every default but those of patience. */
export function serviceConfig(options: PontoonOptions): ServiceConfig {
  const orders = {
    protocol: 'postgres',
    listen: '127.0.0.1:0',
    clientAuth: { mode: 'trust' },
    source: side(options.source),
    target: side(options.target ?? options.source),
    ...options.config,
    limits: { ...patience.limits, ...Object(options.config?.['limits']) },
    pool: { mode: options.mode ?? 'transaction', size: 5, ...patience.pool, ...options.pool },
  }
  const parsed = configSchema.parse({ services: { orders } }).services['orders']
  if (parsed?.protocol !== 'postgres') throw new Error('the schema lost the service')
  return parsed
}

function side({ host, port, password }: Upstream): object {
  const credentials = password === undefined ? {} : { password }
  return { host, port, ...credentials, tls: { mode: 'disable' }, ...patience.side }
}

/** A raw client that is logged in. */
export interface RawClient extends LoggedIn {
  readonly wire: PgWire
}

export interface Tight {
  readonly pool?: Partial<ServiceConfig['pool']>
  readonly limits?: Partial<ServiceConfig['limits']>
  readonly route?: Partial<ServiceConfig['route']>
}

export class Pontoon {
  readonly host = '127.0.0.1'
  readonly service: Service

  /** Made by startPontoon only. */
  constructor(service: Service) {
    this.service = service
  }

  /** Of the first TCP address it is bound to. */
  get port(): number {
    const address = this.service.snapshot().listening.find((one) => /:\d+$/.test(one))
    return Number(address?.split(':').at(-1))
  }

  url(database = 'postgres', user = 'postgres', password = ''): string {
    const who = password === '' ? user : `${user}:${encodeURIComponent(password)}`
    return `postgres://${who}@${this.host}:${this.port}/${database}`
  }

  /** Logs a raw client in, as the superuser unless told otherwise. */
  client(options: Partial<Login> = {}): Promise<RawClient> {
    return rawClient(this.port, options)
  }

  /** From now on this counts: what came before had the time that it needs. */
  tighten({ pool, limits, route }: Tight): void {
    const { config } = this.service
    if (config.protocol !== 'postgres') throw new Error('another service')
    this.service.applyConfig({
      ...config,
      pool: { ...config.pool, ...pool },
      limits: { ...config.limits, ...limits },
      route: { ...config.route, ...route },
    })
  }

  pools(): readonly PoolSnapshot[] {
    return this.service.snapshot().pools
  }

  /** All its servers, whatever they do. */
  servers(): number {
    return this.pools().reduce((sum, pool) => sum + pool.idle + pool.active + pool.connecting, 0)
  }

  busyServers(): number {
    return this.pools().reduce((sum, pool) => sum + pool.active + pool.connecting, 0)
  }

  /** No client holds or awaits a server: what a test that leaks nothing ends with. */
  async untilIdle(deadlineMs = untilMs): Promise<void> {
    await until(
      () => {
        const { clients, pools } = this.service.snapshot()
        return (
          clients.active + clients.waiting + clients.parked + clients.startup === 0 &&
          pools.every((pool) => pool.active + pool.connecting + pool.waiting === 0)
        )
      },
      `idle, but ${JSON.stringify(this.service.snapshot())}`,
      deadlineMs,
    )
  }

  stop(): Promise<void> {
    return this.service.close(0)
  }
}

export async function rawClient(port: number, options: Partial<Login> = {}): Promise<RawClient> {
  const wire = await connect('127.0.0.1', port)
  try {
    const loggedIn = await login(wire, { user: 'postgres', database: 'postgres', ...options })
    return { ...loggedIn, wire }
  } catch (error) {
    wire.destroy()
    throw error
  }
}

/** Runs a simple Query and gives everything up to ReadyForQuery. */
export async function ask({ wire }: { wire: PgWire }, sql: string): Promise<BackendMessage[]> {
  await wire.send(query(sql))
  return wire.until('Z')
}

/** The rows of a simple Query as text; throws its error as `SQLSTATE: words`. */
export async function rows(client: { wire: PgWire }, sql: string): Promise<(string | null)[][]> {
  const messages = await ask(client, sql)
  const error = messages.find((message) => message.type === 'E')
  if (error !== undefined) {
    const { C: code, M: words } = errorFields(error)
    throw new Error(`${code}: ${words}`)
  }
  return messages.filter((message) => message.type === 'D').map(rowValues)
}

/** The first value of the first row. */
export async function value(client: { wire: PgWire }, sql: string): Promise<string | null> {
  const [row] = await rows(client, sql)
  return row?.[0] ?? null
}

/** The SQLSTATE of the first error among these messages, '' when there is none. */
export function sqlstate(messages: readonly BackendMessage[]): string {
  const error = messages.find((message) => message.type === 'E')
  return error === undefined ? '' : (errorFields(error)['C'] ?? '')
}

/** For what must be there: narrows the type, or says what is missing. */
export function present<T>(found: T | null | undefined, what = 'a value'): T {
  if (found === null || found === undefined) throw new Error(`${what} is missing`)
  return found
}
