/**
 * What a reload changes: compares two configurations and says of each value whether it can change
 * while the process runs. Only what is listed here is live; everything else needs a restart, so
 * that a new field is never taken for live by accident. Paths only, never values: they may be
 * secrets.
 */
import { isDeepStrictEqual } from 'node:util'
import { formatPath, type Path } from './mistake.ts'
import { sides, type Side } from '../shared/side.ts'
import { liveRedisService } from './redis-live.ts'
import type { AnyServiceConfig, Config, ServiceConfig } from './schema.ts'

export interface ConfigChanges {
  /** In force as soon as `liveConfig` is applied. */
  readonly live: readonly string[]
  /** In force after a restart. */
  readonly needRestart: readonly string[]
  /** Only say where a new service starts; the stored route of a known one counts. */
  readonly forNewServices: readonly string[]
}

type Effect = keyof ConfigChanges

/**
 * A `*` stands for one step. What a client logs in with and what a server is opened with counts
 * for the next login, so it is live; what is part of a pool's or a listener's identity is not. The
 * role of a server belongs to the pool: one pool must not hold servers of two roles.
 */
const effects: readonly (readonly [pattern: readonly string[], effect: Effect])[] = [
  [['log', 'level'], 'live'],
  [['drainTimeoutMs'], 'live'],
  [['admin', 'tokens'], 'live'],
  [['services', '*', 'databases'], 'live'],
  [['services', '*', 'consoleUsers'], 'live'],
  [['services', '*', 'statsUsers'], 'live'],
  ...sides.map((side) => [['services', '*', 'users', '*', side, 'user'], 'needRestart'] as const),
  [['services', '*', 'users'], 'live'],
  [['services', '*', 'limits'], 'live'],
  [['services', '*', 'subscribers'], 'live'],
  [['services', '*', 'pool', 'mode'], 'needRestart'],
  [['services', '*', 'pool'], 'live'],
  [['services', '*', 'route', 'readAfterWriteMs'], 'live'],
  [['services', '*', 'route', 'phase'], 'forNewServices'],
  [['services', '*', 'route', 'reads'], 'forNewServices'],
  ...sides.flatMap((side) =>
    [
      ['password'],
      ['auth'],
      ['connectTimeoutMs'],
      ['readUser'],
      ['controlUser'],
      ['replicationUser'],
    ].map((rest) => [['services', '*', side, ...rest], 'live'] as const),
  ),
]

export function compareConfigs(before: Config, after: Config): ConfigChanges {
  const changes: Record<Effect, string[]> = { live: [], needRestart: [], forNewServices: [] }
  for (const path of changedPaths(before, after, [])) {
    changes[effectOf(path)].push(formatPath(path))
  }
  return changes
}

/** The running configuration with all live values of the next one, and none of the others. */
export function liveConfig(running: Config, next: Config): Config {
  return Object.freeze({
    ...running,
    log: next.log,
    drainTimeoutMs: next.drainTimeoutMs,
    admin: Object.freeze({ ...running.admin, tokens: next.admin.tokens }),
    services: Object.freeze(
      Object.fromEntries(
        Object.entries(running.services).map(([name, service]) => {
          const asked = Object.hasOwn(next.services, name) ? next.services[name] : undefined
          return [name, asked === undefined ? service : liveAnyService(service, asked)]
        }),
      ),
    ),
  })
}

/** A service that changes its protocol does so with a restart. */
function liveAnyService(running: AnyServiceConfig, next: AnyServiceConfig): AnyServiceConfig {
  if (running.protocol === 'redis')
    return next.protocol === 'redis' ? liveRedisService(running, next) : running
  return next.protocol === 'postgres' ? liveService(running, next) : running
}

type Service = ServiceConfig
type SideValues = Service['source']

function liveService(running: Service, next: Service): Service {
  const { databases: _databases, users: _users, ...some } = running
  const { consoleUsers: _console, statsUsers: _stats, ...rest } = some
  return Object.freeze({
    ...rest,
    ...(next.databases === undefined ? {} : { databases: next.databases }),
    ...(next.consoleUsers === undefined ? {} : { consoleUsers: next.consoleUsers }),
    ...(next.statsUsers === undefined ? {} : { statsUsers: next.statsUsers }),
    ...(next.users === undefined ? {} : { users: liveUsers(running.users ?? {}, next.users) }),
    limits: next.limits,
    pool: Object.freeze({ ...next.pool, mode: running.pool.mode }),
    route: Object.freeze({ ...running.route, readAfterWriteMs: next.route.readAfterWriteMs }),
    source: liveSide(running.source, next.source),
    target: liveSide(running.target, next.target),
  })
}

type Users = NonNullable<Service['users']>
type User = Users[string]

/** Users come and go; one who stays keeps the roles in which his servers are logged in. */
function liveUsers(running: Users, next: Users): Users {
  return Object.freeze(
    Object.fromEntries(
      Object.entries(next).map(([name, user]) => {
        const known = Object.hasOwn(running, name) ? running[name] : undefined
        return [name, known === undefined ? user : liveUser(known, user)]
      }),
    ),
  )
}

function liveUser(running: User, next: User): User {
  const { source: _source, target: _target, ...rest } = next
  const source = liveCredentials(running.source, next.source)
  const target = liveCredentials(running.target, next.target)
  return Object.freeze({
    ...rest,
    ...(source === undefined ? {} : { source }),
    ...(target === undefined ? {} : { target }),
  })
}

function liveCredentials(running: User[Side], next: User[Side]): User[Side] {
  const { user: _user, ...rest } = next ?? {}
  const user = running?.user
  if (user === undefined && Object.keys(rest).length === 0) return undefined
  return Object.freeze({ ...rest, ...(user === undefined ? {} : { user }) })
}

function liveSide(running: SideValues, next: SideValues): SideValues {
  const { password: _p, auth: _a, readUser: _r, controlUser: _c, ...some } = running
  const { replicationUser: _s, ...rest } = some
  const { connectTimeoutMs, password, auth, readUser, controlUser, replicationUser } = next
  return Object.freeze({
    ...rest,
    connectTimeoutMs,
    ...(password === undefined ? {} : { password }),
    ...(auth === undefined ? {} : { auth }),
    ...(readUser === undefined ? {} : { readUser }),
    ...(controlUser === undefined ? {} : { controlUser }),
    ...(replicationUser === undefined ? {} : { replicationUser }),
  })
}

/** The first pattern that covers the path decides. */
function effectOf(path: Path): Effect {
  const found = effects.find(
    ([pattern]) =>
      pattern.length <= path.length &&
      pattern.every((step, index) => step === '*' || step === path[index]),
  )
  return found?.[1] ?? 'needRestart'
}

/**
 * Leaves that differ. A list counts as one; so does a service or user that comes or goes, while
 * any other mapping that does is as good as an empty one.
 */
function changedPaths(before: unknown, after: unknown, path: Path): readonly Path[] {
  if (isDeepStrictEqual(before, after)) return []
  const empty = isEntry(path) ? undefined : {}
  const [one, other] = [before ?? empty, after ?? empty]
  if (!isMapping(one) || !isMapping(other)) return [path]
  // Under another protocol it is another service.
  if (path.length === 2 && one['protocol'] !== other['protocol']) return [path]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  if (names.size === 0) return [path]
  return [...names].flatMap((name) =>
    changedPaths(ownValue(one, name), ownValue(other, name), [...path, name]),
  )
}

function isEntry(path: Path): boolean {
  return path[0] === 'services' && (path.length === 2 || (path.length === 4 && path[2] === 'users'))
}

function ownValue(mapping: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(mapping, name) ? mapping[name] : undefined
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
