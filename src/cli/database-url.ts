/**
 * Reads the connection URL of an application as libpq does (PostgreSQL documentation, 34.1.1.2),
 * with what other drivers added to it. Not a job for the URL class: libpq's URLs have lists of
 * hosts, sockets as hosts, and passwords that no browser would take. Used by init.ts.
 */
import { redactUrl } from '../config/redact.ts'
import { PontoonError } from '../shared/errors.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface DatabaseUrl {
  /** As written, e.g. `postgresql+psycopg2`. */
  readonly scheme: string
  /** Name and password decoded; undefined where the URL says nothing. */
  readonly user: string | undefined
  readonly password: string | undefined
  /** At least one; a host that starts with a slash is the folder of a Unix socket. */
  readonly hosts: readonly HostPort[]
  readonly database: string | undefined
  /** The query, decoded, in order, without what is said above. */
  readonly options: readonly (readonly [name: string, value: string])[]
}

const pattern =
  /^((?:postgres|postgresql)(?:\+[a-z0-9]+)?):\/\/(?:([^/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i

const defaultHost = 'localhost'
const defaultPort = 5432

export function isDatabaseUrl(text: string): boolean {
  return /^(?:postgres|postgresql)(?:\+[a-z0-9]+)?:\/\//i.test(text)
}

/** Throws USAGE. The message shows the URL without its password. */
export function parseDatabaseUrl(url: string): DatabaseUrl {
  const match = pattern.exec(url.trim())
  if (match === null) throw wrong(url, 'expected postgres://user:password@host:port/database')
  const [, scheme = '', account, hostPart = '', path, query] = match
  const options = parseQuery(url, query ?? '')
  const [user, password] = parseAccount(url, account)
  const named = new Map(options)
  if (named.has('service')) throw wrong(url, 'it names a service file, which init does not read')
  return {
    scheme: scheme.toLowerCase(),
    user: named.get('user') ?? user,
    password: named.get('password') ?? password,
    hosts: parseHosts(url, hostPart, named),
    database: nonEmpty(named.get('dbname') ?? decode(url, path ?? '')),
    options: options.filter(([name]) => !placeOptions.has(name)),
  }
}

/** What says where to connect and as whom; the rest goes with the application. */
const placeOptions: ReadonlySet<string> = new Set([
  'user',
  'password',
  'host',
  'hostaddr',
  'port',
  'dbname',
])

function parseAccount(
  url: string,
  account: string | undefined,
): readonly [user: string | undefined, password: string | undefined] {
  if (account === undefined) return [undefined, undefined]
  const colon = account.indexOf(':')
  if (colon < 0) return [nonEmpty(decode(url, account)), undefined]
  const password = nonEmpty(decode(url, account.slice(colon + 1)))
  return [nonEmpty(decode(url, account.slice(0, colon))), password]
}

function parseHosts(
  url: string,
  hostPart: string,
  named: ReadonlyMap<string, string>,
): readonly HostPort[] {
  const inQuery = named.get('host') ?? named.get('hostaddr')
  const ports = (named.get('port') ?? '').split(',')
  if (inQuery !== undefined) {
    return inQuery.split(',').map((host, index) => ({
      host: host === '' ? defaultHost : host,
      port: parsePort(url, ports[index] ?? ports[0]),
    }))
  }
  return hostPart.split(',').map((text, index) => {
    const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(text)
    if (match === null) throw wrong(url, `"${text}" is no host:port; IPv6 stands in brackets`)
    const host = match[1] ?? decode(url, match[2] ?? '')
    const port = nonEmpty(match[3]) ?? ports[index] ?? ports[0]
    return { host: host === '' ? defaultHost : host, port: parsePort(url, port) }
  })
}

function parsePort(url: string, text: string | undefined): number {
  if (text === undefined || text === '') return defaultPort
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw wrong(url, `"${text}" is no port`)
  return port
}

function parseQuery(
  url: string,
  query: string,
): readonly (readonly [name: string, value: string])[] {
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 0) return [decode(url, pair), ''] as const
      return [decode(url, pair.slice(0, equals)), decode(url, pair.slice(equals + 1))] as const
    })
}

/** A `+` stays a plus, as in libpq. */
function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong(url, 'a % is not followed by two hexadecimal digits; write %25 for a %')
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

function wrong(url: string, why: string): PontoonError {
  return new PontoonError('USAGE', `cannot read the URL ${redactUrl(url)}: ${why}`)
}
