/**
 * One logged-in connection to a side. It knows what it still owes and to whom (owed-replies.ts);
 * who uses it, one client or many at once, is decided in proxy/redis.
 */
import type { Clock } from '../../shared/clock.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import { command } from '../../wire/redis/write.ts'
import type { FlushQueue } from '../flush-queue.ts'
import type { Poolable } from '../pool-rules.ts'
import { Transport, type TransportHandler } from '../transport.ts'
import type { EndWait, RedisLoggedIn } from './login.ts'

const ping = command('PING')

export interface RedisServerOrigin {
  readonly side: Side
  readonly clock: Clock
  readonly flushes: FlushQueue
  /** Called when it is gone while nobody uses it. */
  readonly onLost: (server: RedisServer) => void
}

export class RedisServer implements Poolable {
  readonly side: Side
  /** Its id on the side; null when not told. */
  readonly clientId: string | null
  /** Null when what it waits for cannot be ended. */
  readonly endWait: EndWait | null
  readonly hello: Buffer | null
  /** Where it was reached; null for a cluster, which is in many places. */
  readonly address: string | null
  readonly openedAtMs: number
  /** Also when it has logged in again. */
  loggedInAtMs: number
  readonly transport: Transport
  idleSinceMs = 0
  #isClean = true
  readonly #idle: TransportHandler

  constructor(loggedIn: RedisLoggedIn, origin: RedisServerOrigin) {
    this.side = origin.side
    this.clientId = loggedIn.clientId
    this.endWait = loggedIn.endWait
    this.address = loggedIn.socket.remoteAddress ?? null
    this.hello = loggedIn.hello
    this.openedAtMs = origin.clock.nowMs()
    this.loggedInAtMs = this.openedAtMs
    this.#idle = idleHandler(this, origin.onLost)
    this.transport = new Transport(loggedIn.socket, origin.flushes, this.#idle).startReading()
  }

  get isUsable(): boolean {
    return this.#isClean && !this.transport.isClosed
  }

  /** It may carry state of a client: it is closed at its release. */
  spoil(): void {
    this.#isClean = false
  }

  /** PING, while nobody uses it. */
  probe(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const framer = new ReplyFramer()
      const finish = (error: Error | null): void => {
        clearTimeout(timer)
        if (!this.transport.isClosed) this.transport.handler = this.#idle
        if (error === null) resolve()
        else reject(error)
      }
      const timer = setTimeout(
        () => finish(new PontoonError('SERVER_LOST', 'no answer to PING')),
        timeoutMs,
      )
      this.transport.handler = {
        ...this.#idle,
        onBytes: (bytes, end) => {
          const isWhole = framer.next(bytes, 0, end) === end
          if (isWhole) finish(null)
          else if (!framer.isInside) this.transport.destroy()
        },
        onClosed: (error) => {
          finish(error ?? new PontoonError('SERVER_LOST', 'closed instead of an answer to PING'))
          this.#idle.onClosed(error)
        },
      }
      this.transport.sendOwned(ping)
    })
  }

  /** Nobody uses it: whatever it says now is not what we believe of it. */
  rest(): void {
    this.transport.handler = this.#idle
    this.transport.resumeReading()
  }

  close(): void {
    this.#isClean = false
    this.transport.end()
  }
}

function idleHandler(server: RedisServer, onLost: (server: RedisServer) => void): TransportHandler {
  return {
    onBytes: () => server.transport.destroy(),
    onCongested: () =>
      server.transport.destroy(new PontoonError('SERVER_LOST', 'an idle server reads nothing')),
    onDrained: () => undefined,
    onClosed: () => onLost(server),
  }
}
