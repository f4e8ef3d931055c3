/**
 * Where a listener binds: `address:port`, `localhost:port`, `[address]:port` or the full path of a
 * Unix socket. Pure text work; the binding itself is net's. cross-checks.ts uses it to find two
 * listeners on one address.
 *
 * `localhost` means both loopback addresses, because half of all drivers try ::1 first. Other
 * names are refused: what they resolve to may change between two starts. Port 0 takes any free
 * port, for tests.
 *
 * A Unix socket is given by its full path. libpq takes a folder and a port and looks for
 * `.s.PGSQL.<port>` in that folder, so `/run/pontoon/.s.PGSQL.6432` is what
 * `psql -h /run/pontoon -p 6432` finds.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { PontoonError } from '../shared/errors.ts'

export type ListenAddress =
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      /** A host without IPv6 may skip the ::1 half of `localhost`. */
      readonly optional: boolean
    }
  | { readonly kind: 'unix'; readonly path: string }

/** sun_path holds 108 bytes with its closing zero (unix(7)). */
const unixPathBytesMax = 107

/** One entry of the file; `localhost` gives two addresses. Throws CONFIG_INVALID. */
export function parseListenAddress(text: string): readonly ListenAddress[] {
  if (text.startsWith('/')) return [{ kind: 'unix', path: checkedSocketPath(text) }]
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text)
  if (match === null) throw invalid(text, hintFor(text))
  const port = Number(match[3])
  if (port > 65_535) throw invalid(text, 'a port is at most 65535')
  const [, bracketed, plain] = match
  if (bracketed !== undefined) {
    if (!isIPv6(bracketed)) throw invalid(text, 'only an IPv6 address stands in brackets')
    return [tcp(bracketed.toLowerCase(), port)]
  }
  const host = plain ?? ''
  if (host.toLowerCase() === 'localhost') {
    return [tcp('127.0.0.1', port), { ...tcp('::1', port), optional: true }]
  }
  if (host === '') throw invalid(text, `write 0.0.0.0:${port} or [::]:${port} for every address`)
  if (!isIPv4(host)) throw invalid(text, 'the host is an IP address or `localhost`')
  return [tcp(host, port)]
}

/** The whole `listen` value of a service. Throws CONFIG_INVALID. */
export function parseListen(value: string | readonly string[]): readonly ListenAddress[] {
  const texts = typeof value === 'string' ? [value] : value
  return texts.flatMap((text) => parseListenAddress(text))
}

export function formatListenAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path
  return isIPv6(address.host)
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`
}

/** Whether only this machine can reach it. */
export function isLoopback(address: ListenAddress): boolean {
  return address.kind === 'unix' || isLoopbackHost(address.host)
}

export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase()
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'))
}

/** Whether two listeners could not both be bound; `[::]` is bound for IPv6 only. */
export function overlaps(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') {
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path
  }
  if (one.port !== other.port || one.port === 0) return false
  return one.host === other.host || covers(one.host, other.host) || covers(other.host, one.host)
}

function covers(wildcard: string, host: string): boolean {
  return wildcard === '::' ? isIPv6(host) : wildcard === '0.0.0.0' && isIPv4(host)
}

function tcp(host: string, port: number): ListenAddress & { kind: 'tcp' } {
  return { kind: 'tcp', host, port, optional: false }
}

function checkedSocketPath(path: string): string {
  if (path.endsWith('/')) {
    throw invalid(path, `give the full path of the socket, as in ${path}.s.PGSQL.6432`)
  }
  if (Buffer.byteLength(path) > unixPathBytesMax) {
    throw invalid(path, `a Unix socket path has at most ${unixPathBytesMax} bytes`)
  }
  return path
}

function hintFor(text: string): string {
  if (/^\d+$/.test(text)) return `a port alone is not enough, write localhost:${text}`
  if (isIPv6(text) || (text.match(/:/g) ?? []).length > 1) {
    return 'an IPv6 address stands in brackets, as in [::1]:6432'
  }
  if (text.includes('/')) return 'a Unix socket path starts with /'
  return 'expected address:port, localhost:port, [address]:port or the path of a Unix socket'
}

function invalid(text: string, hint: string): PontoonError {
  return new PontoonError('CONFIG_INVALID', `cannot listen on "${text}": ${hint}`)
}
