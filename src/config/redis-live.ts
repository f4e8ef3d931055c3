/** What a reload changes of a Redis service; part of compare.ts, whose table says what is live. */
import type { RedisServiceConfig, RedisSideConfig, RedisUserEntry } from './schema.ts'

export function liveRedisService(
  running: RedisServiceConfig,
  next: RedisServiceConfig,
): RedisServiceConfig {
  const { users: _users, ...rest } = running
  return Object.freeze({
    ...rest,
    ...(next.users === undefined ? {} : { users: liveUsers(running.users ?? {}, next.users) }),
    limits: next.limits,
    subscribers: next.subscribers,
    pool: Object.freeze({ ...next.pool, mode: running.pool.mode }),
    route: Object.freeze({ ...running.route, readAfterWriteMs: next.route.readAfterWriteMs }),
    source: liveSide(running.source, next.source),
    target: liveSide(running.target, next.target),
  })
}

type Users = Readonly<Record<string, RedisUserEntry>>

/** Users come and go; one who stays keeps the roles in which his servers are logged in. */
function liveUsers(running: Users, next: Users): Record<string, RedisUserEntry> {
  return Object.freeze(
    Object.fromEntries(
      Object.entries(next).map(([name, user]) => {
        const known = Object.hasOwn(running, name) ? running[name] : undefined
        return [name, known === undefined ? user : liveUser(known, user)]
      }),
    ),
  )
}

function liveUser(running: RedisUserEntry, next: RedisUserEntry): RedisUserEntry {
  const source = liveCredentials(running.source, next.source)
  const target = liveCredentials(running.target, next.target)
  return Object.freeze({
    ...(next.verifier === undefined ? {} : { verifier: next.verifier }),
    ...(source === undefined ? {} : { source }),
    ...(target === undefined ? {} : { target }),
  })
}

type Credentials = RedisUserEntry['source']

function liveCredentials(running: Credentials, next: Credentials): Credentials {
  const { user: _user, ...rest } = next ?? {}
  const user = running?.user
  if (user === undefined && Object.keys(rest).length === 0) return undefined
  return Object.freeze({ ...rest, ...(user === undefined ? {} : { user }) })
}

function liveSide(running: RedisSideConfig, next: RedisSideConfig): RedisSideConfig {
  const { password: _password, auth: _auth, ...rest } = running
  const { password, auth, connectTimeoutMs } = next
  return Object.freeze({
    ...rest,
    connectTimeoutMs,
    ...(password === undefined ? {} : { password }),
    ...(auth === undefined ? {} : { auth }),
  })
}
