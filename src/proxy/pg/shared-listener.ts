/**
 * Listens on the primary side for all sessions of one user and database in transaction pooling
 * (session-listening.ts), over one connection that is opened with the first LISTEN and closed some
 * time after the last. It is not a part of the pool. When it is lost it is opened again and
 * listens again; what was notified meanwhile is lost, so the sessions are warned. When the primary
 * moves, the new connection listens before the old one is closed.
 */
import { randomBytes } from 'node:crypto'
import type { PgServer } from '../../net/pg/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import type { Clock } from '../../shared/clock.ts'
import { toPontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import type { Side } from '../../shared/side.ts'
import { warning } from '../../wire/pg/write.ts'
import { ListenConnection } from './listen-connection.ts'
import type { ServerKind } from './pool-set.ts'

/** Without a channel it is closed after this long. */
const idleMaxMs = 60_000
const probeEveryMs = 20_000
/** A new connection that does not listen to everything by then is given up. */
const openingMaxMs = 10_000
const retryFirstMs = 250
const retryMaxMs = 5_000

/** As its `application_name` tells. */
const parameters = new Map([
  ['application_name', 'pontoon listener'],
  ['client_encoding', 'UTF8'],
])

const gapNotice = warning(
  'the connection that listens for this session was lost for a moment',
  'Notifications sent in that time have not been delivered.',
)

export interface ListenSubscriber {
  /** All channels it asked for are listened to. */
  onListening(): void
  onNotification(channel: string, bytes: Buffer): void
  onMark(): void
  /** The connection was lost and listens again. */
  onGap(notice: Buffer): void
}

export interface ListenParts {
  open(kind: ServerKind, handler: (server: PgServer) => TransportHandler): Promise<PgServer>
  primary(): Side
  readonly clock: Clock
  readonly log: Log
}

interface Channel {
  readonly subscribers: Set<ListenSubscriber>
  isActive: boolean
}

export class SharedListener {
  readonly markChannel = `pontoon_mark_${randomBytes(8).toString('hex')}`
  readonly #parts: ListenParts
  readonly #user: string
  readonly #database: string
  readonly #channels = new Map<string, Channel>()
  /** Who waits until the channels it asked for are listened to. */
  readonly #joining = new Map<ListenSubscriber, Set<string>>()
  readonly #marks = new Map<string, ListenSubscriber>()
  #lastMark = 0
  #current: ListenConnection | null = null
  /** Is being opened, or listens to the channels first. */
  #next: ListenConnection | null = null
  #nextSinceMs = 0
  #nextLacks = new Set<string>()
  #retryTimer: NodeJS.Timeout | null = null
  #retryMs = retryFirstMs
  /** It has listened before, so that those who listen have missed something. */
  #hasGap = false
  #unusedSinceMs: number
  #probedAtMs: number
  #isClosed = false

  constructor(parts: ListenParts, user: string, database: string) {
    this.#parts = parts
    this.#user = user
    this.#database = database
    this.#unusedSinceMs = parts.clock.nowMs()
    this.#probedAtMs = this.#unusedSinceMs
  }

  /** Listens to these channels too. True when it does already; `onListening` follows otherwise. */
  join(subscriber: ListenSubscriber, names: readonly string[]): boolean {
    const lacks = new Set<string>()
    for (const name of names) {
      let channel = this.#channels.get(name)
      if (channel === undefined) {
        channel = { subscribers: new Set(), isActive: false }
        this.#channels.set(name, channel)
        this.#current?.listen(name)
        if (this.#next !== null) {
          this.#nextLacks.add(name)
          this.#next.listen(name)
        }
      }
      channel.subscribers.add(subscriber)
      if (!channel.isActive) lacks.add(name)
    }
    this.#joining.delete(subscriber)
    if (lacks.size === 0) return true
    this.#joining.set(subscriber, lacks)
    if (this.#current === null && this.#next === null && this.#retryTimer === null) this.#connect()
    return false
  }

  part(subscriber: ListenSubscriber, name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined || !channel.subscribers.delete(subscriber)) return
    if (channel.subscribers.size > 0) return
    this.#channels.delete(name)
    this.#nextLacks.delete(name)
    this.#current?.unlisten(name)
    this.#next?.unlisten(name)
    if (this.#channels.size === 0) this.#unusedSinceMs = this.#parts.clock.nowMs()
  }

  leave(subscriber: ListenSubscriber): void {
    this.#joining.delete(subscriber)
    for (const [mark, owner] of this.#marks) if (owner === subscriber) this.#marks.delete(mark)
    for (const name of this.#channels.keys()) this.part(subscriber, name)
  }

  /** The payload that tells where a session's notifications go over to this listener. */
  newMark(subscriber: ListenSubscriber): string {
    this.#lastMark += 1
    const mark = String(this.#lastMark)
    this.#marks.set(mark, subscriber)
    return mark
  }

  /** It listens to all that it is to listen to, on the side that it was last told. */
  get isSettled(): boolean {
    if (this.#channels.size === 0) return true
    const isListening = [...this.#channels.values()].every(({ isActive }) => isActive)
    return this.#current !== null && this.#next === null && isListening
  }

  /** What could not be opened is tried again now. */
  hurry(): void {
    if (this.#retryTimer !== null) this.renew()
  }

  /** Servers are to be opened anew, perhaps on the other side. */
  renew(): void {
    if (this.#retryTimer !== null) {
      clearTimeout(this.#retryTimer)
      this.#retryTimer = null
      this.#retryMs = retryFirstMs
      this.#connect()
      return
    }
    // Where nothing is open, the next attempt goes to the right side anyway.
    if (this.#current === null && this.#next === null) return
    this.#connect()
  }

  /** Once a second. False when it has closed because nobody listens any more. */
  sweep(nowMs: number): boolean {
    if (this.#channels.size === 0 && nowMs - this.#unusedSinceMs > idleMaxMs) {
      this.close()
      return false
    }
    if (nowMs - this.#probedAtMs > probeEveryMs) {
      this.#probedAtMs = nowMs
      this.#current?.probe()
    }
    if (nowMs - this.#nextSinceMs > openingMaxMs) this.#next?.lose('it does not listen')
    return true
  }

  close(): void {
    this.#isClosed = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#current?.close()
    this.#next?.close()
  }

  /** Opens a new connection, in place of one that is being opened. */
  #connect(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#retryTimer = null
    this.#next?.close()
    this.#nextSinceMs = this.#parts.clock.nowMs()
    const connection: ListenConnection = new ListenConnection({
      onListening: (name) => this.#listening(connection, name),
      onNotification: (name, payload, bytes) => this.#notified(connection, name, payload, bytes),
      onLost: (why) => this.#lost(connection, why),
    })
    this.#next = connection
    // What cannot be opened waits for its turn again.
    void this.#open(connection).catch((error: unknown) =>
      this.#lost(connection, toPontoonError(error).message),
    )
  }

  async #open(connection: ListenConnection): Promise<void> {
    const kind: ServerKind = {
      side: this.#parts.primary(),
      user: this.#user,
      database: this.#database,
      parameters,
      access: 'write',
    }
    const server = await this.#parts.open(kind, () => connection)
    if (this.#next !== connection || this.#isClosed) {
      server.close()
      return
    }
    connection.attach(server)
    const names = [this.markChannel, ...this.#channels.keys()]
    this.#nextLacks = new Set(names)
    for (const name of names) connection.listen(name)
  }

  #listening(connection: ListenConnection, name: string): void {
    if (connection === this.#next) {
      this.#nextLacks.delete(name)
      if (this.#nextLacks.size === 0) this.#takeOver(connection)
    } else if (connection === this.#current) this.#activate(name)
  }

  /** The new connection listens to everything: the old one is not needed any more. */
  #takeOver(connection: ListenConnection): void {
    this.#current?.close()
    this.#current = connection
    this.#next = null
    this.#retryMs = retryFirstMs
    this.#probedAtMs = this.#parts.clock.nowMs()
    const everybody = new Set<ListenSubscriber>()
    for (const channel of this.#channels.values())
      for (const subscriber of channel.subscribers) everybody.add(subscriber)
    // Marks that were to come over the old one never will.
    this.#marks.clear()
    for (const subscriber of everybody)
      if (this.#hasGap) subscriber.onGap(gapNotice)
      else subscriber.onMark()
    this.#hasGap = false
    for (const name of this.#channels.keys()) this.#activate(name)
  }

  #activate(name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    channel.isActive = true
    for (const subscriber of channel.subscribers) {
      const lacks = this.#joining.get(subscriber)
      if (lacks === undefined || !lacks.delete(name) || lacks.size > 0) continue
      this.#joining.delete(subscriber)
      subscriber.onListening()
    }
  }

  #notified(connection: ListenConnection, name: string, payload: string, bytes: Buffer): void {
    if (connection !== this.#current) return
    if (name === this.markChannel) {
      const subscriber = this.#marks.get(payload)
      this.#marks.delete(payload)
      subscriber?.onMark()
      return
    }
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    for (const subscriber of channel.subscribers) subscriber.onNotification(name, bytes)
  }

  #lost(connection: ListenConnection, why: string): void {
    if (this.#isClosed || (connection !== this.#current && connection !== this.#next)) return
    this.#parts.log.warn(
      { user: this.#user, database: this.#database, why },
      'the connection that listens for sessions is lost',
    )
    if (connection === this.#current) {
      this.#current = null
      this.#hasGap = true
      for (const channel of this.#channels.values()) channel.isActive = false
    } else this.#next = null
    if (this.#next !== null || this.#retryTimer !== null) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null
      this.#connect()
    }, this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs)
  }
}

/** The listeners of a service, one for each user and database that has listened lately. */
export class SharedListeners {
  readonly #parts: ListenParts
  readonly #listeners = new Map<string, SharedListener>()

  constructor(parts: ListenParts) {
    this.#parts = parts
  }

  of(user: string, database: string): SharedListener {
    const key = JSON.stringify([user, database])
    let listener = this.#listeners.get(key)
    if (listener === undefined) {
      listener = new SharedListener(this.#parts, user, database)
      this.#listeners.set(key, listener)
    }
    return listener
  }

  get areSettled(): boolean {
    return [...this.#listeners.values()].every(({ isSettled }) => isSettled)
  }

  hurry(): void {
    for (const listener of this.#listeners.values()) listener.hurry()
  }

  renew(): void {
    for (const listener of this.#listeners.values()) listener.renew()
  }

  sweep(): void {
    const nowMs = this.#parts.clock.nowMs()
    for (const [key, listener] of this.#listeners)
      if (!listener.sweep(nowMs)) this.#listeners.delete(key)
  }

  close(): void {
    for (const listener of this.#listeners.values()) listener.close()
  }
}
