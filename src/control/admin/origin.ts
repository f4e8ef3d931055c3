/**
 * Host and Origin checks. A web page that the operator happens to have open can reach loopback:
 * directly (cross-site request) or by pointing its own name at 127.0.0.1 (DNS rebinding). Both
 * betray themselves in a header that a browser does not let the page choose.
 */
import { hostname } from 'node:os'
import { isIP } from 'node:net'
import { PontoonError } from '../../shared/errors.ts'
import { isLoopbackHost } from '../../config/listen-address.ts'

export interface RequestOrigin {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly site: string | undefined
  readonly method: string
}

/** Throws HOST_NOT_ALLOWED. `listenHost` is the host part of `admin.listen`. */
export function checkOrigin(request: RequestOrigin, listenHost: string): void {
  const host = hostNameOf(request.host)
  if (host === undefined || !isHostAllowed(host, listenHost)) {
    throw new PontoonError(
      'HOST_NOT_ALLOWED',
      `Host '${printable(request.host)}' is not a name of this listener; use its address.`,
    )
  }
  if (request.origin !== undefined && originHost(request.origin) !== request.host?.toLowerCase()) {
    throw new PontoonError(
      'HOST_NOT_ALLOWED',
      `Origin '${printable(request.origin)}' is another site than this listener.`,
    )
  }
  const changes = request.method !== 'GET' && request.method !== 'HEAD'
  if (changes && (request.site === 'cross-site' || request.site === 'same-site')) {
    throw new PontoonError('HOST_NOT_ALLOWED', 'A page of another site sent this request.')
  }
}

/**
 * A rebound name is always a name, so on other interfaces any literal address is sound; on
 * loopback only loopback's own are. The port is free: a forwarded one differs from ours.
 */
function isHostAllowed(host: string, listenHost: string): boolean {
  if (host === 'localhost' || host === listenHost.toLowerCase()) return true
  if (isLoopbackHost(listenHost)) return isLoopbackHost(host)
  return isIP(host) !== 0 || host === hostname().toLowerCase()
}

/** The host without port and brackets, or undefined when the header is not a plain one. */
function hostNameOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

function originHost(origin: string): string | undefined {
  try {
    const { protocol, host } = new URL(origin)
    return protocol === 'http:' || protocol === 'https:' ? host : undefined
  } catch {
    return undefined
  }
}

function printable(header: string | undefined): string {
  return (header ?? '').slice(0, 100)
}
