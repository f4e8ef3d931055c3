/**
 * A Redis service: its listeners, sessions, servers, gate and route. It makes the parts and answers
 * the control plane (proxy/service.ts); what happens to bytes is in session.ts and server-relay.ts.
 */
import type { LookupFunction } from 'node:net'
import { parseListen } from '../../config/listen-address.ts'
import type { AnyServiceConfig, RedisServiceConfig } from '../../config/schema.ts'
import type { Carrier } from '../../net/carrier.ts'
import { FlushQueue } from '../../net/flush-queue.ts'
import { Gate } from '../../net/gate.ts'
import { Listener } from '../../net/listener.ts'
import { askCommands } from '../../net/redis/ask.ts'
import { Secrets } from '../../net/secrets/secrets.ts'
import { upgradeToClient, type ClientTls } from '../../net/tls.ts'
import { Transport, type TransportHandler } from '../../net/transport.ts'
import { commandTable, type CommandTable } from '../../routing/redis/command-table.ts'
import type { Route } from '../../routing/route.ts'
import { assert } from '../../shared/assert.ts'
import { EventClock, type Clock } from '../../shared/clock.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import type { CommandStats } from '../command-stats.ts'
import { Drains } from '../drains.ts'
import { GateUse, type SwitchHold } from '../gate-use.ts'
import { LegTls } from '../leg-tls.ts'
import {
  countIn,
  ServiceStats,
  type ClientSnapshot,
  type ClientState,
  type DrainReport,
  type Service,
  type ServiceSnapshot,
  type SessionFilter,
} from '../service.ts'
import { CommandBook } from './command-book.ts'
import { CommandLearning } from './command-learning.ts'
import { CommandWatch } from './command-watch.ts'
import type { RedisContext } from './context.ts'
import { holdsUpOthersMsMax } from './limits.ts'
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import { LoginRenewal } from './login-renewal.ts'
import { ProvenSecrets } from '../proven-secrets.ts'
import { ReadRouter } from './read-router.ts'
import { Relocations } from './relocations.ts'
import { RedisPoolMaker } from './pool-maker.ts'
import { GroupSet, type ServerKind } from './server-group.ts'
import { Session } from './session.ts'
import { RedisSideNames } from './side-names.ts'
import { SilentServers } from './silent-servers.ts'
import { redisLegs, RedisSides } from './sides.ts'

export interface RedisServiceOptions {
  readonly name: string
  readonly config: RedisServiceConfig
  readonly route: Route
  readonly clock: Clock
  readonly log: Log
  /** Shared by the services of a process; by default of its own. */
  readonly secrets?: Secrets
  /** How names of sides are found; default: that of the system. */
  readonly lookup?: LookupFunction
}

const sweepEveryMs = 1_000

const tlsHandshakeByte = 0x16

/** How long a client that was refused, or that never finishes its TLS handshake, may take. */
const refusalMs = 5_000

/** Throws CONFIG_INVALID when a certificate cannot be used. */
export function createRedisService(options: RedisServiceOptions): Service {
  return new RedisService(options)
}

class RedisService implements Service, RedisContext {
  readonly name: string
  readonly protocol = 'redis'
  readonly clock: Clock
  readonly log: Log
  readonly stats = new ServiceStats()
  readonly flushes: FlushQueue
  readonly book = new CommandBook()
  readonly watch: CommandWatch
  readonly gate: Gate
  readonly groups: GroupSet
  readonly reads: ReadRouter
  readonly relocations = new Relocations({ holdGate: () => this.#holdGate() })
  readonly proven: ProvenSecrets<string>
  readonly sessions = new Map<number, Session>()
  config: RedisServiceConfig
  route: Route
  activeCount = 0
  get commands(): CommandStats {
    return this.watch
  }
  readonly #sides: RedisSides
  readonly #renewal: LoginRenewal
  readonly #silent: SilentServers
  readonly #names: RedisSideNames
  readonly #pools: RedisPoolMaker
  readonly #tls: LegTls
  readonly #listener = new Listener((socket) => this.#accept(socket))
  readonly #drains = new Drains({ isDrained: () => this.#isDrained() })
  readonly #gateUse: GateUse
  readonly #learning: CommandLearning
  #nextId = 1
  #sweep: NodeJS.Timeout | null = null
  #isClosing = false

  constructor({ name, config, route, clock, log, secrets, lookup }: RedisServiceOptions) {
    this.name = name
    this.config = config
    this.route = route
    const eventClock = new EventClock(clock)
    this.clock = eventClock
    this.flushes = new FlushQueue(eventClock)
    this.log = log
    this.watch = new CommandWatch(this.book, clock, config.limits.slowCommandMs)
    this.gate = new Gate(eventClock, (pausedMs) => {
      this.stats.pause.observe(pausedMs / 1_000)
      this.#drains.look()
    })
    this.#gateUse = new GateUse({
      gate: this.gate,
      primary: () => this.route.primary,
      drains: this.#drains,
      isDrained: () => this.#isDrained(),
      shut: () => {
        const byAge = [...this.sessions.values()].toSorted(
          (a, b) => a.stateSinceMs - b.stateSinceMs,
        )
        for (const session of byAge) session.toGate()
      },
      busy: () => this.#busy(),
    })
    this.#tls = new LegTls(name, redisLegs(config), clock, log)
    this.reads = new ReadRouter({
      clock: eventClock,
      route: () => this.route,
      readAfterWriteMs: () => this.config.route.readAfterWriteMs,
    })
    this.proven = new ProvenSecrets(clock)
    this.#sides = new RedisSides({
      config: () => this.config,
      tls: (side) => this.#tls.side(side),
      clock,
      flushes: this.flushes,
      secrets: secrets ?? new Secrets({ clock, log }),
      proven: this.proven,
      lookup,
      recordOf: (request) => this.book.recordOf(request),
    })
    this.#pools = new RedisPoolMaker({
      name,
      config: () => this.config,
      clock,
      log,
      stats: this.stats,
      sides: this.#sides,
      opened: (kind) => this.#learning.opened(kind),
    })
    this.#learning = new CommandLearning({
      book: this.book,
      primary: () => this.route.primary,
      nowMs: () => this.clock.nowMs(),
      ask: (kind) => this.#askCommands(kind),
      failed: (side, thrown) => {
        const { message, code } = toPontoonError(thrown)
        log.debug({ service: name, side, code }, `its commands are not known: ${message}`)
      },
    })
    this.#renewal = new LoginRenewal(this)
    this.#silent = new SilentServers(this)
    this.#names = new RedisSideNames(this, lookup)
    this.groups = new GroupSet(this, (kind, use) => this.#pools.make(kind, use))
  }

  loginOptions(kind: ServerKind): RedisLoginOptions {
    return this.#sides.loginOptions(kind)
  }

  async listen(): Promise<void> {
    await this.#listener.open(parseListen(this.config.listen))
    this.#sweep = setInterval(() => this.#sweepOnce(), sweepEveryMs)
  }

  applyRoute(route: Route): void {
    const before = this.route
    this.route = route
    if (route.primary !== before.primary) {
      this.#learning.primaryMoved()
      for (const session of this.sessions.values()) session.followRoute()
    }
    if (route.reads > 0 && (before.reads === 0 || route.primary !== before.primary))
      this.reads.begin()
  }

  applyConfig(config: AnyServiceConfig): readonly string[] {
    assert(config.protocol === 'redis', 'a reload never changes the protocol of a service')
    this.config = config
    this.watch.slowMs = config.limits.slowCommandMs
    this.#tls.look(true)
    this.proven.doubtAll()
    for (const group of this.groups.all())
      for (const [use, pool] of group.pools())
        pool.limits = this.#pools.limitsOf(group.kind.side, use)
    return []
  }

  async pause(forMs: number, waitMs: number, reason: string): Promise<DrainReport> {
    return await this.#gateUse.pause(forMs, waitMs, reason)
  }

  resume(): void {
    this.gate.open()
  }

  beginSwitch(reason: string): SwitchHold {
    const hold = this.#gateUse.beginSwitch(reason)
    return {
      reason,
      get isInForce() {
        return hold.isInForce
      },
      drained: (waitMs) => hold.drained(waitMs),
      release: (release) => this.relocations.after(() => hold.release(release)),
    }
  }

  #holdGate(): (() => void) | null {
    if (this.gate.keptBy === 'switch') return null
    const hold = this.#gateUse.beginSwitch('clients follow the primary side')
    return () => hold.release()
  }

  immovable(): readonly ClientSnapshot[] {
    const now = this.clock.nowMs()
    return [...this.sessions.values()]
      .filter((session) => session.own?.isKept === true && !session.canFollow)
      .map((session) => session.snapshot(now))
  }

  reconnect(database: string | null = null): void {
    for (const group of this.groups.all())
      if (database === null || String(group.kind.database) === database) group.reconnect()
  }

  endSessions(which: SessionFilter): number {
    const ended = [...this.sessions.values()].filter((session) =>
      'id' in which ? session.id === which.id : String(session.database) === which.database,
    )
    const words = 'an operator ended the session'
    for (const session of ended) session.fail(new PontoonError('TERMINATED', words))
    return ended.length
  }

  snapshot(): ServiceSnapshot {
    const clients: Record<ClientState, number> = {
      startup: 0,
      idle: 0,
      waiting: 0,
      active: 0,
      pinned: 0,
      parked: 0,
    }
    const pinned: Record<string, number> = {}
    for (const session of this.sessions.values()) {
      clients[session.clientState()] += 1
      const reason = session.pinReason
      if (reason !== '') pinned[reason] = (pinned[reason] ?? 0) + 1
    }
    return {
      name: this.name,
      protocol: this.protocol,
      route: this.route,
      gate: this.gate.snapshot(),
      clients,
      pools: [...this.groups.all()].flatMap((group) => [...group.snapshots()]),
      pinned,
      listening: this.#listener.addresses,
      certificates: this.#tls.snapshots(),
    }
  }

  clients(limit: number): readonly ClientSnapshot[] {
    const now = this.clock.nowMs()
    const pinned: Session[] = []
    const others: Session[] = []
    for (const session of this.sessions.values())
      (session.pinReason === '' ? others : pinned).push(session)
    return [...pinned, ...others].slice(0, limit).map((session) => session.snapshot(now))
  }

  async close(drainMs: number): Promise<void> {
    this.#isClosing = true
    this.#listener.stopAccepting()
    if (this.gate.keptBy !== 'switch') this.gate.pause(Math.max(drainMs, 1), 'shutting down')
    for (const session of this.sessions.values()) session.own?.blocking.recall()
    this.#closeAtRest()
    await this.#drains.wait(drainMs)
    this.gate.openForGood()
    for (const session of this.sessions.values()) session.fail(stopping())
    for (const group of this.groups.all()) group.close()
    if (this.#sweep !== null) clearInterval(this.#sweep)
  }

  // What sessions ask of the service.

  settled(): void {
    this.#drains.look()
    if (this.#isClosing) this.#closeAtRest()
  }

  async prove(user: string, password: string): Promise<void> {
    await this.#sides.prove(this.route.primary, user, password)
  }

  left(session: Session): void {
    this.sessions.delete(session.id)
    this.#drains.look()
  }

  /** No reply is owed, no transaction is open, no part of a large command has been sent. */
  #isDrained(): boolean {
    if (this.activeCount > 0) return false
    for (const session of this.sessions.values()) if (!session.isAtRest) return false
    return true
  }

  #busy(): readonly ClientSnapshot[] {
    const now = this.clock.nowMs()
    return [...this.sessions.values()]
      .filter((session) => !session.isAtRest)
      .map((session) => session.snapshot(now))
  }

  #closeAtRest(): void {
    for (const session of this.sessions.values()) if (session.isAtRest) session.fail(stopping())
  }

  #accept(accepted: Carrier): void {
    // Errors before the transport listens must not end the process.
    accepted.on('error', () => undefined)
    if (this.sessions.size >= this.config.limits.clientsMax) {
      refuse(accepted)
      return
    }
    const { remoteAddress, remotePort } = accepted
    const address = remoteAddress === undefined ? 'unix' : `${remoteAddress}:${remotePort}`
    const id = this.#nextId++
    const isPreferred = this.config.clientTls.mode === 'prefer'
    const transport = isPreferred ? this.#plain(accepted) : this.#open(accepted)
    const session = new Session(this, id, transport, address)
    this.sessions.set(id, session)
    this.stats.clientsTotal += 1
    if (isPreferred) this.#lookForTls(session)
  }

  /** Its first byte tells whether the client speaks TLS: no command begins like a handshake. */
  #lookForTls(session: Session): void {
    const { client } = session
    client.handler = {
      onBytes: (bytes, end) => {
        client.handler = session
        const tls = this.#tls.client
        if (bytes[0] !== tlsHandshakeByte || tls === null) {
          session.onBytes(bytes, end)
          return
        }
        client.handler = noHandler
        const early = Buffer.from(bytes.subarray(0, end))
        session.secure(this.#shakeHands(client.socket, tls, early))
      },
      onCongested: () => session.onCongested(),
      onDrained: () => session.onDrained(),
      onEnded: () => session.onEnded(),
      onClosed: () => session.onClosed(),
    }
  }

  #open(accepted: Carrier): Transport {
    const tls = this.#tls.client
    return tls === null ? this.#plain(accepted) : this.#shakeHands(accepted, tls)
  }

  #plain(accepted: Carrier): Transport {
    return new Transport(accepted, this.flushes, noHandler).startReading()
  }

  #shakeHands(carrier: Carrier, tls: ClientTls, early?: Buffer): Transport {
    const secure = upgradeToClient(carrier, tls, early === undefined ? {} : { early })
    const timer = setTimeout(() => secure.destroy(), refusalMs)
    secure.once('secure', () => clearTimeout(timer))
    secure.once('close', () => clearTimeout(timer))
    return new Transport(secure, this.flushes, noHandler).startReading()
  }

  async #askCommands(kind: ServerKind): Promise<CommandTable> {
    const login = await this.#sides.locate({ ...kind, version: null, database: 0 })
    return commandTable(await askCommands(login))
  }

  #sweepOnce(): void {
    const now = this.clock.nowMs()
    const { slowReaderMs, loginTimeoutMs } = this.config.limits
    this.#tls.look()
    this.#names.look()
    for (const group of this.groups.all()) group.sweep(now)
    this.groups.sweep()
    this.#silent.look()
    this.#learning.look()
    for (const session of this.sessions.values()) {
      this.#renewal.look(session, now)
      const since = session.congestedSinceMs
      const isSlow = since !== null && now - since > slowReaderMs
      if (isSlow || session.holdsUpOthersMs(now) > holdsUpOthersMsMax) {
        countIn(this.stats.ownErrors, 'CLIENT_SLOW_READER')
        session.client.destroy()
      } else if (session.user === null && now - session.openedAtMs > loginTimeoutMs)
        session.fail(new PontoonError('CLIENT_LOGIN_TIMEOUT', 'the client did not log in in time'))
    }
  }
}

const noHandler: TransportHandler = {
  onBytes: () => undefined,
  onCongested: () => undefined,
  onDrained: () => undefined,
  onClosed: () => undefined,
}

function stopping(): PontoonError {
  return new PontoonError('SHUTTING_DOWN', 'Pontoon is shutting down')
}

function refuse(socket: Carrier): void {
  const timer = setTimeout(() => socket.destroy(), refusalMs)
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
  socket.end(Buffer.from('-ERR max number of clients reached\r\n'))
}
