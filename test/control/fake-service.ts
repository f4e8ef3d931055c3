/** A service without sockets, for tests of the control plane: it does what it is told at once. */
import type { ServiceConfig } from '../../src/config/schema.ts'
import { Gate } from '../../src/net/gate.ts'
import type { CommandStats } from '../../src/proxy/command-stats.ts'
import type { SwitchHold } from '../../src/proxy/gate-use.ts'
import { ServiceStats } from '../../src/proxy/service.ts'
import type {
  ClientSnapshot,
  DrainReport,
  Service,
  ServiceSnapshot,
  SessionFilter,
} from '../../src/proxy/service.ts'
import type { Route } from '../../src/routing/route.ts'
import type { Clock } from '../../src/shared/clock.ts'

export interface FakeServiceOptions {
  readonly name: string
  readonly config: ServiceConfig
  readonly route: Route
  readonly clock: Clock
}

export class FakeService implements Service {
  readonly protocol = 'postgres'
  readonly name: string
  readonly stats = new ServiceStats()
  readonly gate: Gate
  /** What was called, in order. */
  readonly calls: string[] = []
  config: ServiceConfig
  route: Route
  /** Clients that hold a server, so that a pause does not drain. */
  busy: ClientSnapshot[] = []
  snapshotExtra: Partial<ServiceSnapshot> = {}
  /** As a Redis service has them. */
  commands?: CommandStats

  constructor({ name, config, route, clock }: FakeServiceOptions) {
    this.name = name
    this.config = config
    this.route = route
    this.gate = new Gate(clock)
  }

  applyRoute(route: Route): void {
    this.calls.push(`route ${route.epoch}`)
    this.route = route
  }

  applyConfig(config: ServiceConfig): readonly string[] {
    this.calls.push('config')
    this.config = config
    return []
  }

  async listen(): Promise<void> {
    this.calls.push('listen')
  }

  async pause(forMs: number, waitMs: number, reason: string): Promise<DrainReport> {
    this.calls.push(`pause ${forMs} ${waitMs}`)
    this.gate.pause(forMs, reason)
    return { drained: this.busy.length === 0, waitingFor: this.busy }
  }

  resume(): void {
    this.calls.push('resume')
    this.gate.open()
  }

  beginSwitch(reason: string): SwitchHold {
    this.calls.push('switch')
    const hold = this.gate.hold(reason)
    return {
      reason,
      get isInForce() {
        return hold.isInForce
      },
      drained: async () => ({ drained: this.busy.length === 0, waitingFor: this.busy }),
      release: (release) => hold.release(release),
    }
  }

  reconnect(database: string | null = null): void {
    this.calls.push(database === null ? 'reconnect' : `reconnect ${database}`)
  }

  endSessions(which: SessionFilter): number {
    this.calls.push(`end ${JSON.stringify(which)}`)
    const before = this.busy.length
    this.busy = this.busy.filter(({ id, database }) =>
      'id' in which ? id !== which.id : database !== which.database,
    )
    return before - this.busy.length
  }

  snapshot(): ServiceSnapshot {
    return {
      name: this.name,
      protocol: this.protocol,
      route: this.route,
      gate: this.gate.snapshot(),
      clients: { startup: 0, idle: 2, waiting: 0, active: 1, pinned: 0, parked: 0 },
      pools: [],
      pinned: {},
      listening: ['127.0.0.1:6432'],
      ...this.snapshotExtra,
    }
  }

  clients(limit: number): readonly ClientSnapshot[] {
    return this.busy.slice(0, limit)
  }

  async close(drainMs: number): Promise<void> {
    this.calls.push(`close ${drainMs}`)
    this.gate.openForGood()
  }
}

export function fakeClient(id: number): ClientSnapshot {
  return {
    id,
    user: 'app',
    database: 'orders',
    applicationName: 'shop',
    address: '127.0.0.1:50000',
    state: 'active',
    side: 'source',
    serverPid: 4_242,
    pinReason: '',
    stateAgeMs: 12,
    work: 'query',
    workAgeMs: 7,
  }
}
