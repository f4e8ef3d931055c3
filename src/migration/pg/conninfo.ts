/**
 * How the server of one side reaches the other: the text behind CONNECTION of a subscription. It
 * is libpq of that server that reads it, so names and files are as that server sees them.
 */
import { isIP } from 'node:net'
import type { SideConfig } from '../../config/schema.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'
import { databaseOf, roleOf, type MigrationContext } from './side-login.ts'

export interface ConninfoOptions {
  /** What pg_stat_replication of the publisher shows, after `pontoon `. */
  readonly task: string
  /** Of the server that will connect: what its libpq knows. Default: what 13 knows. */
  readonly subscriberMajor?: number
}

/**
 * Leads to the database of `publisherSide`, as its replication role. Holds the password: never to
 * be printed. Rejects with CONFIG_INVALID where a server cannot log in in that way, or
 * SECRET_UNAVAILABLE.
 */
export async function conninfo(
  context: MigrationContext,
  publisherSide: Side,
  { task, subscriberMajor = 13 }: ConninfoOptions,
): Promise<string> {
  const side = context.config[publisherSide]
  const role = roleOf(context.config, publisherSide, 'replication')
  if (role.auth !== undefined) {
    throw new PontoonError(
      'CONFIG_INVALID',
      `${publisherSide}: a subscription cannot log in with an IAM token, which ends after 15 ` +
        'minutes: set replicationUser with a password',
    )
  }
  const { user } = role
  const secret = context.secrets.of(role, { host: side.host, port: side.port, user })
  const password = typeof secret === 'object' ? await secret.get() : secret
  const values: Readonly<Record<string, string | undefined>> = {
    ...address(side),
    dbname: databaseOf(context, publisherSide),
    user,
    password,
    application_name: `pontoon ${task}`,
    connect_timeout: String(Math.max(2, Math.ceil(side.connectTimeoutMs / 1_000))),
    ...encryption(publisherSide, side, subscriberMajor),
  }
  return Object.entries(values)
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${quoted(value)}`]))
    .join(' ')
}

/** The text with its password replaced, for people. */
export function redactConninfo(text: string): string {
  return text.replace(/password='(?:[^'\\]|\\.)*'/, "password='***'")
}

/** `servername` of the configuration can be verified only where the host is an address. */
function address(side: SideConfig): Readonly<Record<string, string>> {
  const host = side.hostSeenFromOtherSide ?? side.host
  const port = String(side.portSeenFromOtherSide ?? side.port)
  const { servername } = side.tls
  if (servername !== undefined && isIP(host) !== 0)
    return { host: servername, hostaddr: host, port }
  return { host, port }
}

function encryption(
  name: Side,
  side: SideConfig,
  subscriberMajor: number,
): Readonly<Record<string, string | undefined>> {
  const seen = side.tlsSeenFromOtherSide ?? {}
  const mode = seen.mode ?? side.tls.mode
  if (mode === 'disable') return { sslmode: mode }
  const binding = side.tls.channelBinding === 'require' && subscriberMajor >= 13
  const values = {
    sslmode: mode,
    sslcert: seen.cert,
    sslkey: seen.key,
    channel_binding: binding ? 'require' : undefined,
  }
  if (!mode.startsWith('verify-')) return values
  return { ...values, sslrootcert: authorities(name, side, subscriberMajor) }
}

/** A file of the server that connects, or `system` for its operating system's authorities (16). */
function authorities(name: Side, side: SideConfig, subscriberMajor: number): string {
  const own = side.tlsSeenFromOtherSide?.ca
  if (own !== undefined) return own
  const { ca } = side.tls
  if (ca !== undefined && ca !== 'aws-rds') return ca
  if (ca === undefined && subscriberMajor >= 16) return 'system'
  throw new PontoonError(
    'CONFIG_INVALID',
    `${name}: the server of the other side verifies the certificate of this one and needs the ` +
      'CAs as a file of its own: set tlsSeenFromOtherSide.ca to its path there',
  )
}

/** Values as libpq reads them (PostgreSQL documentation, 34.1.1.1). */
function quoted(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
