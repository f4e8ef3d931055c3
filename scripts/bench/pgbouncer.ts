/**
 * PgBouncer as Debian packages it, set up like Pontoon: transaction mode, the same pool size, no
 * logging of connections or queries, everybody trusted.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { giveTo, unprivilegedUser } from '../../test/support/system-user.ts'
import { proxyTarget, untilAnswering } from './peer.ts'
import type { Peer, ProxySettings } from './peer.ts'
import { makeProxyFolder, startProxy } from './proxy-process.ts'

const binary = '/usr/sbin/pgbouncer'
/** The default of PgBouncer 1.24 and later. */
const preparedStatementsMax = 200

export function pgbouncerVersion(): string {
  const line = execFileSync(binary, ['--version'], { encoding: 'utf8' })
  const version = /^PgBouncer (\d+\.\d+\.\d+)/m.exec(line)?.[1]
  if (version === undefined) throw new Error(`${binary} --version says: ${line}`)
  return version
}

/** Named prepared statements in transaction mode came with 1.21. */
export function knowsPrepared(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 1 || minor >= 21
}

export async function startPgbouncer(settings: ProxySettings): Promise<Peer> {
  const version = pgbouncerVersion()
  const user = unprivilegedUser()
  const port = await freePort()
  const folder = makeProxyFolder('pgbouncer', user)
  const configFile = join(folder, 'pgbouncer.ini')
  const userFile = join(folder, 'users.txt')
  writeFileSync(userFile, `"${settings.user}" ""\n`)
  writeFileSync(configFile, configuration(settings, port, userFile, version))
  giveTo(user, configFile, userFile)
  const target = proxyTarget(settings, port)
  const started = await startProxy({
    name: 'pgbouncer',
    command: binary,
    args: ['-q', configFile],
    folder,
    user,
    untilAnswering: (isRunning) => untilAnswering(target, isRunning),
  })
  return { name: 'pgbouncer', version, target, ...started }
}

function configuration(
  settings: ProxySettings,
  port: number,
  userFile: string,
  version: string,
): string {
  const prepared = knowsPrepared(version)
    ? `max_prepared_statements = ${preparedStatementsMax}\n`
    : ''
  return `[databases]
${settings.database} = host=127.0.0.1 port=${settings.postgresPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${userFile}
pool_mode = transaction
default_pool_size = ${settings.poolSize}
max_client_conn = ${settings.clientsMax}
server_tls_sslmode = ${settings.tlsServer ? 'require' : 'disable'}
log_connections = 0
log_disconnections = 0
log_stats = 0
verbose = 0
${prepared}`
}
