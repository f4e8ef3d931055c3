/**
 * A connection to a side, encrypted as configured: what a login (login.ts) and a cancel request
 * (server.ts) begin with.
 */
import type { Socket } from 'node:net'
import { PontoonError } from '../../shared/errors.ts'
import { alpnProtocol } from '../../wire/pg/protocol.ts'
import { sslRequest } from '../../wire/pg/write.ts'
import { endpointName, isUnixHost, type Endpoint } from '../address.ts'
import { dial, type Dialled } from '../dial.ts'
import { upgradeToServer, type ServerTls } from '../tls.ts'

export interface Connected {
  readonly socket: Socket
  /** Directs what arrives from now on; null for a TLS socket, which has 'data' events. */
  readonly dialled: Dialled | null
}

/** Rejects with what went wrong; then nothing stays open. `timeoutMs` is for all of it. */
export async function connectSide(
  endpoint: Endpoint,
  tls: ServerTls,
  timeoutMs: number,
): Promise<Connected> {
  const deadlineMs = performance.now() + timeoutMs
  const dialled = await dial(endpoint, timeoutMs)
  if (tls.mode === 'disable' || isUnixHost(endpoint.host))
    return { socket: dialled.socket, dialled }
  const left = (): number => Math.max(1, deadlineMs - performance.now())
  const name = endpointName(endpoint)
  try {
    if (tls.negotiation === 'direct')
      return { socket: await directTls(dialled, tls, name, left()), dialled: null }
    if (await askForTls(dialled, name, left()))
      return { socket: await upgradeToServer(dialled.socket, tls, name, left()), dialled: null }
    if (tls.mode === 'prefer') return { socket: dialled.socket, dialled }
    throw new PontoonError('TLS_REFUSED', `${name} does not offer TLS, but tls.mode is ${tls.mode}`)
  } catch (error) {
    dialled.socket.destroy()
    throw error
  }
}

/**
 * The handshake is the first thing on the wire. Without the name agreed on, whoever answers may be
 * no PostgreSQL at all (the ALPACA attack), so the connection is given up, as libpq does.
 */
async function directTls(
  { socket }: Dialled,
  tls: ServerTls,
  name: string,
  timeoutMs: number,
): Promise<Socket> {
  const secure = await upgradeToServer(socket, tls, name, timeoutMs)
  if (secure.alpnProtocol === alpnProtocol) return secure
  secure.destroy()
  throw new PontoonError(
    'TLS_FAILED',
    `${name} did not agree on ALPN ${alpnProtocol}: tls.negotiation direct needs PostgreSQL 17 or newer`,
  )
}

/** Sends SSLRequest. Anything after the one-byte answer was injected before TLS (CVE-2021-23222). */
function askForTls(dialled: Dialled, name: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const { socket } = dialled
    const timer = setTimeout(() => {
      const text = `${name} did not answer SSLRequest within ${Math.round(timeoutMs)} ms`
      fail(new PontoonError('CONNECT_TIMEOUT', text))
    }, timeoutMs)
    const fail = (error: Error): void => {
      finish()
      reject(error)
    }
    const onClose = (): void =>
      fail(new PontoonError('CONNECT_FAILED', `${name} closed the connection at SSLRequest`))
    const onError = (error: Error): void =>
      fail(new PontoonError('CONNECT_FAILED', `${name}: ${error.message}`, { cause: error }))
    const finish = (): void => {
      clearTimeout(timer)
      socket.removeListener('close', onClose)
      socket.removeListener('error', onError)
    }
    socket.on('close', onClose)
    socket.on('error', onError)
    dialled.deliverTo({
      receive: (bytes, end) => {
        if (end !== 1 || (bytes[0] !== 0x53 && bytes[0] !== 0x4e)) {
          const text = `${name} gave a wrong answer to SSLRequest: is it PostgreSQL?`
          fail(new PontoonError('SERVER_PROTOCOL', text))
          return
        }
        finish()
        resolve(bytes[0] === 0x53)
      },
    })
    socket.write(sslRequest)
  })
}
