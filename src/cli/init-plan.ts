/**
 * What `pontoon init` makes of the application's URL: the values of the first configuration, the
 * URL that the application uses from now on, and what its owner has to know. Pure; init.ts reads
 * and writes, init-file.ts renders.
 */
import { resolve } from 'node:path'
import { isLoopbackHost } from '../config/listen-address.ts'
import type { ServerTlsConfig } from '../config/schema.ts'
import type { DatabaseUrl } from './database-url.ts'

/** What the URL says about TLS; the rest has its defaults. */
export type InitTls = Omit<ServerTlsConfig, 'channelBinding' | 'negotiation'> &
  Partial<Pick<ServerTlsConfig, 'channelBinding' | 'negotiation'>>

export interface InitPlan {
  readonly service: string
  readonly listen: string
  readonly user: string
  readonly database: string
  /** Whether the application has a password; without one it is trusted, on loopback. */
  readonly hasPassword: boolean
  readonly source: { readonly host: string; readonly port: number; readonly tls: InitTls }
  readonly environment: readonly EnvironmentVariable[]
  /** For the application; the password is shown as `***`. */
  readonly url: string
  readonly notes: readonly string[]
}

export interface EnvironmentVariable {
  readonly name: string
  readonly meaning: string
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

const usualPort = 6432

export function planInit(url: DatabaseUrl, { env, cwd }: Surroundings): InitPlan {
  const notes: string[] = []
  const user = url.user ?? assumedUser(env, notes)
  const database = url.database ?? env['PGDATABASE'] ?? user
  const [first] = url.hosts
  const { host, port } = first ?? { host: 'localhost', port: 5432 }
  const hasPassword = url.password !== undefined || (env['PGPASSWORD'] ?? '') !== ''
  const listenPort = isLoopbackHost(host) && port === usualPort ? usualPort + 1 : usualPort
  noteHosts(url, notes)
  const source = { host, port, tls: sourceTls(url, host, cwd, notes) }
  noteOptions(url, notes)
  if (!hasPassword) {
    notes.push(
      'The URL has no password, so the service trusts whoever connects on loopback as ' +
        `${user}. Set clientAuth and a verifier if others use this machine.`,
    )
  }
  return {
    service: serviceName(database),
    listen: `localhost:${listenPort}`,
    user,
    database,
    hasPassword,
    source,
    environment: environment(hasPassword, url.password === undefined),
    url: newUrl(url, { user, database, hasPassword, port: listenPort }),
    notes,
  }
}

function assumedUser(env: Surroundings['env'], notes: string[]): string {
  const user = env['PGUSER'] ?? env['USER'] ?? env['LOGNAME'] ?? 'postgres'
  notes.push(`The URL names no user; ${user} is assumed, as libpq would.`)
  return user
}

function environment(hasPassword: boolean, inPgPassword: boolean): readonly EnvironmentVariable[] {
  const today = inPgPassword ? 'PGPASSWORD' : 'the URL (decoded, where it has %XX)'
  const passwords = [
    {
      name: 'CLIENT_PASSWORD',
      meaning: `password with which the application logs in to Pontoon: the one in ${today}`,
    },
    { name: 'SOURCE_PASSWORD', meaning: 'password on the source: today the same' },
  ]
  return [
    ...(hasPassword ? passwords : []),
    { name: 'TARGET_HOST', meaning: 'host name of the managed database' },
    { name: 'TARGET_PASSWORD', meaning: 'password on the managed database' },
  ]
}

function noteHosts({ hosts }: DatabaseUrl, notes: string[]): void {
  const [first, ...others] = hosts
  if (first === undefined || others.length === 0) return
  const names = others.map(({ host, port }) => `${host}:${port}`).join(', ')
  notes.push(
    `The URL lists several hosts; the source is the first, ${first.host}:${first.port}, and ` +
      `${names} is left out.`,
  )
}

const tlsModes: Readonly<Record<string, ServerTlsConfig['mode']>> = {
  disable: 'disable',
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
}

function sourceTls(url: DatabaseUrl, host: string, cwd: string, notes: string[]): InitTls {
  if (host.startsWith('/')) return { mode: 'disable' }
  const options = new Map(url.options)
  const ca = options.get('sslrootcert')
  const file = (name: 'cert' | 'key', option: string): Partial<InitTls> => {
    const path = options.get(option)
    return path === undefined ? {} : { [name]: resolve(cwd, path) }
  }
  return {
    mode: tlsMode(options, ca, notes),
    ...(ca === undefined || ca === 'system' ? {} : { ca: resolve(cwd, ca) }),
    ...file('cert', 'sslcert'),
    ...file('key', 'sslkey'),
    ...channelBinding(options.get('channel_binding')),
    ...(options.get('sslnegotiation') === 'direct' ? { negotiation: 'direct' as const } : {}),
  }
}

/** `prefer` is the default of both. */
function channelBinding(asked: string | undefined): Pick<InitTls, 'channelBinding'> {
  return asked === 'require' || asked === 'disable' ? { channelBinding: asked } : {}
}

function tlsMode(
  options: ReadonlyMap<string, string>,
  ca: string | undefined,
  notes: string[],
): ServerTlsConfig['mode'] {
  const asked = options.get('sslmode')
  if (asked === undefined) {
    // `sslrootcert=system` means verify-full by itself (libpq, since PostgreSQL 16).
    if (ca === 'system') return 'verify-full'
    return /^(?:true|1|require)$/.test(options.get('ssl') ?? '') ? 'require' : 'prefer'
  }
  const mode = tlsModes[asked]
  if (mode === undefined) {
    notes.push(`sslmode=${asked} is unknown; the source is asked for TLS with mode require.`)
    return 'require'
  }
  // With a root certificate, libpq's `require` verifies the chain as well.
  return mode === 'require' && ca !== undefined ? 'verify-ca' : mode
}

/** They concern the way to the source; between the application and Pontoon they mean nothing. */
const droppedOptions =
  /^(?:ssl.*|requiressl|channel_binding|require_auth|gssencmode|krbsrvname|gsslib|gssdelegation|target_session_attrs|load_balance_hosts|passfile)$/

function noteOptions(url: DatabaseUrl, notes: string[]): void {
  const options = new Map(url.options)
  const attributes = options.get('target_session_attrs')
  if (attributes !== undefined && attributes !== 'any' && attributes !== 'read-write') {
    notes.push(
      `target_session_attrs=${attributes} asks for a replica; Pontoon takes the writes as well ` +
        'and decides itself where reads go.',
    )
  }
  const dropped = [...options.keys()].filter((name) => droppedOptions.test(name))
  if (dropped.length > 0) {
    notes.push(
      'Not in the new URL, because they concern the way to the source, which Pontoon goes now: ' +
        `${dropped.join(', ')}.`,
    )
  }
}

interface NewPlace {
  readonly user: string
  readonly database: string
  readonly hasPassword: boolean
  readonly port: number
}

function newUrl(url: DatabaseUrl, place: NewPlace): string {
  const account = encodeURIComponent(place.user) + (url.password === undefined ? '' : ':***')
  const hadTls = url.options.some(([name]) => /^(?:ssl|sslmode|requiressl)$/.test(name))
  const options = [
    ...url.options.filter(([name]) => !droppedOptions.test(name)),
    // Said outright, for drivers that ask for TLS by themselves or remember that they did.
    ...(hadTls ? [['sslmode', 'disable'] as const] : []),
  ]
  const query = options
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join('&')
  const path = encodeURIComponent(place.database)
  return `${url.scheme}://${account}@localhost:${place.port}/${path}${query === '' ? '' : '?'}${query}`
}

/** A service name as the schema wants it, from the name of the database. */
export function serviceName(database: string): string {
  const plain = database
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 63)
    .replace(/-+$/, '')
  return plain === '' ? 'main' : plain
}
