/**
 * One connection that only listens, on behalf of many sessions (shared-listener.ts). LISTEN and
 * UNLISTEN are sent as simple queries, answered in order; what else a server may say is passed
 * over. It is the handler of its server's transport for the whole of its life.
 */
import { serverMajor } from '../../net/pg/reported.ts'
import type { PgServer } from '../../net/pg/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'
import { backend, headerBytes } from '../../wire/pg/protocol.ts'
import { readError, readNotification } from '../../wire/pg/read.ts'
import { queryMessage } from '../../wire/pg/write.ts'
import type { Notification } from './listen-successor.ts'
import { identifier, literal } from './settings.ts'

/** Longest message of a server that only listens: a payload has at most 8,000 bytes. */
const messageBytesMax = 64 * 1024

export interface ListenEvents {
  onNotification(notification: Notification): void
  /** It is gone; nothing follows. */
  onLost(why: string): void
}

export class ListenConnection implements TransportHandler {
  readonly #events: ListenEvents
  #server: PgServer | null = null
  #carry: Buffer | null = null
  /** What was asked and not answered, oldest first: what is to be done at the answer, if anything. */
  readonly #asked: ((() => void) | null)[] = []
  #refusal = ''
  #isOver = false
  /** Something has come since the last probe. */
  #hasHeard = true

  constructor(events: ListenEvents) {
    this.#events = events
  }

  /** The server it was made for (`Sides.open` asks for the handler first). */
  attach(server: PgServer): void {
    this.#server = server
    // It is idle by nature: what the role allows its idle sessions must not end it.
    if (serverMajor(server.reported) >= 14) this.#ask('SET idle_session_timeout = 0', null)
  }

  get side(): Side | null {
    return this.#server?.side ?? null
  }

  /** `then` is called as soon as the server listens to the channel. */
  listen(channel: string, then: () => void): void {
    this.#ask(`LISTEN ${identifier(channel)}`, then)
  }

  unlisten(channel: string): void {
    this.#ask(`UNLISTEN ${identifier(channel)}`, null)
  }

  notify(channel: string, payload: string): void {
    this.#ask(`NOTIFY ${identifier(channel)}, ${literal(payload)}`, null)
  }

  /** `then` is called when all that was notified before now has been told. */
  drain(then: () => void): void {
    this.#ask('', then)
  }

  /** A link that has died without a word is found by asking for an answer. */
  probe(): void {
    if (!this.#hasHeard) {
      this.lose('it does not answer')
      return
    }
    this.#hasHeard = false
    this.#ask('', null)
  }

  /** Before it has a server nothing is sent, so no answer comes: its owner asks again then. */
  #ask(sql: string, then: (() => void) | null): void {
    if (this.#server === null) return
    this.#asked.push(then)
    this.#server.transport.sendOwned(queryMessage(sql))
  }

  close(): void {
    this.#isOver = true
    this.#server?.close()
  }

  /** Gives it up; its owner is told. */
  lose(why: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#server?.transport.destroy()
    this.#events.onLost(why)
  }

  onBytes(chunk: Buffer, end: number): void {
    if (this.#isOver) return
    this.#hasHeard = true
    // Copied once: notifications are handed out as parts of it.
    const bytes = Buffer.concat([this.#carry ?? Buffer.alloc(0), chunk.subarray(0, end)])
    this.#carry = null
    try {
      this.#walk(bytes)
    } catch (thrown) {
      this.lose(thrown instanceof Error ? thrown.message : String(thrown))
    }
  }

  #walk(bytes: Buffer): void {
    let offset = 0
    while (bytes.length - offset >= headerBytes) {
      const total = bytes.readInt32BE(offset + 1) + 1
      if (total < headerBytes || total > messageBytesMax)
        throw new PontoonError('SERVER_PROTOCOL', 'the server sent an invalid message length')
      if (bytes.length - offset < total) break
      this.#message(bytes.subarray(offset, offset + total))
      if (this.#isOver) return
      offset += total
    }
    if (offset < bytes.length) this.#carry = bytes.subarray(offset)
  }

  #message(bytes: Buffer): void {
    switch (bytes[0]) {
      case backend.notificationResponse: {
        const { channel, payload } = readNotification(bytes, headerBytes, bytes.length)
        this.#events.onNotification({ channel, payload, bytes })
        return
      }
      case backend.errorResponse:
        this.#refusal = readError(bytes, headerBytes, bytes.length).message
        return
      case backend.readyForQuery: {
        const then = this.#asked.shift()
        // A server that cannot listen (a standby) is of no use.
        if (this.#refusal !== '') this.lose(this.#refusal)
        else then?.()
        return
      }
      default:
    }
  }

  onCongested(): void {
    this.lose('it reads nothing')
  }

  onDrained(): void {
    // Nobody waits for it.
  }

  onClosed(error: Error | null): void {
    this.lose(error === null ? 'the server closed it' : error.message)
  }
}
