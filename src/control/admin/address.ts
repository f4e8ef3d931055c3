/** Where the admin and probe listeners bind, and the URL that people can use for them. */
import type { AddressInfo } from 'node:net'
import { formatListenAddress, parseListenAddress } from '../../config/listen-address.ts'
import { PontoonError } from '../../shared/errors.ts'

export interface HttpAddress {
  /** As configured: `localhost` stays a name, because it means both loopback addresses. */
  readonly host: string
  readonly port: number
}

/** Throws CONFIG_INVALID; `path` names the place in the configuration. */
export function parseHttpListen(listen: string, path: string): HttpAddress {
  const [first] = parseListenAddress(listen)
  if (first === undefined || first.kind === 'unix') {
    throw new PontoonError('CONFIG_INVALID', `${path}: '${listen}' is not an address and port.`)
  }
  const isName = listen.toLowerCase().startsWith('localhost:')
  return { host: isName ? 'localhost' : first.host, port: first.port }
}

/** The URL of a bound listener. */
export function urlOf(
  bound: Pick<AddressInfo, 'address' | 'port'>,
  scheme: 'http' | 'https',
): string {
  const { address: host, port } = bound
  return `${scheme}://${formatListenAddress({ kind: 'tcp', host, port, optional: false })}`
}
