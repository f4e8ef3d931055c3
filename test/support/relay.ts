/**
 * A TCP relay that misbehaves on demand, to stand between an application and Pontoon or between
 * Pontoon and a database: delay, cut, stall, refuse, drop, corrupt, split. Neighbour:
 * relay-stream.ts, one direction of one connection.
 */
import { createServer, connect } from 'node:net'
import type { Server, Socket } from 'node:net'
import { listenLocally } from './listen.ts'
import { RelayStream } from './relay-stream.ts'
import type { Faults } from './relay-stream.ts'

/** `up`: from the client to the destination. */
export type Direction = 'up' | 'down'
export type Directions = Direction | 'both'

export interface RelayOptions {
  readonly to: { readonly host: string; readonly port: number } | { readonly path: string }
  /** Default: any free port of 127.0.0.1. */
  readonly port?: number
}

interface Pair {
  readonly client: Socket
  readonly destination: Socket
  readonly streams: Readonly<Record<Direction, RelayStream>>
}

export async function startRelay(options: RelayOptions): Promise<Relay> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  const relay = new Relay(options, server)
  await relay.listen(options.port ?? 0)
  return relay
}

export class Relay {
  readonly host = '127.0.0.1'
  /** Bytes passed on so far, over all connections. */
  readonly bytes: Record<Direction, number> = { up: 0, down: 0 }
  /** Connections taken so far, the refused ones too. */
  accepted = 0
  readonly #to: RelayOptions['to']
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #faults: Record<Direction, Faults> = { up: noFaults(), down: noFaults() }
  #port = 0
  #refusing = false

  /** Made by startRelay only. */
  constructor(options: RelayOptions, server: Server) {
    this.#to = options.to
    this.#server = server
    server.on('connection', (client: Socket) => this.#accept(client))
  }

  get port(): number {
    return this.#port
  }

  get connections(): number {
    return this.#pairs.size
  }

  async listen(port: number): Promise<void> {
    this.#port = await listenLocally(this.#server, port, this.host)
  }

  /** Every byte is passed on this much later, in each of the directions. 0 ends it. */
  delay(delayMs: number, directions: Directions = 'both'): void {
    this.#change(directions, (faults) => (faults.delayMs = delayMs))
  }

  /** Holds what comes, as a dead link does: nothing is lost, nothing arrives. Until resume(). */
  stall(directions: Directions = 'both'): void {
    this.#change(directions, (faults) => (faults.stalled = true))
  }

  resume(directions: Directions = 'both'): void {
    this.#change(directions, (faults) => (faults.stalled = false))
  }

  /** How many connections have something waiting in that direction. */
  holding(direction: Direction): number {
    return [...this.#pairs].filter(({ streams }) => streams[direction].isHolding).length
  }

  /** Passes `bytes` more of each connection in that direction and loses the rest silently. */
  dropAfterBytes(bytes: number | undefined, directions: Directions = 'both'): void {
    this.#changeAtOffset(directions, (faults) => (faults.dropAfterBytes = bytes))
  }

  /** Flips every bit of the byte at this offset, counted per connection from now on. */
  corruptByteAt(offset: number | undefined, directions: Directions = 'both'): void {
    this.#changeAtOffset(directions, (faults) => (faults.corruptByteAt = offset))
  }

  /** Resets a connection when so many more bytes of it have passed in that direction. */
  cutAfterBytes(bytes: number | undefined, directions: Directions = 'both'): void {
    this.#changeAtOffset(directions, (faults) => (faults.cutAfterBytes = bytes))
  }

  /** Passes every chunk on in pieces of n bytes, each with a segment of its own. */
  splitEvery(bytes: number | undefined, directions: Directions = 'both'): void {
    this.#change(directions, (faults) => (faults.splitEvery = bytes))
  }

  /** New connections are reset at once; the ones that are there stay. */
  refuse(refusing = true): void {
    this.#refusing = refusing
  }

  /** Resets every connection on both sides (RST, not FIN). Returns how many. */
  cut(): number {
    const pairs = [...this.#pairs]
    for (const pair of pairs) this.#reset(pair)
    return pairs.length
  }

  /** Back to a plain relay; what was stalled flows on. */
  heal(): void {
    this.#refusing = false
    this.#change('both', (faults) => Object.assign(faults, noFaults()))
  }

  async close(): Promise<void> {
    this.cut()
    if (!this.#server.listening) return
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(client: Socket): void {
    this.accepted += 1
    if (this.#refusing) {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    // Read now and by name: a server's port may be a getter, which spreading would lose.
    const to = this.#to
    const address = 'path' in to ? { path: to.path } : { host: to.host, port: to.port }
    const destination = connect({ ...address, allowHalfOpen: true, noDelay: true })
    client.setNoDelay(true)
    const cut = (): void => this.#reset(pair)
    const pair: Pair = {
      client,
      destination,
      streams: {
        up: new RelayStream(client, destination, this.#faults.up, this.#counter('up'), cut),
        down: new RelayStream(destination, client, this.#faults.down, this.#counter('down'), cut),
      },
    }
    this.#pairs.add(pair)
    for (const socket of [client, destination]) {
      socket.on('error', cut)
      socket.on('close', () => {
        if (client.destroyed && destination.destroyed) this.#pairs.delete(pair)
      })
    }
    client.resume()
  }

  #counter(direction: Direction): (bytes: number) => void {
    return (bytes) => (this.bytes[direction] += bytes)
  }

  #reset(pair: Pair): void {
    this.#pairs.delete(pair)
    for (const stream of Object.values(pair.streams)) stream.end()
    for (const socket of [pair.client, pair.destination]) {
      if (socket.destroyed) continue
      // A reset amid a shutdown fails and leaves a handle behind that Node waits for at its exit.
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  /** For faults at an offset: it counts from now on. */
  #changeAtOffset(directions: Directions, change: (faults: Faults) => void): void {
    for (const pair of this.#pairs) {
      if (directions !== 'down') pair.streams.up.countFromHere()
      if (directions !== 'up') pair.streams.down.countFromHere()
    }
    this.#change(directions, change)
  }

  #change(directions: Directions, change: (faults: Faults) => void): void {
    for (const direction of ['up', 'down'] as const) {
      if (directions !== 'both' && directions !== direction) continue
      change(this.#faults[direction])
      for (const pair of this.#pairs) pair.streams[direction].flow()
    }
  }
}

function noFaults(): Faults {
  return {
    delayMs: 0,
    stalled: false,
    dropAfterBytes: undefined,
    cutAfterBytes: undefined,
    corruptByteAt: undefined,
    splitEvery: undefined,
  }
}
