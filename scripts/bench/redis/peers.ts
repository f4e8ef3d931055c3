/**
 * What redis-benchmark talks to: Redis itself, and the proxies in front of it, twemproxy.ts and
 * pontoon.ts. Neighbour: ../proxy-process.ts, which starts and ends them.
 */
import { connect } from 'node:net'
import type { RedisPeerName } from './options.ts'

export interface RedisPeer {
  readonly name: RedisPeerName
  readonly version: string
  readonly port: number
  /** The process whose CPU time counts as the proxy's; undefined for Redis itself. */
  readonly proxyPid: number | undefined
  log(): string
  stop(): Promise<void>
}

/** What a proxy must know to serve the same Redis under the same conditions. */
export interface RedisProxySettings {
  readonly redisPort: number
  /** The same server's port with TLS, and the authority of its certificate. */
  readonly redisTlsPort: number
  readonly caFile: string
  readonly poolSize: number
  readonly clientsMax: number
}

const startDeadlineMs = 20_000
const retryMs = 50

/** Resolves when a GET gets its reply; throws what went wrong last when that takes too long. */
export async function untilServing(port: number, isRunning: () => boolean): Promise<void> {
  const deadline = performance.now() + startDeadlineMs
  for (;;) {
    try {
      return await getOnce(port)
    } catch (error) {
      if (!isRunning()) throw new Error('the process ended', { cause: error })
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

function getOnce(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 5_000 })
    const end = (error: Error | undefined): void => {
      socket.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    socket.once('connect', () => socket.write('*2\r\n$3\r\nGET\r\n$7\r\npontoon\r\n'))
    socket.once('data', (bytes) => {
      const text = bytes.toString()
      end(text.startsWith('$') ? undefined : new Error(text))
    })
    socket.once('timeout', () => end(new Error('no reply to GET')))
    socket.once('error', end)
    socket.once('close', () => end(new Error('closed before a reply to GET')))
  })
}
