/**
 * Makes of a new server what a client had on another one: who it is, its database and version, its
 * subscriptions. What comes for the client meanwhile is kept in its order; then the server is not
 * read until the client takes it. Neighbour: relocation.ts.
 */
import type { RedisServer } from '../../net/redis/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import type { ConnectionSetup } from './connection-setup.ts'
import { unreadBytesMax } from './limits.ts'
import { Subscriptions } from './subscriptions.ts'

/** What can be made of any server for a client. */
export interface MadeOfServer {
  readonly setup: ConnectionSetup
  readonly subscriptions: Subscriptions
}

/** A client without these would be somebody else, or somewhere else. */
const essential = /^(?:auth|hello|select)$/

export class Preparation implements TransportHandler {
  /** What the new server has confirmed. */
  readonly subscriptions = new Subscriptions()
  readonly #server: RedisServer
  readonly #wantedCount: number
  readonly #setupLeft: string[]
  readonly #framer = new ReplyFramer()
  readonly #ended: (failure: PontoonError | null) => void
  #frame: Buffer[] = []
  readonly #early: Buffer[] = []
  #earlyBytes = 0
  #isOver = false

  /** `ended` is called once, with what went wrong or null. */
  constructor(
    server: RedisServer,
    { setup, subscriptions }: MadeOfServer,
    ended: (failure: PontoonError | null) => void,
  ) {
    this.#server = server
    this.#ended = ended
    this.#wantedCount = subscriptions.size
    this.#setupLeft = setup.requests().map(([name]) => name)
    server.transport.handler = this
    const requests = [
      ...setup.requests().map(([, request]) => request),
      ...subscriptions.requests(),
    ]
    if (requests.length > 0) server.transport.sendOwned(Buffer.concat(requests))
    this.#lookIfDone()
  }

  /** What has come for the client; the rest follows from the server. */
  early(): Buffer {
    return Buffer.concat(this.#early)
  }

  onBytes(bytes: Buffer, end: number): void {
    try {
      let offset = 0
      while (offset < end && !this.#isOver) {
        const next = this.#framer.next(bytes, offset, end)
        const stop = next < 0 ? end : next
        this.#frame.push(Buffer.from(bytes.subarray(offset, stop)))
        offset = stop
        if (next >= 0) this.#take(Buffer.concat(this.#frame.splice(0)))
      }
      if (offset < end) this.#keep(Buffer.from(bytes.subarray(offset, end)))
    } catch (error) {
      this.#end(toPontoonError(error, 'SERVER_PROTOCOL'))
    }
  }

  onCongested(): void {
    // What is sent is small, and its replies are awaited.
  }

  onDrained(): void {
    // As above.
  }

  onClosed(error: Error | null): void {
    this.#end(toPontoonError(error ?? new Error('the server closed the connection'), 'SERVER_LOST'))
  }

  #take(frame: Buffer): void {
    const isError = frame[0] === marker.error
    const name = this.#setupLeft.shift()
    if (name !== undefined) {
      if (isError && essential.test(name)) this.#refused(name, frame)
    } else if (this.subscriptions.take(frame) === 'message') this.#keep(frame)
    else if (isError) this.#refused('a subscription', frame)
    this.#lookIfDone()
  }

  #keep(bytes: Buffer): void {
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes <= unreadBytesMax) return
    this.#end(new PontoonError('SIDE_LEFT', 'too much has come before the client could take it'))
  }

  #refused(what: string, reply: Buffer): void {
    const words = reply.toString('utf8', 1).trimEnd()
    this.#end(new PontoonError('SIDE_LEFT', `the new primary side refused ${what}: ${words}`))
  }

  #lookIfDone(): void {
    if (this.#setupLeft.length > 0 || this.subscriptions.size < this.#wantedCount) return
    if (!this.#isOver) this.#server.transport.pauseReading()
    this.#end(null)
  }

  #end(failure: PontoonError | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ended(failure)
  }
}
