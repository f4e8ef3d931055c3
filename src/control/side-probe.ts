/**
 * As whom to look at a side, and what was found, in short. `check` tries every role that the
 * configuration names; the running sidecar only the first. Where clients bring their own names
 * and passwords there is none to try, and a look ends at TCP.
 *
 * The side that does not take the writes may be fenced against the roles of clients, so there
 * Pontoon's own roles come first.
 */
import type { AnyServiceConfig, ServiceConfig } from '../config/schema.ts'
import { dial } from '../net/dial.ts'
import type { HeldBackends } from '../net/pg/held-backends.ts'
import { probeSide } from '../net/pg/probe.ts'
import type { ProbeOptions, ProbeReport } from '../net/pg/probe.ts'
import { probeRedis } from '../net/redis/probe.ts'
import type { Secrets } from '../net/secrets/secrets.ts'
import { credentialsFor, isKnownByHash } from '../proxy/pg/credentials.ts'
import { redisLogins } from '../proxy/redis/sides.ts'
import type { Side } from '../shared/side.ts'
import type { SideFinding, SideProbe } from './side-watch.ts'

/** Whose roles are tried first. */
export type First = 'clients' | 'own'

/** Every role that Pontoon would log in with on that side, without repetition. */
export function rolesOf(
  config: ServiceConfig,
  side: Side,
  secrets: Secrets,
  first: First = 'clients',
): readonly ProbeOptions[] {
  const clients = Object.keys(config.users ?? {})
  const fallback = config[side].user
  const names = clients.length > 0 || fallback === undefined ? clients : [fallback]
  const roles = new Map<string, ProbeOptions>()
  if (first === 'own') addOwnRoles(roles, config, side, secrets)
  for (const name of names) {
    // As the service itself asks; a role without a database goes to the one of its own name.
    const configured = config.databases?.[0] ?? config[side].database
    const database = configured ?? name
    const kind = { side, user: name, database, parameters: new Map(), access: 'write' } as const
    const role = credentialsFor(config, kind, null, secrets)
    // Only the client itself can prove who it is; there is nothing to try without it.
    if (role.password === null && isKnownByHash(config, name)) continue
    addRole(roles, configured === undefined ? { ...role, isDatabaseGuessed: true } : role)
  }
  addOwnRoles(roles, config, side, secrets)
  return [...roles.values()]
}

export interface ProbesOptions {
  readonly first?: First
  readonly backends?: HeldBackends | undefined
  /** Roles that the fence of that side has to refuse. */
  readonly fencedOut?: readonly string[]
}

/** A look at that side for every role, whatever the protocol. */
export function probesOf(
  config: AnyServiceConfig,
  side: Side,
  secrets: Secrets,
  { first = 'clients', backends, fencedOut = [] }: ProbesOptions = {},
): readonly (() => Promise<ProbeReport>)[] {
  if (config.protocol === 'redis')
    return redisLogins(config, side, secrets).map((login) => () => probeRedis(login))
  const told = backends === undefined ? {} : { backends }
  return rolesOf(config, side, secrets, first).map((role) => {
    const isFencedOut = fencedOut.includes(role.user)
    return () => probeSide(config[side], { ...role, ...told, isFencedOut })
  })
}

/** What the sidecar asks of a side now and then; throws when it cannot be reached. */
export const lookAtSide =
  (secrets: Secrets): SideProbe =>
  async (service, side) => {
    const config = service.config[side]
    const [probe] = probesOf(service.config, side, secrets, {
      first: service.route.primary === side ? 'clients' : 'own',
      backends: service.backends?.[side],
    })
    if (probe !== undefined) return findingOf(await probe())
    const startMs = performance.now()
    const { socket } = await dial(config, config.connectTimeoutMs)
    socket.destroy()
    const latencyMs = performance.now() - startMs
    return { reachable: true, code: '', message: '', version: '', latencyMs }
  }

function addRole(roles: Map<string, ProbeOptions>, role: ProbeOptions): void {
  const key = `${role.user} ${role.database}`
  if (!roles.has(key)) roles.set(key, role)
}

function addOwnRoles(
  roles: Map<string, ProbeOptions>,
  config: ServiceConfig,
  side: Side,
  secrets: Secrets,
): void {
  const { host, port, readUser, controlUser, replicationUser, database } = config[side]
  const { query } = config.clientAuth
  for (const extra of [readUser, controlUser, replicationUser, query]) {
    if (extra?.user === undefined) continue
    const { user } = extra
    const own = extra === query ? query.database : undefined
    const asked = own ?? database ?? config.databases?.[0]
    const password = secrets.of(extra, { host, port, user }) ?? null
    const role = { user, password, database: asked ?? user }
    addRole(roles, asked === undefined ? { ...role, isDatabaseGuessed: true } : role)
  }
}

function findingOf(report: ProbeReport): SideFinding {
  const failed = report.steps.find((step) => !step.ok)
  return {
    reachable: report.ok,
    code: failed?.code ?? '',
    message: failed?.text ?? '',
    version: report.serverVersion?.split(' ')[0] ?? '',
    latencyMs: report.latencyMs,
  }
}
