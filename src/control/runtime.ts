/**
 * The only composition root: puts a sidecar together from a configuration, in an order in which
 * every failure leaves nothing behind. A side that cannot be reached delays nothing: services
 * start anyway and side-watch.ts reports. reload.ts and the CLI's signals drive the rest.
 */
import { shippedPhases } from '../config/phases.ts'
import type { PhaseProfiles } from '../config/phases.ts'
import type { Config } from '../config/schema.ts'
import { Secrets } from '../net/secrets/secrets.ts'
import { createPostgresService } from '../proxy/pg/service.ts'
import type { PostgresServiceOptions } from '../proxy/pg/service.ts'
import { createRedisService } from '../proxy/redis/service.ts'
import type { SwitchHold } from '../proxy/gate-use.ts'
import type { Service } from '../proxy/service.ts'
import { initialRoute } from '../routing/change.ts'
import type { Clock } from '../shared/clock.ts'
import { AuditLog } from '../store/audit-log.ts'
import { FileStore } from '../store/file-store.ts'
import type { RouteStore } from '../store/route-store.ts'
import { AccessGuard } from './admin/access.ts'
import type { AdminContext } from './admin/context.ts'
import { startAdmin, startProbe } from './admin/server.ts'
import { certificateProblems } from './certificates.ts'
import { ControlConsole } from './console.ts'
import { primaryDoubts } from './doubts.ts'
import { EventFeed } from './events.ts'
import { Health } from './health.ts'
import { LeftSideWatch } from './left-side-watch.ts'
import type { ProcessLog } from './logging.ts'
import { Metrics } from './metrics.ts'
import { Operator } from './operator.ts'
import { Picture } from './picture.ts'
import { Switches } from './switches.ts'
import type { Operation, SwitchesParts } from './switches.ts'
import { switchLimits } from './limits.ts'
import { Reloader } from './reload.ts'
import type { ReloadReport } from './reload.ts'
import { lookAtSide } from './side-probe.ts'
import { SideWatch } from './side-watch.ts'
import type { SideProbe } from './side-watch.ts'
import { SyncWatch, type SyncWatchParts } from './sync-watch.ts'
import { version } from './version.ts'

export interface RuntimeOptions {
  readonly config: Config
  /** Files that reload() reads again. */
  readonly configFiles: readonly string[]
  readonly log: ProcessLog
  readonly clock: Clock
  /** For tests; the real ones otherwise. */
  readonly probeSide?: SideProbe
  readonly createService?: (options: PostgresServiceOptions) => Service
  readonly beforeStep?: SwitchesParts['beforeStep']
}

export interface Runtime {
  /** The configuration in force; a reload replaces it. */
  readonly config: Config
  readonly services: ReadonlyMap<string, Service>
  readonly store: RouteStore
  readonly audit: AuditLog
  readonly health: Health
  /** URLs of the listeners as bound. */
  readonly adminAddress: string
  readonly probeAddress: string | null
  /** Takes the files again; an invalid one throws and changes nothing. */
  reload(by: string): Promise<ReloadReport>
  /** Drains for at most drainTimeoutMs (or `drainMs`) and closes everything. */
  stop(reason: string, drainMs?: number): Promise<void>
  /** Settles as `stop` does, whoever called it. */
  readonly stopped: Promise<void>
}

/** Closes what was opened, the newest first. */
type Closers = (() => Promise<void> | void)[]

export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const closers: Closers = []
  try {
    return await compose(options, closers)
  } catch (error) {
    await closeAll(closers, options.log)
    throw error
  }
}

async function compose(options: RuntimeOptions, closers: Closers): Promise<Runtime> {
  const { config, clock, log } = options
  const profiles = shippedPhases()
  const { store, audit } = await openState(config.state.file, closers)
  const events = new EventFeed(() => clock.wallMs())
  const secrets = new Secrets({ clock, log })
  let switches: Switches | null = null
  const operationOf = (service: string): Operation | null => switches?.runningOf(service) ?? null
  const isSwitching = (service: string): boolean => operationOf(service) !== null
  const watching = { secrets, store, events, isSwitching }
  const { sides, sync, left } = makeWatches(options, watching, closers)
  const services = new Map<string, Service>()
  const consoles = new ControlConsole()
  const making = { profiles, store, secrets, consoles }
  const held = await startServices(options, making, services, closers)
  const picture = new Picture({ services, sides, sync, events, operationOf })
  closers.push(() => picture.stop())
  const acting = { services, profiles, store, audit, events, log }
  const operator = new Operator({ ...acting, onAction: () => picture.look() })
  const stateFolder = config.state.file
  switches = new Switches({ ...options, services, store, operator, secrets, events, stateFolder })
  switches.recoverAll(held)
  const reloader = new Reloader({ ...options, services, operator, events })
  const health = new Health(() => [
    ...sides.notes(services.values()),
    ...certificateProblems(services.values()),
    ...primaryDoubts(services.values()),
  ])
  const context: AdminContext = {
    version,
    services,
    operator,
    guard: new AccessGuard(() => reloader.config.admin.tokens, clock),
    audit,
    events,
    metrics: new Metrics(() => services.values(), version, sync),
    health,
    sides,
    switches,
    sync,
    log,
  }
  const listeners = await startListeners(config, context, closers)
  for (const watch of [sides, sync, left]) watch.start(services.values())
  health.become('running')
  const stopping = onceOnly(async (reason: string, asked?: number) => {
    const drainMs = asked ?? reloader.config.drainTimeoutMs
    health.become('stopping')
    events.publish('stopping', { reason, drainMs })
    log.info({ reason, drainMs }, 'draining')
    await context.switches.stop(switchLimits.stopMs)
    await Promise.all([...services.values()].map((one) => closeService(one, drainMs, log)))
    await closeAll(closers, log)
    log.info({ reason }, 'stopped')
  })
  consoles.connect({ operator, reloader, stop: stopping.call })
  return {
    get config() {
      return reloader.config
    },
    services,
    store,
    audit,
    health,
    ...listeners,
    reload: (by) => reloader.reload({ name: by, role: 'system', address: '' }),
    stop: stopping.call,
    stopped: stopping.settled,
  }
}

async function openState(
  folder: string,
  closers: Closers,
): Promise<{ readonly store: FileStore; readonly audit: AuditLog }> {
  const store = await FileStore.open(folder)
  closers.push(() => store.close())
  const audit = await AuditLog.open(folder)
  closers.push(() => audit.close())
  return { store, audit }
}

function makeWatches(
  { probeSide, clock, log }: RuntimeOptions,
  parts: Pick<SyncWatchParts, 'secrets' | 'events' | 'isSwitching'> & {
    readonly store: RouteStore
  },
  closers: Closers,
): { readonly sides: SideWatch; readonly sync: SyncWatch; readonly left: LeftSideWatch } {
  const probe = probeSide ?? lookAtSide(parts.secrets)
  const sides = new SideWatch({ probe, events: parts.events, clock, log })
  closers.push(() => sides.stop())
  const sync = new SyncWatch({ ...parts, clock, log })
  closers.push(() => sync.stop())
  const left = new LeftSideWatch({ ...parts, log })
  closers.push(() => left.stop())
  return { sides, sync, left }
}

interface ServiceParts {
  readonly profiles: PhaseProfiles
  readonly store: RouteStore
  readonly secrets: Secrets
  readonly consoles: ControlConsole
}

async function startServices(
  options: RuntimeOptions,
  { profiles, store, secrets, consoles }: ServiceParts,
  services: Map<string, Service>,
  closers: Closers,
): Promise<ReadonlyMap<Service, SwitchHold>> {
  const held = new Map<Service, SwitchHold>()
  const create = options.createService ?? createPostgresService
  for (const [name, config] of Object.entries(options.config.services)) {
    const initial = initialRoute(config.route, { service: name, profiles })
    const route = await store.ensure(name, initial)
    const { clock, log } = options
    const consoleActions = consoles
    const common = { name, route, clock, log, secrets }
    const service =
      config.protocol === 'redis'
        ? createRedisService({ ...common, config })
        : create({ ...common, config, consoleActions })
    services.set(name, service)
    closers.push(() => service.close(0))
    // Before the first client comes: which side it may write to is not decided yet.
    const record = store.switchOf(name)
    if (record !== undefined)
      held.set(service, service.beginSwitch(`${record.kind} ${record.id} is being finished`))
    await service.listen()
    const { listening } = service.snapshot()
    options.log.info({ service: name, listening, route }, 'service started')
  }
  return held
}

async function startListeners(
  config: Config,
  context: AdminContext,
  closers: Closers,
): Promise<Pick<Runtime, 'adminAddress' | 'probeAddress'>> {
  const admin = await startAdmin(config.admin, context)
  closers.push(() => admin.close())
  context.log.info({ url: admin.url }, 'admin listener started')
  if (config.probe === undefined) return { adminAddress: admin.url, probeAddress: null }
  const probe = await startProbe(config.probe.listen, context)
  closers.push(() => probe.close())
  context.log.info({ url: probe.url }, 'probe listener started')
  return { adminAddress: admin.url, probeAddress: probe.url }
}

async function closeService(service: Service, drainMs: number, log: ProcessLog): Promise<void> {
  try {
    await service.close(drainMs)
  } catch (error) {
    log.error({ service: service.name, err: error }, 'a service did not close well')
  }
}

/** One that fails must not keep the others open. */
async function closeAll(closers: Closers, log: ProcessLog): Promise<void> {
  for (const close of closers.splice(0).toReversed()) {
    try {
      await close()
    } catch (error) {
      log.error({ err: error }, 'something did not close well')
    }
  }
}

/** A second call waits for the first; the arguments of the first count. */
function onceOnly<Arguments extends readonly unknown[]>(
  run: (...given: Arguments) => Promise<void>,
): { call: (...given: Arguments) => Promise<void>; settled: Promise<void> } {
  let running: Promise<void> | undefined
  let settle: ((outcome: Promise<void>) => void) | undefined
  const settled = new Promise<void>((resolve) => {
    settle = resolve
  })
  // Whoever called hears of a failure; here nobody has to listen.
  settled.catch(() => undefined)
  const call = (...given: Arguments): Promise<void> => {
    if (running === undefined) {
      running = run(...given)
      settle?.(running)
    }
    return running
  }
  return { call, settled }
}
