/**
 * A PostgreSQL service: its listeners, sessions, pools, gate and route. It makes the parts and
 * answers the control plane (proxy/service.ts); what happens to bytes is in session.ts and the
 * relays.
 */
import type { LookupFunction } from 'node:net'
import { parseListen } from '../../config/listen-address.ts'
import type { ServiceConfig } from '../../config/schema.ts'
import type { Carrier } from '../../net/carrier.ts'
import { FlushQueue } from '../../net/flush-queue.ts'
import { Gate } from '../../net/gate.ts'
import { Listener } from '../../net/listener.ts'
import type { HeldBackends, RestingBackend } from '../../net/pg/held-backends.ts'
import { openQueryConnection, type Rows } from '../../net/pg/query.ts'
import { Secrets } from '../../net/secrets/secrets.ts'
import type { ClientTls } from '../../net/tls.ts'
import { SessionDealer } from '../../routing/balance.ts'
import type { Route } from '../../routing/route.ts'
import { EventClock, type Clock } from '../../shared/clock.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { otherSide, type Side } from '../../shared/side.ts'
import {
  countIn,
  ServiceStats,
  type ClientSnapshot,
  type DrainReport,
  type Service,
  type ServiceSnapshot,
  type SessionFilter,
} from '../service.ts'
import type { ConsoleActions } from '../console-actions.ts'
import { Drains } from '../drains.ts'
import { GateUse, type SwitchHold } from '../gate-use.ts'
import { AuthQuery } from './auth-query.ts'
import { CancelRegistry } from './cancel.ts'
import { ClassifierSet } from './classifiers.ts'
import { ClientLogin, type LoginHost, type StartupIdentity } from './client-login.ts'
import { VerifierCache } from './client-scram.ts'
import { isConsoleDatabase, provingDatabase } from './console/access.ts'
import { AdminConsole } from './console/console.ts'
import type { ServiceContext } from './context.ts'
import { holdBuffersTo } from './buffer-limit.ts'
import { ClientCounts } from './client-counts.ts'
import { LegTls } from '../leg-tls.ts'
import { MarkWatch } from './marks.ts'
import { PoolMaker } from './pool-maker.ts'
import { PoolSet, type ServerKind } from './pool-set.ts'
import { ProvenSecrets } from '../proven-secrets.ts'
import type { ProvenSecret } from './credentials.ts'
import { immovable, leaveSide, recallWaiting } from './session-move.ts'
import { countSessions, listSessions } from './session-view.ts'
import type { Session } from './session.ts'
import { SharedListeners } from './shared-listener.ts'
import { Refusals } from './refusals.ts'
import { SessionLimits } from './session-limits.ts'
import { Sides } from './sides.ts'
import { StatementCatalogue } from './statements.ts'
import { Upkeep } from './upkeep.ts'
import { Warming } from './warming.ts'
import { Welcomer } from './welcome.ts'

export interface PostgresServiceOptions {
  readonly name: string
  readonly config: ServiceConfig
  readonly route: Route
  readonly clock: Clock
  readonly log: Log
  /** Shared by the services of a process; by default of its own. */
  readonly secrets?: Secrets
  /** Who carries out what the console asks for; without it the console only shows. */
  readonly consoleActions?: ConsoleActions
  /** Finds the addresses of the sides; default: that of the system. */
  readonly lookup?: LookupFunction
}

const catalogTimeoutMs = 10_000

/** Throws CONFIG_INVALID when a certificate cannot be used. */
export function createPostgresService(options: PostgresServiceOptions): Service {
  return new PostgresService(options)
}

class PostgresService implements Service, ServiceContext, LoginHost {
  readonly name: string
  readonly protocol = 'postgres'
  readonly clock: Clock
  readonly log: Log
  readonly stats = new ServiceStats()
  readonly flushes: FlushQueue
  readonly statements = new StatementCatalogue()
  readonly listeners: SharedListeners
  readonly verifiers = new VerifierCache()
  readonly proven: ProvenSecrets<ProvenSecret>
  readonly gate: Gate
  readonly context: ServiceContext = this
  config: ServiceConfig
  route: Route
  activeCount = 0
  readonly #tls: LegTls
  readonly #sides: Sides
  readonly #authQuery: AuthQuery
  readonly #pools: PoolSet
  readonly #cancels = new CancelRegistry()
  readonly #classifiers: ClassifierSet
  readonly #welcomer: Welcomer
  readonly #adminConsole: AdminConsole
  readonly #dealer = new SessionDealer()
  readonly #listener = new Listener((socket) => this.#accept(socket))
  readonly #logins = new Set<ClientLogin>()
  readonly #sessions = new Set<Session>()
  readonly #drains = new Drains({ isDrained: () => this.activeCount === 0 })
  readonly #gateUse: GateUse
  readonly #marks: MarkWatch
  readonly #warming: Warming
  #nextId = 1
  readonly #clientCounts = new ClientCounts()
  readonly #refusals = new Refusals()
  readonly #sessionLimits = new SessionLimits(this)
  readonly #upkeep: Upkeep
  #isClosing = false

  constructor({
    name,
    config,
    route,
    clock,
    log,
    secrets,
    consoleActions,
    lookup,
  }: PostgresServiceOptions) {
    this.name = name
    this.config = config
    this.route = route
    const eventClock = new EventClock(clock)
    this.clock = eventClock
    this.flushes = new FlushQueue(eventClock)
    this.proven = new ProvenSecrets(clock)
    this.log = log
    this.gate = new Gate(eventClock, (pausedMs) => {
      this.stats.pause.observe(pausedMs / 1_000)
      this.#drains.look()
    })
    this.#gateUse = this.#makeGateUse()
    this.#marks = new MarkWatch(this, (reason) => this.#gateUse.doubt(reason))
    this.#tls = new LegTls(name, config, clock, log)
    const primary = (): Side => this.route.primary
    this.#sides = new Sides({
      config: () => this.config,
      primary,
      tls: (side) => this.#tls.side(side),
      clock: eventClock,
      flushes: this.flushes,
      proven: this.proven,
      secrets: secrets ?? new Secrets({ clock, log }),
      lookup,
    })
    this.listeners = new SharedListeners({
      open: (kind, handler) => this.#sides.open(kind, handler),
      primary,
      clock,
      log,
    })
    this.#authQuery = new AuthQuery({
      config: () => this.config.clientAuth.query,
      primary,
      connect: (side, query) => openQueryConnection(this.#sides.lookUpOptions(side, query)),
      clock,
    })
    const maker = this.#poolMaker()
    this.#pools = new PoolSet((kind) => maker.make(kind), clock, primary)
    this.#warming = new Warming(this, this.#pools, this.#sides, this.#sessions)
    this.#upkeep = this.#makeUpkeep(maker, lookup)
    this.#classifiers = new ClassifierSet(
      (user, database, sql) => this.#askCatalog(user, database, sql),
      () => this.config[otherSide(this.route.primary)].readUser !== undefined,
      clock,
      log,
    )
    this.#welcomer = new Welcomer({
      context: this,
      pools: this.#pools,
      cancels: this.#cancels,
      dealer: this.#dealer,
      classifiers: this.#classifiers,
      nextId: () => this.#nextId++,
    })
    this.#adminConsole = new AdminConsole({
      context: this,
      pools: this.#pools,
      sessions: this.#sessions,
      actions: consoleActions ?? null,
      loginCount: () => this.#logins.size,
      listening: () => this.#listener.addresses,
      nextId: () => this.#nextId++,
    })
    this.#classifiers.need(route.reads > 0)
  }

  get tls(): ClientTls | null {
    return this.#tls.client
  }

  async listen(): Promise<void> {
    await this.#listener.open(parseListen(this.config.listen))
    this.#upkeep.start()
  }

  applyRoute(route: Route): void {
    const movedPrimary = route.primary !== this.route.primary
    this.route = route
    if (movedPrimary) {
      this.#welcomer.forget()
      this.#authQuery.forget()
      leaveSide(this.#sessions, route.primary)
    }
    this.#classifiers.need(route.reads > 0)
    this.#upkeep.applyLimits()
    if (movedPrimary) {
      this.#pools.leaveSide(route.primary)
      this.listeners.renew()
    }
  }

  applyConfig(config: ServiceConfig): readonly string[] {
    this.config = config
    this.#tls.look(true)
    this.proven.doubtAll()
    this.#authQuery.forget()
    this.#upkeep.applyLimits()
    return []
  }

  async pause(forMs: number, waitMs: number, reason: string): Promise<DrainReport> {
    return await this.#gateUse.pause(forMs, waitMs, reason)
  }

  workSinceMs(session: Session): number {
    return this.#sessionLimits.workSinceMs(session)
  }

  resume(): void {
    this.#marks.accept()
    this.gate.open()
  }

  beginSwitch(reason: string): SwitchHold {
    if (this.#isClosing) throw new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down')
    const hold = this.#gateUse.beginSwitch(reason)
    this.#warming.note()
    return hold
  }

  prepare(side: Side, deadlineMs: number): Promise<void> {
    return this.#warming.prepare(side, deadlineMs)
  }

  warm(side: Side, deadlineMs: number): Promise<number> {
    return this.#warming.warm(side, deadlineMs)
  }

  get backends(): Readonly<Record<Side, HeldBackends>> {
    return this.#sides.backends
  }

  resting(side: Side): readonly RestingBackend[] {
    return this.#pools.resting(side)
  }

  immovable(): readonly ClientSnapshot[] {
    return immovable(this.#sessions, this.clock.nowMs())
  }

  reconnect(database: string | null = null): void {
    this.#welcomer.forget()
    for (const { kind, existing } of this.#pools.slots())
      if (database === null || kind.database === database) existing?.reconnect()
    this.listeners.renew()
  }

  endSessions(which: SessionFilter): number {
    const ended = [...this.#sessions].filter(({ identity }) =>
      'id' in which ? identity.id === which.id : identity.database === which.database,
    )
    const words = 'terminating connection due to administrator command'
    for (const session of ended) session.fail(new PontoonError('TERMINATED', words))
    return ended.length
  }

  snapshot(): ServiceSnapshot {
    this.stats.preparedStatements = this.statements.size
    return {
      name: this.name,
      protocol: this.protocol,
      route: this.route,
      gate: this.gate.snapshot(),
      ...countSessions(this.#sessions, this.#logins.size),
      pools: this.#pools.snapshots(),
      listening: this.#listener.addresses,
      certificates: this.#tls.snapshots(),
    }
  }

  clients(limit: number): readonly ClientSnapshot[] {
    return listSessions(this.#sessions, limit, this.clock.nowMs())
  }

  async close(drainMs: number): Promise<void> {
    this.#isClosing = true
    this.#listener.stopAccepting()
    const stopping = new PontoonError(
      'SHUTTING_DOWN',
      'terminating connection because Pontoon is shutting down',
    )
    for (const underWay of this.#logins) underWay.refuse(stopping)
    for (const session of this.#sessions) if (session.isAtRest) session.fail(stopping)
    if (this.activeCount > 0) await this.#drains.wait(drainMs)
    this.gate.openForGood()
    for (const session of this.#sessions) session.fail(stopping)
    this.#adminConsole.close(stopping)
    for (const pool of this.#pools.pools()) pool.close()
    this.#sides.closePrepared()
    this.#authQuery.close()
    this.listeners.close()
    this.#upkeep.stop()
    // The process may end before the next turn.
    this.flushes.flush()
  }

  // What sessions and logins ask of the service.

  settled({ identity }: Session): void {
    this.#drains.look()
    this.gate.letOn(identity.kinds.place)
    if (this.#isClosing) this.#closeIdle()
  }

  left(session: Session): void {
    this.#sessions.delete(session)
    this.#clientCounts.leave(session.identity)
    this.#cancels.remove(session)
    this.#welcomer.left(session)
    this.#dealer.leave(session.identity.seat)
    this.#drains.look()
    this.gate.letOn(session.identity.kinds.place)
  }

  ended(ended: ClientLogin): void {
    this.#logins.delete(ended)
  }

  async cancel(pid: number, secret: Buffer): Promise<void> {
    if (!this.#adminConsole.cancel(pid, secret)) await this.#cancels.request(pid, secret)
  }

  async welcome(underWay: ClientLogin, startup: StartupIdentity): Promise<void> {
    if (this.#isClosing) throw new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down')
    if (isConsoleDatabase(this.config, startup.database)) {
      this.#adminConsole.open(underWay, startup)
      return
    }
    this.#clientCounts.enter(this.config, startup)
    let session: Session | null = null
    try {
      session = await this.#welcomer.run(underWay, startup, (made) => {
        this.#sessions.add(made)
        this.#cancels.add(made)
        this.stats.clientsTotal += 1
      })
    } finally {
      if (session === null) this.#clientCounts.leave(startup)
    }
    if (session !== null && this.#isClosing)
      session.fail(new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down'))
  }

  lookUpVerifier(user: string): Promise<string | null> {
    return this.#gateUse.askPrimary(() => this.#authQuery.lookUp(user))
  }

  doubtVerifier(user: string): void {
    this.#authQuery.doubt(user)
  }

  /** Logs in to the primary side with the client's own password; remembers it when it is right. */
  async provePassword(user: string, database: string, password: string): Promise<boolean> {
    if (this.proven.isSure(user, password)) return true
    return await this.#gateUse.askPrimary(() => this.#tryPassword(user, database, password))
  }

  async #tryPassword(user: string, database: string, password: string): Promise<boolean> {
    const kind: ServerKind = {
      side: this.route.primary,
      user,
      database: provingDatabase(this.config, database),
      parameters: new Map(),
      access: 'write',
    }
    const isRight = await this.#sides.takesPassword(kind, password)
    if (isRight) this.proven.remember(user, password)
    return isRight
  }

  #accept(socket: Carrier): void {
    // Errors before the transport listens must not end the process.
    socket.on('error', () => undefined)
    if (this.#sessions.size + this.#logins.size >= this.config.limits.clientsMax) {
      countIn(this.stats.ownErrors, 'CLIENT_LIMIT')
      const error = new PontoonError('CLIENT_LIMIT', 'sorry, too many clients already')
      this.#refusals.refuse(socket, error)
      return
    }
    this.#logins.add(new ClientLogin(this, socket))
  }

  #makeGateUse(): GateUse {
    return new GateUse({
      gate: this.gate,
      primary: () => this.route.primary,
      drains: this.#drains,
      isDrained: () => this.activeCount === 0,
      shut: () => recallWaiting(this.#sessions, this.#logins),
      busy: () => this.#snapshots((session) => !session.isAtRest),
    })
  }

  #makeUpkeep(maker: PoolMaker, lookup: LookupFunction | undefined): Upkeep {
    return new Upkeep({
      name: this.name,
      loginOptions: (kind) => this.#sides.loginOptions(kind),
      lookup,
      log: this.log,
      config: () => this.config,
      clock: this.clock,
      pools: this.#pools,
      maker,
      sessions: this.#sessions,
      eachTick: () => {
        this.gate.letOn()
        this.#sessionLimits.look(this.#sessions)
        const now = this.clock.nowMs()
        for (const underWay of this.#logins) underWay.look(now)
        holdBuffersTo(this.config.limits.bufferBytesMax, this.#sessions, this.#logins)
      },
      eachSecond: () => {
        const now = this.clock.nowMs()
        for (const session of this.#sessions) session.reviewPin(now)
        this.#classifiers.sweep()
        this.listeners.sweep()
        this.#tls.look()
        this.#adminConsole.sweep()
      },
    })
  }

  #poolMaker(): PoolMaker {
    return new PoolMaker({
      name: this.name,
      config: () => this.config,
      route: () => this.route,
      clock: this.clock,
      log: this.log,
      stats: this.stats,
      sides: this.#sides,
      marks: () => this.#marks,
      trouble: (side, isSilent) => this.#upkeep.trouble(side, isSilent),
    })
  }

  async #askCatalog(user: string, database: string, sql: string): Promise<Rows> {
    const kind: ServerKind = {
      side: this.route.primary,
      user,
      database,
      parameters: new Map(),
      access: 'read',
    }
    const connection = await openQueryConnection(this.#sides.loginOptions(kind))
    try {
      return await connection.query(sql, catalogTimeoutMs)
    } finally {
      connection.close()
    }
  }

  #snapshots(which: (session: Session) => boolean): readonly ClientSnapshot[] {
    const now = this.clock.nowMs()
    return [...this.#sessions].filter(which).map((session) => session.snapshot(now))
  }

  #closeIdle(): void {
    const stopping = new PontoonError(
      'SHUTTING_DOWN',
      'terminating connection because Pontoon is shutting down',
    )
    for (const session of this.#sessions) if (session.isAtRest) session.fail(stopping)
  }
}
