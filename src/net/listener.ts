/** Binds the listen addresses of a service and hands accepted sockets over. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import type { ListenAddress } from '../config/listen-address.ts'
import { PontoonError } from '../shared/errors.ts'
import { systemErrorCode } from '../shared/system-error.ts'
import { BareSocket } from './bare-socket.ts'
import type { Carrier } from './carrier.ts'
import { keepAliveSeconds, RawHandle } from './raw-handle.ts'

export class Listener {
  readonly #servers: Server[] = []
  readonly #onSocket: (socket: Carrier) => void

  constructor(onSocket: (socket: Carrier) => void) {
    this.#onSocket = onSocket
  }

  /** Binds all addresses or none. Throws LISTEN_IN_USE or LISTEN_FAILED. */
  async open(addresses: readonly ListenAddress[]): Promise<void> {
    try {
      for (const address of addresses) {
        // eslint-disable-next-line no-await-in-loop -- one after the other, so that errors name one address
        await this.#bind(address)
      }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Addresses really bound, for people. */
  get addresses(): readonly string[] {
    return this.#servers.map((server) => {
      const bound = server.address()
      if (bound === null || typeof bound === 'string') return bound ?? ''
      return bound.family === 'IPv6'
        ? `[${bound.address}]:${bound.port}`
        : `${bound.address}:${bound.port}`
    })
  }

  /** Stops accepting; accepted sockets live on. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
    )
  }

  /** Like close, without waiting for accepted sockets to end. */
  stopAccepting(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }

  async #bind(address: ListenAddress): Promise<void> {
    if (address.kind === 'unix') await removeStaleSocket(address.path)
    const server = createServer(
      // A client that closes its half still gets what it asked for.
      {
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveSeconds * 1_000,
      },
      this.#onSocket,
    )
    try {
      await listenOn(server, address, this.#portOfFirst(address))
    } catch (error) {
      // A host without IPv6 must still be able to use `localhost`.
      if (address.kind === 'tcp' && address.optional && systemErrorCode(error) !== 'EADDRINUSE')
        return
      throw listenError(error, address)
    }
    if (address.kind === 'unix') chmodSync(address.path, 0o777)
    RawHandle.acceptFrom(server, (raw) => this.#onSocket(new BareSocket(raw)))
    this.#servers.push(server)
  }

  /** With port 0 (tests), `localhost` must get the same free port on both families. */
  #portOfFirst(address: ListenAddress): number {
    if (address.kind === 'unix') return 0
    const first = this.#servers[0]?.address() ?? null
    const reuse =
      address.port === 0 && address.optional && first !== null && typeof first === 'object'
    return reuse ? first.port : address.port
  }
}

function listenOn(server: Server, address: ListenAddress, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const done = (): void => {
      server.removeListener('error', reject)
      // Running out of descriptors must not end the process; the client sees a refused connect.
      server.on('error', () => undefined)
      resolve()
    }
    if (address.kind === 'unix') server.listen({ path: address.path, backlog: 4_096 }, done)
    else
      server.listen(
        { host: address.host, port, backlog: 4_096, ipv6Only: address.host.includes(':') },
        done,
      )
  })
}

function listenError(error: unknown, address: ListenAddress): PontoonError {
  const name = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`
  if (systemErrorCode(error) === 'EADDRINUSE') {
    return new PontoonError('LISTEN_IN_USE', `cannot listen on ${name}: another process holds it`, {
      cause: error,
    })
  }
  return new PontoonError(
    'LISTEN_FAILED',
    `cannot listen on ${name}: ${error instanceof Error ? error.message : String(error)}`,
    {
      cause: error,
    },
  )
}

/** A socket file left by a killed process is removed; one that answers is not. */
async function removeStaleSocket(path: string): Promise<void> {
  const info = lstatSync(path, { throwIfNoEntry: false })
  if (info === undefined) return
  if (!info.isSocket())
    throw new PontoonError(
      'LISTEN_FAILED',
      `cannot listen on ${path}: the file exists and is no socket`,
    )
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (alive)
    throw new PontoonError('LISTEN_IN_USE', `cannot listen on ${path}: another process holds it`)
  unlinkSync(path)
}
