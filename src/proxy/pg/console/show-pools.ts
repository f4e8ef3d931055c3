/** SHOW POOLS, DATABASES, USERS and LISTS: sums over sessions and pools. */
import { userEntry } from '../credentials.ts'
import { columnsOf, table, type Columns, type Row } from './result.ts'
import { databaseNames, listenPort, ownName, secondsAndMicros, type ConsoleView } from './view.ts'

/** What clients of one database and user have, on both sides together. */
interface PoolSums {
  clientsActive: number
  clientsWaiting: number
  active: number
  beingCanceled: number
  idle: number
  probing: number
  connecting: number
  longestWaitMs: number
}

type Sums = Map<string, { database: string; user: string; sums: PoolSums }>

const poolColumns: Columns = [
  ...columnsOf('text', 'database user'),
  ...columnsOf('int4', 'cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req'),
  ...columnsOf('int4', 'sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested'),
  ...columnsOf('int4', 'sv_login maxwait maxwait_us'),
  ...columnsOf('text', 'pool_mode load_balance_hosts'),
]

/** One row for each database and user: a monitoring system takes the two for the key. */
export function showPools(view: ConsoleView): Buffer[] {
  const { mode } = view.context.config.pool
  const rows: Row[] = []
  for (const { database, user, sums } of poolSums(view).values()) {
    const { clientsActive, clientsWaiting, active, beingCanceled, idle, probing, connecting } = sums
    rows.push([
      database,
      user,
      clientsActive,
      clientsWaiting,
      0,
      0,
      active - beingCanceled,
      0,
      beingCanceled,
      idle,
      0,
      probing,
      connecting,
      ...secondsAndMicros(sums.longestWaitMs),
      mode,
      null,
    ])
  }
  const none = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
  rows.push([ownName, ownName, view.consoles.size, ...none, 'statement', null])
  return table(poolColumns, rows)
}

function poolSums(view: ConsoleView): Sums {
  const all: Sums = new Map()
  const now = view.context.clock.nowMs()
  for (const session of view.sessions) {
    const { database, user } = session.identity
    const sums = sumsOf(all, database, user)
    if (session.state === 'waiting' || session.state === 'parked') {
      sums.clientsWaiting += 1
      sums.longestWaitMs = Math.max(sums.longestWaitMs, session.snapshot(now).stateAgeMs)
    } else sums.clientsActive += 1
  }
  for (const { kind, existing } of view.pools.slots()) {
    if (existing === null) continue
    const sums = sumsOf(all, kind.database, kind.user)
    for (const { server, isOut } of existing.servers())
      if (isOut && server.cancelsInFlight > 0) sums.beingCanceled += 1
    sums.active += existing.outCount
    sums.idle += existing.idleCount
    sums.probing += existing.probingCount
    sums.connecting += existing.connectingCount
  }
  return all
}

function sumsOf(all: Sums, database: string, user: string): PoolSums {
  const key = JSON.stringify([database, user])
  let entry = all.get(key)
  if (entry === undefined) {
    const zero = { clientsActive: 0, clientsWaiting: 0, active: 0, beingCanceled: 0 }
    entry = {
      database,
      user,
      sums: { ...zero, idle: 0, probing: 0, connecting: 0, longestWaitMs: 0 },
    }
    all.set(key, entry)
  }
  return entry.sums
}

const databaseColumns: Columns = [
  ...columnsOf('text', 'name host'),
  ['port', 'int4'],
  ...columnsOf('text', 'database force_user'),
  ...columnsOf('int4', 'pool_size min_pool_size reserve_pool_size server_lifetime'),
  ...columnsOf('text', 'pool_mode load_balance_hosts'),
  ...columnsOf('int4', 'max_connections current_connections'),
  ...columnsOf('int4', 'max_client_connections current_client_connections paused disabled'),
]

/** Host, port and user are those of the primary side. */
export function showDatabases(view: ConsoleView): Buffer[] {
  const { config, route, gate } = view.context
  const side = config[route.primary]
  const lifetime = Math.round(config.pool.maxLifetimeMs / 1_000)
  const rows: Row[] = databaseNames(view).map((name) => [
    name,
    side.host,
    side.port,
    side.database ?? name,
    side.user ?? null,
    config.pool.size,
    config.pool.minSize,
    0,
    lifetime,
    null,
    null,
    config.pool.serversPerDatabaseMax ?? 0,
    serverCount(view, 'database', name),
    config.limits.clientsPerDatabaseMax ?? 0,
    clientCount(view, 'database', name),
    gate.isOpen ? 0 : 1,
    0,
  ])
  rows.push([
    ownName,
    null,
    listenPort(view),
    ownName,
    ownName,
    2,
    0,
    0,
    lifetime,
    'statement',
    null,
    0,
    0,
    0,
    view.consoles.size,
    0,
    0,
  ])
  return table(databaseColumns, rows)
}

const userColumns: Columns = [
  ['name', 'text'],
  ...columnsOf('int4', 'pool_size reserve_pool_size'),
  ['pool_mode', 'text'],
  ...columnsOf('int4', 'max_user_connections current_connections'),
  ...columnsOf('int4', 'max_user_client_connections current_client_connections'),
]

export function showUsers(view: ConsoleView): Buffer[] {
  const { config } = view.context
  const rows = [...userNames(view)].map((name) => [
    name,
    userEntry(config, name)?.poolSize ?? null,
    null,
    null,
    config.pool.serversPerUserMax ?? 0,
    serverCount(view, 'user', name),
    userEntry(config, name)?.clientsMax ?? config.limits.clientsPerUserMax ?? 0,
    clientCount(view, 'user', name),
  ])
  return table(userColumns, rows)
}

export function showLists(view: ConsoleView): Buffer[] {
  const consoles = view.consoles.size
  const rows: Row[] = [
    ['databases', databaseNames(view).length + 1],
    ['users', userNames(view).size],
    ['peers', 0],
    ['pools', poolSums(view).size + 1],
    ['peer_pools', 0],
    // Nothing is kept of connections that have ended.
    ['free_clients', 0],
    ['used_clients', view.sessions.size + consoles],
    ['login_clients', view.loginCount()],
    ['free_servers', 0],
    ['used_servers', serverCount(view, 'all', '')],
    ['dns_names', 0],
    ['dns_zones', 0],
    ['dns_queries', 0],
    ['dns_pending', 0],
  ]
  return table(
    [
      ['list', 'text'],
      ['items', 'int4'],
    ],
    rows,
  )
}

/** Configured users, those who are here, and the console itself. */
function userNames({ context: { config }, sessions }: ConsoleView): ReadonlySet<string> {
  const names = new Set(Object.keys(config.users ?? {}))
  for (const name of [...(config.consoleUsers ?? []), ...(config.statsUsers ?? [])]) names.add(name)
  for (const session of sessions) names.add(session.identity.user)
  return names.add(ownName)
}

function serverCount(
  { pools }: ConsoleView,
  by: 'database' | 'user' | 'all',
  name: string,
): number {
  let count = 0
  for (const { kind, existing } of pools.slots()) {
    if (existing === null || (by !== 'all' && kind[by] !== name)) continue
    const { outCount, idleCount, probingCount, connectingCount } = existing
    count += outCount + idleCount + probingCount + connectingCount
  }
  return count
}

function clientCount({ sessions }: ConsoleView, by: 'database' | 'user', name: string): number {
  let count = 0
  for (const { identity } of sessions) if (identity[by] === name) count += 1
  return count
}
