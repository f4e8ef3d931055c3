/** SHOW CONFIG, VERSION, STATE and HELP, and the parameters that drivers ask for. */
import { postgresService, type ServiceConfig } from '../../../config/schema.ts'
import { commandComplete } from '../../../wire/pg/write.ts'
import { columnsOf, notice, table, type Row } from './result.ts'
import { statsPeriodMs } from './stats-window.ts'
import { listenPort, type ConsoleView } from './view.ts'

/** The PgBouncer whose tables these are; tools choose their columns by it. */
export const spokenVersion = '1.25.0'

/** PgBouncer's name, our value, and whether a reload changes it. */
type Setting = readonly [
  name: string,
  read: (config: ServiceConfig) => string | number,
  isLive: boolean,
]

/** The settings of PgBouncer that Pontoon has too; seconds where PgBouncer has seconds. */
const settings: readonly Setting[] = [
  ['admin_users', (config) => (config.consoleUsers ?? []).join(', '), true],
  ['auth_type', (config) => config.clientAuth.mode, false],
  ['client_login_timeout', (config) => seconds(config.limits.loginTimeoutMs), true],
  ['client_tls_sslmode', (config) => config.clientTls.mode, false],
  ['default_pool_size', (config) => config.pool.size, true],
  ['listen_addr', (config) => [config.listen].flat().join(', '), false],
  ['max_client_conn', (config) => config.limits.clientsMax, true],
  ['max_packet_size', (config) => config.limits.messageBytesMax, true],
  // 0: no limit of this kind, as in PgBouncer.
  ['client_idle_timeout', (config) => seconds(config.limits.clientIdleMs ?? 0), true],
  ['idle_transaction_timeout', (config) => seconds(config.limits.idleInTransactionMs ?? 0), true],
  ['max_db_client_connections', (config) => config.limits.clientsPerDatabaseMax ?? 0, true],
  ['max_db_connections', (config) => config.pool.serversPerDatabaseMax ?? 0, true],
  ['max_user_client_connections', (config) => config.limits.clientsPerUserMax ?? 0, true],
  ['max_user_connections', (config) => config.pool.serversPerUserMax ?? 0, true],
  ['min_pool_size', (config) => config.pool.minSize, true],
  ['query_timeout', (config) => seconds(config.limits.queryTimeoutMs ?? 0), true],
  ['transaction_timeout', (config) => seconds(config.limits.transactionTimeoutMs ?? 0), true],
  ['pool_mode', (config) => config.pool.mode, false],
  ['query_wait_timeout', (config) => seconds(config.pool.queueTimeoutMs), true],
  ['server_connect_timeout', (config) => seconds(config.source.connectTimeoutMs), true],
  ['server_idle_timeout', (config) => seconds(config.pool.idleTimeoutMs), true],
  ['server_lifetime', (config) => seconds(config.pool.maxLifetimeMs), true],
  ['server_tls_sslmode', (config) => config.source.tls.mode, false],
  ['stats_period', () => seconds(statsPeriodMs), false],
  ['stats_users', (config) => (config.statsUsers ?? []).join(', '), true],
]

export function showConfig(view: ConsoleView): Buffer[] {
  const defaults = postgresService.parse({
    protocol: 'postgres',
    listen: '127.0.0.1:6432',
    source: { host: 'source' },
    target: { host: 'target' },
  })
  const rows: Row[] = settings.map(([name, read, isLive]) => [
    name,
    read(view.context.config),
    name === 'listen_addr' ? null : read(defaults),
    isLive ? 'yes' : 'no',
  ])
  rows.push(['listen_port', listenPort(view), null, 'no'])
  return table(
    columnsOf('text', 'key value default changeable'),
    rows.toSorted(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
  )
}

export function showVersion(view: ConsoleView): Buffer[] {
  const version = `PgBouncer ${spokenVersion} (console of Pontoon ${view.version})`
  return table([['version', 'text']], [[version]])
}

export function showState({ context: { gate } }: ConsoleView): Buffer[] {
  return table(columnsOf('text', 'key value'), [
    ['active', gate.isOpen ? 'yes' : 'no'],
    ['paused', gate.isOpen ? 'no' : 'yes'],
    ['suspended', 'no'],
  ])
}

const help = `
	SHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
	SHOW LISTS|STATE|STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
	PAUSE [<db>]
	RESUME [<db>]
	RECONNECT [<db>]
	KILL <db>
	KILL_CLIENT <client_id>
	RELOAD
	SHUTDOWN
	SHUTDOWN WAIT_FOR_SERVERS`

export function showHelp(): Buffer[] {
  return [notice('Console usage', help), commandComplete('SHOW')]
}

/** Parameters of the session; the welcome reports the first seven. */
export const parameters: ReadonlyMap<string, string> = new Map([
  ['server_version', `${spokenVersion}/bouncer`],
  ['client_encoding', 'UTF8'],
  ['server_encoding', 'UTF8'],
  ['DateStyle', 'ISO'],
  ['TimeZone', 'GMT'],
  ['standard_conforming_strings', 'on'],
  ['is_superuser', 'on'],
  ['default_transaction_isolation', 'read committed'],
])

/** SHOW of a parameter that drivers ask for; null when it is none. */
export function showParameter(name: string): Buffer[] | null {
  for (const [known, value] of parameters)
    if (known.toLowerCase() === name) return table([[known, 'text']], [[value]])
  return null
}

function seconds(ms: number): number {
  return ms / 1_000
}
