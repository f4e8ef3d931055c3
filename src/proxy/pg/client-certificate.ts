/**
 * Clients that prove themselves by their certificate (clientAuth mode `cert`). That it comes from
 * a CA we trust, the handshake has settled (net/tls.ts); here it is decided whose it is.
 */
import { TLSSocket } from 'node:tls'
import type { Carrier } from '../../net/carrier.ts'
import { PontoonError } from '../../shared/errors.ts'

/** The client's certificate; null when it has shown none. */
export function clientCertificate(socket: Carrier): CertificateNames | null {
  if (!(socket instanceof TLSSocket)) return null
  const certificate = socket.getPeerCertificate()
  return Object.keys(certificate).length === 0 ? null : certificate
}

/** What is looked at; node's own type promises a common name that need not be there. */
export interface CertificateNames {
  readonly subject?: object
  readonly subjectaltname?: string | undefined
}

/** Throws CLIENT_NOT_ALLOWED, in the server's own words, unless the certificate is the user's. */
export function checkCertificate(
  certificate: CertificateNames | null,
  user: string,
  map: Readonly<Record<string, string>> | undefined,
): void {
  if (certificate === null)
    throw new PontoonError('CLIENT_NOT_ALLOWED', 'connection requires a valid client certificate')
  const names = namesOf(certificate)
  const isTheirs =
    map === undefined
      ? user !== '' && names[0] === user
      : names.some((name) => Object.hasOwn(map, name) && map[name] === user)
  if (isTheirs) return
  throw new PontoonError(
    'CLIENT_NOT_ALLOWED',
    `certificate authentication failed for user "${user}"`,
  )
}

/** The common name first (empty when there is none, or several), then `DNS:…`, `URI:…`, `email:…`. */
function namesOf(certificate: CertificateNames): string[] {
  // With several common names, node gives an array: nobody can say which one counts.
  const { CN: commonName }: { readonly CN?: unknown } = certificate.subject ?? {}
  const first = typeof commonName === 'string' ? commonName : ''
  return [first, ...alternativeNames(certificate.subjectaltname ?? '')]
}

/**
 * `DNS:a, URI:b`; node quotes a value that could be mistaken for more than one (CVE-2021-44532).
 */
function alternativeNames(text: string): string[] {
  const names: string[] = []
  for (const [, kind = '', quoted, plain] of text.matchAll(
    /(?:^|, )([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^",]*))(?=, |$)/g,
  )) {
    const value: unknown = quoted === undefined ? plain : JSON.parse(quoted)
    if (typeof value === 'string' && value !== '') names.push(`${kind}:${value}`)
  }
  return names
}
