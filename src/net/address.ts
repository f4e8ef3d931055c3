import type { LookupFunction } from 'node:net'

/** Where a side can be reached: TCP by name or address, or a Unix socket. */
export interface Endpoint {
  /** Host name or address, or the folder of a Unix socket (it starts with a slash). */
  readonly host: string
  readonly port: number
  /** What it is for, in messages, such as `the source`. */
  readonly label?: string
  /** Finds the addresses of a name; default: that of the system. */
  readonly lookup?: LookupFunction | undefined
}

export function isUnixHost(host: string): boolean {
  return host.startsWith('/')
}

/** Path of the socket that a server with this port makes in `folder` (libpq's convention). */
export function unixSocketPath(folder: string, port: number): string {
  return `${folder}/.s.PGSQL.${port}`
}

export function endpointName(endpoint: Endpoint): string {
  const { host, port, label } = endpoint
  const place = isUnixHost(host) ? unixSocketPath(host, port) : `${host}:${port}`
  return label === undefined ? place : `${label} (${place})`
}
