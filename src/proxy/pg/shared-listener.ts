/**
 * Listens on the primary side for all sessions of one user and database in transaction pooling
 * (session-listening.ts), over one connection that is opened with the first LISTEN and closed some
 * time after the last. It is not a part of the pool. When it is lost it is opened again and
 * listens again; what was notified meanwhile is lost, so the sessions are warned. When the primary
 * moves, or servers are to be opened anew, the new connection listens before the old one is closed,
 * and nothing is lost between them nor told twice (listen-successor.ts).
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
import { Successor, type Notification } from './listen-successor.ts'
import type { ServerKind } from './pool-set.ts'

/** Without a channel it is closed after this long. */
const idleMaxMs = 60_000
const probeEveryMs = 20_000
/** A new connection that does not listen to everything by then is given up. */
const openingMaxMs = 10_000
/** An old connection has so long to tell the rest. */
const drainMaxMs = 5_000
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
  /** Nothing is listened to at present. */
  onLost(): void
  /** What is notified from here on is told by the listener. */
  onMark(mark: string): void
  /** Marks that have not come may never do. */
  onMarksLost(): void
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
  /** The present connection listens to it. */
  isHeard: boolean
  /** Sessions may leave it to the listener. */
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
  /** Is being opened, listens to the channels, or waits for its turn. */
  #next: Successor | null = null
  /** What comes before this mark the connection before has told. */
  #tellsFrom: string | null = null
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
        channel = { subscribers: new Set(), isHeard: false, isActive: false }
        this.#channels.set(name, channel)
        if (this.#current !== null) this.#listen(this.#current, name)
        this.#next?.lacks.add(name)
        if (this.#next !== null) this.#listen(this.#next.connection, name)
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
    this.#current?.unlisten(name)
    this.#next?.lacks.delete(name)
    this.#next?.connection.unlisten(name)
    if (this.#channels.size === 0) this.#unusedSinceMs = this.#parts.clock.nowMs()
  }

  leave(subscriber: ListenSubscriber): void {
    this.#joining.delete(subscriber)
    for (const [mark, owner] of this.#marks) if (owner === subscriber) this.#marks.delete(mark)
    for (const name of this.#channels.keys()) this.part(subscriber, name)
  }

  /** The payload that tells where a session's notifications go over to this listener. */
  newMark(subscriber: ListenSubscriber): string {
    const mark = this.#nextMark()
    this.#marks.set(mark, subscriber)
    return mark
  }

  /** What comes of it is of no use any more. */
  forgetMark(mark: string): void {
    this.#marks.delete(mark)
  }

  #nextMark(): string {
    this.#lastMark += 1
    return String(this.#lastMark)
  }

  /** It listens to all that it is to listen to, on the side that it was last told. */
  get isSettled(): boolean {
    if (this.#channels.size === 0) return true
    if (this.#next !== null) return this.#next.state !== 'opening' && this.#next.lacks.size === 0
    const isListening = [...this.#channels.values()].every(({ isActive }) => isActive)
    return this.#current !== null && isListening
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
    this.#sweepNext(nowMs)
    return true
  }

  #sweepNext(nowMs: number): void {
    const next = this.#next
    if (next === null) return
    const passedMs = nowMs - next.sinceMs
    const isOpening = next.state === 'opening'
    if (!isOpening && this.#current !== null) {
      if (passedMs > drainMaxMs) this.#current.lose('it does not answer')
    } else if (passedMs > openingMaxMs) next.connection.lose('it does not listen')
  }

  close(): void {
    this.#isClosed = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#current?.close()
    this.#next?.connection.close()
  }

  /** Opens a new connection, in place of one that is being opened. */
  #connect(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#retryTimer = null
    this.#next?.connection.close()
    const connection: ListenConnection = new ListenConnection({
      onNotification: (notification) => this.#notified(connection, notification),
      onLost: (why) => this.#lost(connection, why),
    })
    const side = this.#parts.primary()
    const next = new Successor(connection, side, this.#nextMark(), this.#parts.clock.nowMs())
    this.#next = next
    this.#activateHeard()
    // What cannot be opened waits for its turn again.
    void this.#open(next).catch((error: unknown) =>
      this.#lost(connection, toPontoonError(error).message),
    )
  }

  async #open(next: Successor): Promise<void> {
    const { connection, side } = next
    const kind: ServerKind = {
      side,
      user: this.#user,
      database: this.#database,
      parameters,
      access: 'write',
    }
    const server = await this.#parts.open(kind, () => connection)
    if (this.#next !== next || this.#isClosed) {
      server.close()
      return
    }
    connection.attach(server)
    const names = [this.markChannel, ...this.#channels.keys()]
    next.lacks = new Set(names)
    for (const name of names) this.#listen(connection, name)
  }

  #listen(connection: ListenConnection, name: string): void {
    const channel = this.#channels.get(name)
    connection.listen(name, () => {
      // Or everybody has left it meanwhile, and perhaps somebody has asked for it anew.
      const isWanted = this.#channels.get(name) === channel
      this.#listening(connection, isWanted ? name : null)
    })
  }

  /** A LISTEN was answered; null: of a channel that nobody asks for by it any more. */
  #listening(connection: ListenConnection, name: string | null): void {
    const next = this.#next
    if (connection === next?.connection) {
      if (name !== null) next.lacks.delete(name)
      if (next.state !== 'opening') this.#activate(name)
      else if (next.lacks.size === 0) this.#succeed(next)
    } else if (connection === this.#current && name !== null) {
      const channel = this.#channels.get(name)
      if (channel !== undefined) channel.isHeard = true
      // What is asked for later than the mark of the next one must be listened to there.
      if (next === null || next.state === 'opening') this.#activate(name)
    }
  }

  /** There is no mark of a next connection any more. */
  #activateHeard(): void {
    for (const [name, { isHeard }] of this.#channels) if (isHeard) this.#activate(name)
  }

  /** The new connection listens to everything; the old one tells the rest. */
  #succeed(next: Successor): void {
    const current = this.#current
    if (current === null) {
      this.#takeOver(next, 'start')
      return
    }
    next.sinceMs = this.#parts.clock.nowMs()
    if (current.side !== next.side) {
      next.state = 'draining'
      this.#drain(current, next)
      return
    }
    next.state = 'marked'
    next.connection.notify(this.markChannel, next.mark)
  }

  #drain(current: ListenConnection, next: Successor): void {
    current.drain(() => {
      if (this.#current === current && this.#next === next) this.#takeOver(next, 'start')
    })
  }

  /** The old connection is not needed any more; `from`: what the new one has to tell. */
  #takeOver(next: Successor, from: 'start' | 'mark'): void {
    this.#current?.close()
    this.#current = next.connection
    this.#next = null
    this.#tellsFrom = from === 'mark' && next.state === 'marked' ? next.mark : null
    this.#retryMs = retryFirstMs
    this.#probedAtMs = this.#parts.clock.nowMs()
    const news = next.news(from)
    const isLost = this.#hasGap || from === 'start'
    const markedThere = this.#markedIn(news)
    for (const subscriber of this.#everybody()) {
      if (isLost && !markedThere.has(subscriber)) subscriber.onMarksLost()
      if (this.#hasGap) subscriber.onGap(gapNotice)
    }
    this.#hasGap = false
    for (const notification of news) this.#tell(notification)
    for (const [name, channel] of this.#channels) channel.isHeard = !next.lacks.has(name)
    this.#activateHeard()
  }

  /** Who has left a server of the new side: its mark is among what is to be told. */
  #markedIn(news: readonly Notification[]): ReadonlySet<ListenSubscriber | undefined> {
    const marks = news.filter(({ channel }) => channel === this.markChannel)
    return new Set(marks.map(({ payload }) => this.#marks.get(payload)))
  }

  #everybody(): ReadonlySet<ListenSubscriber> {
    const everybody = new Set<ListenSubscriber>()
    for (const channel of this.#channels.values())
      for (const subscriber of channel.subscribers) everybody.add(subscriber)
    return everybody
  }

  #activate(name: string | null): void {
    const channel = name === null ? undefined : this.#channels.get(name)
    if (name === null || channel === undefined) return
    channel.isActive = true
    for (const subscriber of channel.subscribers) {
      const lacks = this.#joining.get(subscriber)
      if (lacks === undefined || !lacks.delete(name) || lacks.size > 0) continue
      this.#joining.delete(subscriber)
      subscriber.onListening()
    }
  }

  #notified(connection: ListenConnection, notification: Notification): void {
    const next = this.#next
    const mark = notification.channel === this.markChannel ? notification.payload : ''
    if (connection === next?.connection) {
      if (mark !== next.mark) next.hears(notification)
      else this.#nextMarked(next)
    } else if (connection !== this.#current) return
    else if (next !== null && mark === next.mark) this.#takeOver(next, 'mark')
    else if (this.#tellsFrom === null) this.#tell(notification)
    else if (mark === this.#tellsFrom) this.#tellsFrom = null
  }

  /** The mark of the next connection has come to that itself. */
  #nextMarked(next: Successor): void {
    next.hearsMark()
    if (this.#current === null) this.#takeOver(next, 'mark')
    else this.#drain(this.#current, next)
  }

  #tell({ channel: name, payload, bytes }: Notification): void {
    if (name === this.markChannel) {
      const subscriber = this.#marks.get(payload)
      this.#marks.delete(payload)
      subscriber?.onMark(payload)
      return
    }
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    for (const subscriber of channel.subscribers) subscriber.onNotification(name, bytes)
  }

  #lost(connection: ListenConnection, why: string): void {
    const next = this.#next
    const isNext = connection === next?.connection
    if (this.#isClosed || (connection !== this.#current && !isNext)) return
    this.#parts.log.warn(
      { user: this.#user, database: this.#database, why },
      'the connection that listens for sessions is lost',
    )
    if (isNext) {
      this.#next = null
      this.#activateHeard()
    } else {
      this.#current = null
      this.#hasGap = true
      for (const channel of this.#channels.values()) {
        channel.isHeard = false
        channel.isActive = false
      }
      for (const subscriber of this.#everybody()) subscriber.onLost()
      if (next?.state === 'draining') this.#takeOver(next, 'start')
      else if (next?.state === 'heard') this.#takeOver(next, 'mark')
    }
    // One that listens already, or is about to.
    if (this.#next !== null || (this.#current !== null && !isNext)) return
    if (this.#retryTimer !== null) return
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
