/**
 * What carries the bytes of a connection: a socket of Node, plain or TLS, or a bare one
 * (bare-socket.ts). This is what their users may ask of either.
 */
export interface Carrier {
  readonly destroyed: boolean
  readonly bytesRead: number
  /** Undefined for a Unix socket and once it is closed. */
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'close' | 'end', listener: () => void): unknown
  once(event: 'close', listener: () => void): unknown
  /** Asks the system to notice a peer that is gone, after so long a silence. */
  setKeepAlive(on: boolean, afterMs: number): unknown
  /** Reads and drops, unless somebody has asked for the bytes. */
  resume(): unknown
  /** Sends `bytes` and closes our half. */
  end(): unknown
  end(bytes: Buffer): unknown
  destroy(error?: Error): unknown
}
