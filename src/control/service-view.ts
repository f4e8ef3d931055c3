/** One service as the admin API shows it: what it is doing now, and totals since the start. */
import type { AnyServiceConfig } from '../config/schema.ts'
import type { CommandSnapshot } from '../proxy/command-stats.ts'
import type { Service, ServiceSnapshot } from '../proxy/service.ts'
import type { Side } from '../shared/side.ts'
import type { SyncView } from '../migration/pg/sync/supervisor.ts'
import type { SideView, SideWatch } from './side-watch.ts'
import type { Operation } from './switches.ts'

export interface SideTotals {
  readonly transactions: number
  readonly queries: number
  /** Upper estimates from the histogram of how long transactions held a server. */
  readonly readP50Ms: number
  readonly readP99Ms: number
  readonly writeP50Ms: number
  readonly writeP99Ms: number
}

export interface ServiceView extends ServiceSnapshot {
  /** The cutover or rollback that is under way. */
  readonly operation: Operation | null
  /** Of a Redis service. */
  readonly commands?: CommandSnapshot
  readonly poolMode: AnyServiceConfig['pool']['mode']
  readonly sides: Readonly<Record<Side, SideView & SideTotals>>
  /** Of a service whose sides carry Pontoon's replication and that has control roles. */
  readonly sync?: SyncView
  readonly totals: {
    readonly clients: number
    readonly bytesFromClients: number
    readonly bytesToClients: number
    readonly waitP99Ms: number
    /** Errors of servers by SQLSTATE class, and Pontoon's own by code. */
    readonly serverErrors: Readonly<Record<string, number>>
    readonly ownErrors: Readonly<Record<string, number>>
  }
}

export function viewService(
  service: Service,
  watch: SideWatch,
  operation: Operation | null,
  sync: SyncView | null,
): ServiceView {
  const { stats } = service
  return {
    ...service.snapshot(),
    operation,
    poolMode: service.config.pool.mode,
    sides: {
      source: { ...watch.view(service, 'source'), ...totalsOf(service, 'source') },
      target: { ...watch.view(service, 'target'), ...totalsOf(service, 'target') },
    },
    ...(service.commands === undefined ? {} : { commands: service.commands.snapshot() }),
    ...(sync === null ? {} : { sync }),
    totals: {
      clients: stats.clientsTotal,
      bytesFromClients: stats.bytesFromClients,
      bytesToClients: stats.bytesToClients,
      waitP99Ms: milliseconds(stats.clientWait.quantileSeconds(0.99)),
      serverErrors: Object.fromEntries(stats.serverErrors),
      ownErrors: Object.fromEntries(stats.ownErrors),
    },
  }
}

/** Errors by name: a code of ours, or `SQLSTATE xx` for a class of the servers' own. */
export function errorCountsOf({ stats }: Service): Readonly<Record<string, number>> {
  const counts = Object.fromEntries(stats.ownErrors)
  for (const [name, value] of stats.serverErrors) counts[`SQLSTATE ${name}`] = value
  return counts
}

function totalsOf({ stats }: Service, side: Side): SideTotals {
  const { read, write } = stats.query[side]
  return {
    transactions: stats.transactions[side],
    queries: stats.queries[side],
    readP50Ms: milliseconds(read.quantileSeconds(0.5)),
    readP99Ms: milliseconds(read.quantileSeconds(0.99)),
    writeP50Ms: milliseconds(write.quantileSeconds(0.5)),
    writeP99Ms: milliseconds(write.quantileSeconds(0.99)),
  }
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e3
}
