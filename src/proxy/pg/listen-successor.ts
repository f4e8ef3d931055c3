/**
 * A connection that is to listen in the place of another one (shared-listener.ts). What it hears
 * is held until it is known what of that the other one has told:
 *
 * - opening: it does not listen to everything yet.
 * - marked: it does, and has sent a mark by NOTIFY. All listeners of a database get notifications in
 *   one order, so what comes before the mark is told by the other one, what comes after it by this.
 * - heard: it has got the mark itself. If the other one, asked for an answer now, gives that without
 *   having got the mark, it belongs to another database, and all that was heard here is news.
 * - draining: it listens on the other side, where all is news; the other one is asked as above.
 */
import type { Side } from '../../shared/side.ts'
import type { ListenConnection } from './listen-connection.ts'

/** What is held, before the connection is given up. */
const heldBytesMax = 4 * 1024 * 1024

export interface Notification {
  readonly channel: string
  readonly payload: string
  /** The whole message; nobody alters it. */
  readonly bytes: Buffer
}

export class Successor {
  readonly connection: ListenConnection
  readonly side: Side
  readonly mark: string
  state: 'opening' | 'marked' | 'heard' | 'draining' = 'opening'
  /** When it came to that (clock milliseconds). */
  sinceMs: number
  /** Channels that it does not listen to yet. */
  lacks = new Set<string>()
  #held: Notification[] = []
  #heldBytes = 0
  /** How many were held when the mark came. */
  #beforeMark = 0

  constructor(connection: ListenConnection, side: Side, mark: string, nowMs: number) {
    this.connection = connection
    this.side = side
    this.mark = mark
    this.sinceMs = nowMs
  }

  hears(notification: Notification): void {
    this.#held.push(notification)
    this.#heldBytes += notification.bytes.length
    if (this.#heldBytes > heldBytesMax)
      this.connection.lose(`more than ${heldBytesMax} bytes of notifications wait for its turn`)
  }

  hearsMark(): void {
    this.state = 'heard'
    this.#beforeMark = this.#held.length
  }

  /** What is left to be told from here; nothing before the mark when the other one told that. */
  news(from: 'start' | 'mark'): readonly Notification[] {
    if (from === 'start') return this.#held
    return this.state === 'heard' ? this.#held.slice(this.#beforeMark) : []
  }
}
