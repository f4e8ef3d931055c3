/**
 * What the control plane sees of a running service, whatever its protocol. Each protocol's
 * service implements it; control never looks behind it.
 */
import type { AnyServiceConfig } from '../config/schema.ts'
import type { Gate, GateSnapshot } from '../net/gate.ts'
import type { HeldBackends, RestingBackend } from '../net/pg/held-backends.ts'
import type { Route } from '../routing/route.ts'
import type { CommandStats } from './command-stats.ts'
import { BucketHistogram } from '../shared/histogram.ts'
import type { Side } from '../shared/side.ts'
import type { SwitchHold } from './gate-use.ts'
import { ServerStats } from './server-stats.ts'

export interface Service {
  readonly name: string
  readonly protocol: 'postgres' | 'redis'
  readonly config: AnyServiceConfig
  readonly gate: Gate
  readonly stats: ServiceStats
  /** Only of protocols whose requests are single commands. */
  readonly commands?: CommandStats
  readonly route: Route
  /** Takes a newer route; the next transaction of every session follows it. */
  applyRoute(route: Route): void
  /** Takes what can change live of a reloaded configuration; returns the paths that cannot. */
  applyConfig(config: AnyServiceConfig): readonly string[]
  /** Binds the listen addresses. Throws LISTEN_IN_USE or LISTEN_FAILED. */
  listen(): Promise<void>
  /**
   * Pauses for at most `forMs` and settles when drained or when `waitMs` are over. Rejects with
   * GATE_REFUSED during a switch.
   */
  pause(forMs: number, waitMs: number, reason: string): Promise<DrainReport>
  /** Ends a pause, and a doubt about the primary side. Throws GATE_REFUSED during a switch. */
  resume(): void
  /**
   * Parks new transactions until the holder releases them, however long that takes; nothing else
   * opens the gate meanwhile, and whoever is parked meets no limit of time or number. Throws
   * GATE_REFUSED during another switch, naming it.
   */
  beginSwitch(reason: string): SwitchHold
  /** Closes idle servers now and busy ones at their next release; of one database or of all. */
  reconnect(database?: string | null): void
  /** Backends that it holds on each side; only where a server tells its process id. */
  readonly backends?: Readonly<Record<Side, HeldBackends>>
  /**
   * Sessions that hold a server and could not go on with another one, in `pinReason` why. When the
   * primary side moves, the others are moved; these get SIDE_LEFT (57P01) at their next request.
   */
  immovable?(): readonly ClientSnapshot[]
  /**
   * Ahead of a switch: opens connections to `side`, up to their login, for as many servers as
   * clients have now. Settles when they are there, at the latest after `deadlineMs`; never rejects.
   */
  prepare?(side: Side, deadlineMs: number): Promise<void>
  /**
   * During a switch: opens servers on `side` for the kinds of clients that are parked or had
   * servers when it began, within the limits of the pools, and has LISTENs in force there. Settles
   * with how many servers are ready, at the latest after `deadlineMs`; never rejects.
   */
  warm?(side: Side, deadlineMs: number): Promise<number>
  /** Servers for writes on `side` that no session has. */
  resting?(side: Side): readonly RestingBackend[]
  /** Ends sessions at once, whatever they do; returns how many. */
  endSessions(which: SessionFilter): number
  snapshot(): ServiceSnapshot
  /** Clients with what they do now, at most `limit`, those pinned to a server first. */
  clients(limit: number): readonly ClientSnapshot[]
  /** Stops listening, lets transactions end for at most `drainMs`, then closes everything. */
  close(drainMs: number): Promise<void>
}

/** Sessions of one database, or one session. */
export type SessionFilter = { readonly database: string } | { readonly id: number }

export interface DrainReport {
  readonly drained: boolean
  /** Sessions that still hold a server, longest first. */
  readonly waitingFor: readonly ClientSnapshot[]
  /** Sessions that the pause has ended because it was told to. */
  readonly ended?: number
}

export type ClientState = 'startup' | 'idle' | 'waiting' | 'active' | 'pinned' | 'parked'

export interface ClientSnapshot {
  readonly id: number
  readonly user: string
  readonly database: string
  readonly applicationName: string
  readonly address: string
  readonly state: ClientState
  /** The side of the server it holds. */
  readonly side: Side | null
  /** Backend process id of that server. */
  readonly serverPid: number | null
  /** Why the session cannot give its server back, empty when it can. */
  readonly pinReason: string
  /** Milliseconds in the present state; of an active one, since its transaction began. */
  readonly stateAgeMs: number
  /**
   * What keeps its server at work: query, idle in transaction, open batch, copy, replication; of
   * Redis the command that is not answered, open transaction, large command.
   */
  readonly work: string
  /** Milliseconds that it has done this; of a query, how long it has run. */
  readonly workAgeMs: number
}

export interface PoolSnapshot {
  readonly side: Side
  readonly user: string
  readonly database: string
  /** Read: servers that refuse to write, on the side that is not primary. */
  readonly access: 'write' | 'read'
  readonly idle: number
  readonly active: number
  /** Idle ones that are asked for a sign of life at this moment. */
  readonly probing: number
  readonly connecting: number
  readonly waiting: number
  /** How long the first who waits has waited; milliseconds. */
  readonly oldestWaitMs: number
  readonly size: number
  readonly minSize: number
  /** Code of the error that the last attempt to open a server met, empty when it went well. */
  readonly failure: string
}

/** TLS files of one leg. */
export interface CertificateSnapshot {
  readonly leg: 'client' | Side
  /** When the certificate that is shown there ends (wall clock milliseconds); null without one. */
  readonly expiresMs: number | null
  /** Why what lies in the files is not in use; null when it is. */
  readonly problem: string | null
}

export interface ServiceSnapshot {
  readonly name: string
  readonly protocol: 'postgres' | 'redis'
  readonly route: Route
  readonly gate: GateSnapshot
  readonly clients: Readonly<Record<ClientState, number>>
  readonly pools: readonly PoolSnapshot[]
  /** Sessions that hold their server beyond a transaction, by reason. */
  readonly pinned: Readonly<Record<string, number>>
  /** Addresses really bound, e.g. `127.0.0.1:6432`. */
  readonly listening: readonly string[]
  /** Absent where no leg has TLS files. */
  readonly certificates?: readonly CertificateSnapshot[]
}

/** Counters that only rise; written by the data plane, read at scrape time. */
export class ServiceStats {
  transactions: Record<Side, number> = { source: 0, target: 0 }
  queries: Record<Side, number> = { source: 0, target: 0 }
  /** Bytes by direction as the client sees it. */
  bytesFromClients = 0
  bytesToClients = 0
  bytesFromServers = 0
  bytesToServers = 0
  /** ErrorResponses of servers by SQLSTATE class (first two characters). */
  readonly serverErrors = new Map<string, number>()
  /** Errors that Pontoon itself gave to clients, by code. */
  readonly ownErrors = new Map<string, number>()
  /** How long transactions waited for a server. */
  readonly clientWait = new BucketHistogram()
  /** From link to release, per side; kind `read` is what the classifier recognised. */
  readonly query: Record<Side, Record<'read' | 'write', BucketHistogram>> = {
    source: { read: new BucketHistogram(), write: new BucketHistogram() },
    target: { read: new BucketHistogram(), write: new BucketHistogram() },
  }
  readonly pause = new BucketHistogram()
  /** Queries cancelled because they ran longer than limits.queryTimeoutMs. */
  queriesCancelled = 0
  preparedStatements = 0
  /** Cutovers and rollbacks by kind and how they ended. */
  readonly switches = new Map<string, number>()
  clientsTotal = 0
  readonly servers: Readonly<Record<Side, ServerStats>> = {
    source: new ServerStats(),
    target: new ServerStats(),
  }
  /** Totals by the database that clients asked for. */
  readonly databases = new Map<string, DatabaseTotals>()

  get serversOpenedTotal(): number {
    return this.servers.source.opened + this.servers.target.opened
  }

  countSwitch(kind: string, outcome: string): void {
    countIn(this.switches, `${kind} ${outcome}`)
  }

  /** The totals of a database, made when its first session is. */
  database(name: string): DatabaseTotals {
    let totals = this.databases.get(name)
    if (totals === undefined) {
      totals = new DatabaseTotals()
      this.databases.set(name, totals)
    }
    return totals
  }
}

/** What the sessions of one database have done; each session holds it to count in it. */
export class DatabaseTotals {
  transactions = 0
  queries = 0
  bytesFromClients = 0
  bytesToClients = 0
  /** How often a server was linked to a client. */
  serverLinks = 0
  /** Milliseconds that servers worked for clients, and that clients waited for servers. */
  linkedMs = 0
  waitedMs = 0
  clientParses = 0
  serverParses = 0
  binds = 0
}

/** Adds one to a labelled counter. */
export function countIn<Label extends string>(counters: Map<Label, number>, label: Label): void {
  counters.set(label, (counters.get(label) ?? 0) + 1)
}
