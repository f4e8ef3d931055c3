/**
 * Opens a TCP or Unix socket to a side, with a deadline that covers name resolution too.
 * Reads of a plain socket go into a buffer that is used again (`onread`), which saves an
 * allocation and a pass through the stream machinery per read.
 */
import { connect, type Socket } from 'node:net'
import { PontoonError, type ErrorCode } from '../shared/errors.ts'
import { sharedReadBuffer } from './read-buffer.ts'
import { endpointName, isUnixHost, unixSocketPath, type Endpoint } from './address.ts'

/** Receives the reads of a socket; replaced once the owner is known. */
export interface ReadSink {
  receive(bytes: Buffer, end: number): void
}

export interface Dialled {
  readonly socket: Socket
  /** Where reads go from now on. Bytes that come before are an error of the caller. */
  deliverTo(sink: ReadSink): void
}

/** Rejects with DNS_FAILED, CONNECT_FAILED or CONNECT_TIMEOUT. */
export function dial(endpoint: Endpoint, timeoutMs: number): Promise<Dialled> {
  const name = endpointName(endpoint)
  let sink: ReadSink | null = null
  const onread = {
    buffer: sharedReadBuffer,
    callback: (end: number): boolean => {
      sink?.receive(sharedReadBuffer, end)
      return true
    },
  }
  const socket = isUnixHost(endpoint.host)
    ? connect({ path: unixSocketPath(endpoint.host, endpoint.port), onread })
    : connect({
        host: endpoint.host,
        port: endpoint.port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 30_000,
        autoSelectFamily: true,
        ...(endpoint.lookup === undefined ? {} : { lookup: endpoint.lookup }),
        onread,
      })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new PontoonError('CONNECT_TIMEOUT', `${name} did not answer within ${timeoutMs} ms`))
    }, timeoutMs)
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(
        new PontoonError(
          connectErrorCode(error),
          `cannot connect to ${name}: ${connectErrorText(error)}`,
          { cause: error },
        ),
      )
    })
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeAllListeners('error')
      resolve({
        socket,
        deliverTo: (next) => {
          sink = next
        },
      })
    })
  })
}

function connectErrorCode(error: NodeJS.ErrnoException): ErrorCode {
  const dns =
    error.syscall === 'getaddrinfo' || error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN'
  return dns ? 'DNS_FAILED' : 'CONNECT_FAILED'
}

/** An AggregateError (one failure per address of a name) has no message of its own. */
function connectErrorText(error: NodeJS.ErrnoException): string {
  if (error instanceof AggregateError) {
    return error.errors
      .map((one: unknown) => (one instanceof Error ? one.message : String(one)))
      .join('; ')
  }
  return error.message
}
