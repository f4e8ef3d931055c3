/**
 * What a reload changes: compares two configurations and says of each value whether it can change
 * while the process runs. Only what is listed here is live; everything else needs a restart, so
 * that a new field is never taken for live by accident. Paths only, never values: they may be
 * secrets.
 */
import { isDeepStrictEqual } from 'node:util'
import { formatPath, type Path } from './mistake.ts'
import type { Config } from './schema.ts'

export interface ConfigChanges {
  /** In force as soon as `liveConfig` is applied. */
  readonly live: readonly string[]
  /** In force after a restart. */
  readonly needRestart: readonly string[]
  /** Only say where a new service starts; the stored route of a known one counts. */
  readonly forNewServices: readonly string[]
}

type Effect = keyof ConfigChanges

const sides = ['source', 'target'] as const

/**
 * A `*` stands for one step. What a client logs in with and what a server is opened with counts
 * for the next login, so it is live; what is part of a pool's or a listener's identity is not.
 */
const effects: readonly (readonly [pattern: readonly string[], effect: Effect])[] = [
  [['log', 'level'], 'live'],
  [['drainTimeoutMs'], 'live'],
  [['admin', 'tokens'], 'live'],
  [['services', '*', 'databases'], 'live'],
  [['services', '*', 'users'], 'live'],
  [['services', '*', 'limits'], 'live'],
  [['services', '*', 'pool', 'mode'], 'needRestart'],
  [['services', '*', 'pool'], 'live'],
  [['services', '*', 'route', 'readAfterWriteMs'], 'live'],
  [['services', '*', 'route', 'phase'], 'forNewServices'],
  [['services', '*', 'route', 'reads'], 'forNewServices'],
  ...sides.flatMap((side) =>
    [['password'], ['connectTimeoutMs'], ['readUser'], ['controlUser'], ['replicationUser']].map(
      (rest) => [['services', '*', side, ...rest], 'live'] as const,
    ),
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
          return [name, asked === undefined ? service : liveService(service, asked)]
        }),
      ),
    ),
  })
}

type Service = Config['services'][string]
type Side = Service['source']

function liveService(running: Service, next: Service): Service {
  const { databases: _databases, users: _users, ...rest } = running
  return Object.freeze({
    ...rest,
    ...(next.databases === undefined ? {} : { databases: next.databases }),
    ...(next.users === undefined ? {} : { users: next.users }),
    limits: next.limits,
    pool: Object.freeze({ ...next.pool, mode: running.pool.mode }),
    route: Object.freeze({ ...running.route, readAfterWriteMs: next.route.readAfterWriteMs }),
    source: liveSide(running.source, next.source),
    target: liveSide(running.target, next.target),
  })
}

function liveSide(running: Side, next: Side): Side {
  const { password: _p, readUser: _r, controlUser: _c, replicationUser: _s, ...rest } = running
  return Object.freeze({
    ...rest,
    connectTimeoutMs: next.connectTimeoutMs,
    ...(next.password === undefined ? {} : { password: next.password }),
    ...(next.readUser === undefined ? {} : { readUser: next.readUser }),
    ...(next.controlUser === undefined ? {} : { controlUser: next.controlUser }),
    ...(next.replicationUser === undefined ? {} : { replicationUser: next.replicationUser }),
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

/** Leaves that differ; a list and a whole mapping that comes or goes count as one. */
function changedPaths(before: unknown, after: unknown, path: Path): readonly Path[] {
  if (isDeepStrictEqual(before, after)) return []
  if (!isMapping(before) || !isMapping(after)) return [path]
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].flatMap((name) => {
    const [one, other] = [ownValue(before, name), ownValue(after, name)]
    return changedPaths(one, other, [...path, name])
  })
}

function ownValue(mapping: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(mapping, name) ? mapping[name] : undefined
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
