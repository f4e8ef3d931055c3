/**
 * Prometheus metrics; the only file that knows prom-client. Nothing is recorded here per query:
 * the data plane keeps plain counters (proxy/service.ts) and each scrape copies them. The table
 * in docs/metrics.md is generated from `metricFamilies`; a test holds the two together.
 */
import { Registry, collectDefaultMetrics } from 'prom-client'
import type { Metric } from 'prom-client'
import type { SyncHealth } from '../migration/pg/sync/health.ts'
import type { SyncView } from '../migration/pg/sync/supervisor.ts'
import { limitHits } from '../proxy/limit-hits.ts'
import type { Service, ServiceSnapshot, ServiceStats } from '../proxy/service.ts'
import type { BucketHistogram } from '../shared/histogram.ts'
import { sides } from '../shared/side.ts'
import type { Side } from '../shared/side.ts'

export type MetricType = 'counter' | 'gauge' | 'histogram'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number | BucketHistogram]

/** One metric of every service: what it is called and how a scrape reads it. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  /** Label names beside `service`. */
  readonly labels: readonly string[]
  readonly read: (
    snapshot: ServiceSnapshot,
    service: Service,
    sync: SyncView | null,
  ) => readonly Sample[]
}

export const metricFamilies: readonly MetricFamily[] = [
  {
    name: 'pontoon_clients',
    help: 'Clients by what they do now.',
    type: 'gauge',
    labels: ['state'],
    read: ({ clients }) => byLabel('state', Object.entries(clients)),
  },
  {
    name: 'pontoon_clients_total',
    help: 'Clients accepted since the start.',
    type: 'counter',
    labels: [],
    read: (_, { stats }) => [[{}, stats.clientsTotal]],
  },
  {
    name: 'pontoon_servers',
    help: 'Servers by side and by what they do now.',
    type: 'gauge',
    labels: ['side', 'state'],
    read: readServers,
  },
  {
    name: 'pontoon_servers_opened_total',
    help: 'Servers opened since the start.',
    type: 'counter',
    labels: ['side'],
    read: (_, { stats }) => sides.map((side): Sample => [{ side }, stats.servers[side].opened]),
  },
  {
    name: 'pontoon_server_open_seconds',
    help: 'How long it took to open a server, login included.',
    type: 'histogram',
    labels: ['side'],
    read: (_, { stats }) =>
      sides.map((side): Sample => [{ side }, stats.servers[side].openSeconds]),
  },
  {
    name: 'pontoon_server_open_errors_total',
    help: 'Attempts to open a server that failed, by error code (docs/errors.md).',
    type: 'counter',
    labels: ['side', 'code'],
    read: (_, { stats }) => bySide((side) => byLabel('code', stats.servers[side].openErrors)),
  },
  {
    name: 'pontoon_servers_closed_total',
    help: 'Servers closed: idle, lifetime, lost, probe (no sign of life), reconnect (asked for, or the name leads elsewhere), shutdown, surplus, unusable, yielded (to another pool).',
    type: 'counter',
    labels: ['side', 'reason'],
    read: (_, { stats }) => bySide((side) => byLabel('reason', stats.servers[side].closed)),
  },
  {
    name: 'pontoon_server_probes_total',
    help: 'Idle servers that were asked for a sign of life, by result.',
    type: 'counter',
    labels: ['side', 'result'],
    read: (_, { stats }) =>
      bySide((side) => byLabel('result', Object.entries(stats.servers[side].probes))),
  },
  {
    name: 'pontoon_pool_waiting',
    help: 'Clients that wait for a server now.',
    type: 'gauge',
    labels: ['side'],
    read: ({ pools }) =>
      sides.map((side): Sample => [
        { side },
        pools.reduce((sum, pool) => sum + (pool.side === side ? pool.waiting : 0), 0),
      ]),
  },
  {
    name: 'pontoon_pool_wait_oldest_seconds',
    help: 'How long the client that has waited longest for a server has waited.',
    type: 'gauge',
    labels: ['side'],
    read: ({ pools }) =>
      sides.map((side): Sample => [
        { side },
        Math.max(0, ...pools.map((pool) => (pool.side === side ? pool.oldestWaitMs : 0))) / 1_000,
      ]),
  },
  {
    name: 'pontoon_client_wait_seconds',
    help: 'How long transactions waited for a server.',
    type: 'histogram',
    labels: [],
    read: (_, { stats }) => [[{}, stats.clientWait]],
  },
  {
    name: 'pontoon_query_seconds',
    help: 'How long transactions held a server; kind read is what the classifier recognised.',
    type: 'histogram',
    labels: ['side', 'kind'],
    read: (_, { stats }) =>
      sides.flatMap((side): Sample[] => [
        [{ side, kind: 'read' }, stats.query[side].read],
        [{ side, kind: 'write' }, stats.query[side].write],
      ]),
  },
  {
    name: 'pontoon_transactions_total',
    help: 'Transactions ended, by side.',
    type: 'counter',
    labels: ['side'],
    read: (_, { stats }) => byLabel('side', Object.entries(stats.transactions)),
  },
  {
    name: 'pontoon_queries_total',
    help: 'Queries answered, by side.',
    type: 'counter',
    labels: ['side'],
    read: (_, { stats }) => byLabel('side', Object.entries(stats.queries)),
  },
  {
    name: 'pontoon_commands_total',
    help: 'Redis commands sent, by name.',
    type: 'counter',
    labels: ['command'],
    read: (_, service) => readCommands(service, 'calls'),
  },
  {
    name: 'pontoon_command_errors_total',
    help: 'Redis commands whose reply was an error, by name.',
    type: 'counter',
    labels: ['command'],
    read: (_, service) => readCommands(service, 'errors'),
  },
  {
    name: 'pontoon_command_seconds',
    help: 'How long Redis commands took, by family of commands.',
    type: 'histogram',
    labels: ['family'],
    read: (_, { commands }) =>
      [...(commands?.families() ?? [])].flatMap(([family, histogram]): Sample[] =>
        histogram.count === 0 ? [] : [[{ family }, histogram]],
      ),
  },
  {
    name: 'pontoon_bytes_total',
    help: 'Bytes by direction, on the client leg and on the server leg.',
    type: 'counter',
    labels: ['direction'],
    read: (_, { stats }) =>
      byLabel('direction', [
        ['from_clients', stats.bytesFromClients],
        ['to_clients', stats.bytesToClients],
        ['from_servers', stats.bytesFromServers],
        ['to_servers', stats.bytesToServers],
      ]),
  },
  {
    name: 'pontoon_server_errors_total',
    help: 'Errors that servers gave, by SQLSTATE class.',
    type: 'counter',
    labels: ['sqlstate_class'],
    read: (_, { stats }) => byLabel('sqlstate_class', stats.serverErrors),
  },
  {
    name: 'pontoon_errors_total',
    help: 'Errors that Pontoon itself gave to clients, by code (docs/errors.md).',
    type: 'counter',
    labels: ['code'],
    read: (_, { stats }) => byLabel('code', stats.ownErrors),
  },
  {
    name: 'pontoon_limit_hits_total',
    help: 'How often a limit of the configuration was reached, by the key that sets it.',
    type: 'counter',
    labels: ['limit'],
    read: (_, { stats }) => byLabel('limit', limitHits(stats)),
  },
  {
    name: 'pontoon_route_epoch',
    help: 'Epoch of the route in force.',
    type: 'gauge',
    labels: [],
    read: ({ route }) => [[{}, route.epoch]],
  },
  {
    name: 'pontoon_route_reads_percent',
    help: 'Percent of sessions whose eligible reads go to the target.',
    type: 'gauge',
    labels: [],
    read: ({ route }) => [[{}, route.reads]],
  },
  {
    name: 'pontoon_gate_paused',
    help: '1 while the gate is paused.',
    type: 'gauge',
    labels: [],
    read: ({ gate }) => [[{}, gate.state === 'paused' ? 1 : 0]],
  },
  {
    name: 'pontoon_cutovers_total',
    help: 'Cutovers by result: done, forced, aborted, refused, failed. Dry runs count too.',
    type: 'counter',
    labels: ['result'],
    read: (_, { stats }) => switchesOf('cutover', stats),
  },
  {
    name: 'pontoon_rollbacks_total',
    help: 'Rollbacks by result, as cutovers.',
    type: 'counter',
    labels: ['result'],
    read: (_, { stats }) => switchesOf('rollback', stats),
  },
  {
    name: 'pontoon_pause_seconds',
    help: 'How long pauses of the gate lasted.',
    type: 'histogram',
    labels: [],
    read: (_, { stats }) => [[{}, stats.pause]],
  },
  {
    name: 'pontoon_pinned_clients',
    help: 'Sessions that hold their server beyond a transaction, by reason.',
    type: 'gauge',
    labels: ['reason'],
    read: ({ pinned }) => byLabel('reason', Object.entries(pinned)),
  },
  {
    name: 'pontoon_prepared_statements',
    help: 'Named prepared statements that clients hold.',
    type: 'gauge',
    labels: [],
    read: (_, { stats }) => [[{}, stats.preparedStatements]],
  },
  {
    name: 'pontoon_sync_up',
    help: '1 while replication in that direction runs.',
    type: 'gauge',
    labels: ['direction'],
    read: (_, __, sync) =>
      byDirection(sync, ({ state }) => (state === 'streaming' || state === 'copying' ? 1 : 0)),
  },
  {
    name: 'pontoon_sync_lag_bytes',
    help: 'WAL of the sending side that is not applied on the other side yet.',
    type: 'gauge',
    labels: ['direction'],
    read: (_, __, sync) => byDirection(sync, ({ lagBytes }) => lagBytes),
  },
  {
    name: 'pontoon_sync_lag_seconds',
    help: 'How far the other side is behind, by a beat that is written every second.',
    type: 'gauge',
    labels: ['direction'],
    read: (_, __, sync) =>
      byDirection(sync, ({ lagMs }) => (lagMs === null ? null : lagMs / 1_000)),
  },
  {
    name: 'pontoon_sync_errors_total',
    help: 'Errors of the subscription that its server has counted (from 15 on), by what it did.',
    type: 'counter',
    labels: ['direction', 'kind'],
    read: (_, __, sync) =>
      (sync?.health ?? []).flatMap(({ direction, errors }): Sample[] =>
        errors === null
          ? []
          : [
              [{ direction, kind: 'apply' }, errors.apply],
              [{ direction, kind: 'copy' }, errors.sync],
            ],
      ),
  },
  {
    name: 'pontoon_slot_retained_bytes',
    help: 'WAL that a side keeps for a logical slot, of Pontoon or of others.',
    type: 'gauge',
    labels: ['side', 'slot'],
    read: (_, __, sync) =>
      (sync?.slots ?? []).map(({ side, name, retainedBytes }) => [
        { side, slot: name },
        retainedBytes,
      ]),
  },
  {
    name: 'pontoon_rollback_ready',
    help: '1 after a cutover while a rollback would lose nothing; `pontoon status` has the conditions. Absent once the way back is given up.',
    type: 'gauge',
    labels: [],
    read: (_, __, sync) =>
      sync === null || sync.givenUpSince !== null ? [] : [[{}, sync.rollbackReady ? 1 : 0]],
  },
  {
    name: 'pontoon_fence_active',
    help: '1 while the fence of a side keeps application writers out, as it was seen last.',
    type: 'gauge',
    labels: ['side'],
    read: (_, __, sync) =>
      sides.flatMap((side): Sample[] => {
        const stands = sync?.fences[side] ?? null
        return stands === null ? [] : [[{ side }, stands ? 1 : 0]]
      }),
  },
  {
    name: 'pontoon_certificate_expires_at',
    help: 'When the certificate that is shown on a leg ends (Unix time); leg is client, source or target.',
    type: 'gauge',
    labels: ['leg'],
    read: ({ certificates = [] }) =>
      certificates.flatMap(({ leg, expiresMs }): Sample[] =>
        expiresMs === null ? [] : [[{ leg }, expiresMs / 1_000]],
      ),
  },
  {
    name: 'pontoon_certificate_unusable',
    help: '1 while the TLS files of a leg have changed but cannot be used.',
    type: 'gauge',
    labels: ['leg'],
    read: ({ certificates = [] }) =>
      certificates.map(({ leg, problem }) => [{ leg }, problem === null ? 0 : 1]),
  },
]

/** Those never called are left out: a server knows hundreds. */
function readCommands({ commands }: Service, what: 'calls' | 'errors'): readonly Sample[] {
  return (commands?.snapshot().commands ?? []).map((one) => [{ command: one.command }, one[what]])
}

/** Who knows the sync of a service: sync-watch.ts. */
interface SyncViews {
  view(service: string): SyncView | null
}

/** Copies of one scrape: each service is looked at once, not once per family. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #services: () => Iterable<Service>
  readonly #sync: SyncViews | null
  #scrape: readonly (readonly [Service, ServiceSnapshot])[] = []

  constructor(services: () => Iterable<Service>, version: string, sync: SyncViews | null = null) {
    this.#services = services
    this.#sync = sync
    collectDefaultMetrics({ register: this.#registry, prefix: 'pontoon_' })
    this.#register('pontoon_build_info', 'Always 1; the labels say what runs.', 'gauge', () => [
      { labels: { version, node: process.version }, value: 1 },
    ])
    for (const family of metricFamilies) {
      this.#register(family.name, family.help, family.type, () => this.#values(family))
    }
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Names of every metric of the registry, the process metrics included. */
  names(): readonly string[] {
    return this.#registry.getMetricsAsArray().map((metric) => metric.name)
  }

  async expose(): Promise<string> {
    this.#scrape = [...this.#services()].map((service) => [service, service.snapshot()] as const)
    return await this.#registry.metrics()
  }

  #values(family: MetricFamily): readonly MetricLine[] {
    const lines: MetricLine[] = []
    for (const [service, snapshot] of this.#scrape) {
      const sync = this.#sync?.view(service.name) ?? null
      for (const [labels, value] of family.read(snapshot, service, sync)) {
        const all = { service: service.name, ...labels }
        if (typeof value === 'number') lines.push({ labels: all, value })
        else lines.push(...histogramLines(family.name, all, value))
      }
    }
    return lines
  }

  /** prom-client only asks of a metric that `get` answers its values; its own classes count. */
  #register(
    name: string,
    help: string,
    type: MetricType,
    values: () => readonly MetricLine[],
  ): void {
    const metric = {
      name,
      help,
      type,
      aggregator: 'sum',
      get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
      reset: () => undefined,
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
    this.#registry.registerMetric(metric as unknown as Metric)
  }
}

interface MetricLine {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Prometheus' buckets are cumulative: each counts everything up to its bound. */
function histogramLines(
  name: string,
  labels: Labels,
  histogram: BucketHistogram,
): readonly MetricLine[] {
  let cumulative = 0
  const lines: MetricLine[] = histogram.boundsSeconds.map((bound, index) => {
    cumulative += histogram.counts[index] ?? 0
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: `${bound}` },
      value: cumulative,
    }
  })
  return [
    ...lines,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: histogram.count },
    { metricName: `${name}_sum`, labels, value: histogram.sumSeconds },
    { metricName: `${name}_count`, labels, value: histogram.count },
  ]
}

function byLabel(label: string, entries: Iterable<readonly [string, number]>): readonly Sample[] {
  return [...entries].map(([name, value]) => [{ [label]: name }, value])
}

function switchesOf(kind: string, { switches }: ServiceStats): readonly Sample[] {
  return ['done', 'forced', 'aborted', 'refused', 'failed'].map((result) => [
    { result },
    switches.get(`${kind} ${result}`) ?? 0,
  ])
}

function byDirection(
  sync: SyncView | null,
  read: (health: SyncHealth) => number | null,
): readonly Sample[] {
  return (sync?.health ?? []).flatMap((health): Sample[] => {
    const value = read(health)
    return value === null ? [] : [[{ direction: health.direction }, value]]
  })
}

function bySide(read: (side: Side) => readonly Sample[]): readonly Sample[] {
  return sides.flatMap((side) =>
    read(side).map(([labels, value]): Sample => [{ side, ...labels }, value]),
  )
}

/** Pools are per user and database; the metric sums them, so that its label set stays small. */
function readServers({ pools }: ServiceSnapshot): readonly Sample[] {
  return sides.flatMap((side) =>
    (['idle', 'active', 'probing', 'connecting'] as const).map((state): Sample => {
      const ofSide = pools.filter((pool) => pool.side === side)
      return [{ side, state }, ofSide.reduce((sum, pool) => sum + pool[state], 0)]
    }),
  )
}
