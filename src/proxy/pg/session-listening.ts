/**
 * The LISTENs of one session in transaction pooling. Its server executes LISTEN as always, so that
 * transactions, errors and the moment it takes effect are the server's own. Then the channels move
 * to a shared listener (shared-listener.ts) and the server is given back:
 *
 * 1. The server says which channels it listens to (session-truth.ts); the session is pinned.
 * 2. The shared listener listens to them too, so both get every notification from now on.
 * 3. On the server: LISTEN and NOTIFY of a mark, then UNLISTEN *. All listeners of a database get
 *    notifications in one order, so what came before the mark is taken from the server and what
 *    comes after it from the listener: nothing is lost and nothing comes twice.
 *
 * Notifications are given to the client while it has no request under way, as a server gives them
 * between transactions. UNLISTEN is noted from the text and counts once its transaction has
 * committed; in doubt (a savepoint rolled back) the channel is kept.
 */
import { PontoonError } from '../../shared/errors.ts'
import { headerBytes } from '../../wire/pg/protocol.ts'
import { readNotification } from '../../wire/pg/read.ts'
import { unlistens, type Unlisten } from '../../routing/unlisten-names.ts'
import type { Session } from './session.ts'
import { identifier, literal } from './settings.ts'
import type { ListenSubscriber, SharedListener } from './shared-listener.ts'

/** Notifications held for a client that is busy or does not read. */
const heldBytesMax = 4 * 1024 * 1024

/** UNLISTENs noted and not decided; more are forgotten, which keeps their channels. */
const notedMax = 1_000

const letterR = 0x52
const letterU = 0x55

/** An UNLISTEN that was sent, and how many ReadyForQuery come up to the one that ends its request. */
interface Noted {
  readonly what: Unlisten
  readiesLeft: number
}

export class SessionListening implements ListenSubscriber {
  readonly #session: Session
  #listener: SharedListener
  /** Channels that come from the shared listener. */
  readonly #shared = new Set<string>()
  /** Channels that its server listens to, as it last said. */
  #onServer: readonly string[] = []
  /** Channels whose mark the listener has not seen yet. */
  #leaving: readonly string[] = []
  /** Channels that came from the server alone before the move at hand. */
  #moving: readonly string[] = []
  /** The server has sent the mark: what it sends after it comes from the listener too. */
  #hasLeft = false
  /** The mark may have been lost on the way to the listener. */
  #arrivesWithServer = false
  #isReady = false
  /** The payload of its last mark. */
  #mark = ''
  #held: Buffer[] = []
  #heldBytes = 0
  #notice: Buffer | null = null
  /** UNLISTENs that were sent; executed; committed. */
  #noted: Noted[] = []
  #executed: Unlisten[] = []
  #committed: Unlisten[] = []

  constructor(session: Session) {
    this.#session = session
    this.#listener = listenerOf(session)
  }

  /** The channels can leave the server now. */
  get mayMove(): boolean {
    return (
      this.#isReady && this.#session.pinReason === 'listen' && this.#session.context.gate.isOpen
    )
  }

  /** The server listens to these channels; what was left since the last time is left now. */
  told(channels: readonly string[]): void {
    this.#onServer = channels
    for (const what of this.#committed) this.#unlisten(what)
    this.#committed = []
    this.#noted = []
    this.#executed = []
    this.#isReady = false
    // Payloads and names are passed on as they are, so they must be in the client's encoding.
    const isUtf8 = this.#session.reported.get('client_encoding') === 'UTF8'
    if (channels.length > 0 && isUtf8 && this.#leaving.length === 0)
      this.#isReady = this.#join(channels)
  }

  #join(channels: readonly string[]): boolean {
    // One that nobody has listened to for long is closed, and there is another in its place.
    this.#listener = listenerOf(this.#session)
    return this.#listener.join(this, channels)
  }

  onListening(): void {
    if (this.#onServer.length === 0 || this.#leaving.length > 0) return
    this.#isReady = true
    this.#session.moveListens()
  }

  /** The first query of a move: sends the mark to everybody who listens. */
  beginMove(): string {
    this.#mark = this.#listener.newMark(this)
    this.#leaving = this.#onServer
    this.#moving = this.#onServer.filter((channel) => !this.#shared.has(channel))
    this.#hasLeft = false
    this.#arrivesWithServer = false
    this.#isReady = false
    const mark = identifier(this.#listener.markChannel)
    return `LISTEN ${mark}; NOTIFY ${mark}, ${literal(this.#mark)}`
  }

  /** What to run next, '' at the end. A query of the move has ended, well or not. */
  nextOfMove(): string {
    if (this.#hasLeft && this.#arrivesWithServer) this.#arrive()
    if (!this.#hasLeft) {
      // Refused (the queue of notifications is full): it is tried again in a while.
      this.#leaving = []
      return ''
    }
    if (this.#onServer.length > 0) {
      this.#onServer = []
      return 'UNLISTEN *'
    }
    if (this.#session.pinReason === 'listen') this.#session.pinReason = ''
    return ''
  }

  onMark(mark: string): void {
    if (mark === this.#mark) this.#arrive()
  }

  /** What it has not left to the listener yet it keeps on its server. */
  onLost(): void {
    this.#isReady = false
  }

  /** Unless the server has not come to its mark, to which the listener may still come. */
  onMarksLost(): void {
    if (this.#hasLeft || this.#session.errands.underWay !== 'move') this.#arrive()
    else this.#arrivesWithServer = true
  }

  /** The listener tells all that follows. */
  #arrive(): void {
    this.#arrivesWithServer = false
    this.#listener.forgetMark(this.#mark)
    for (const channel of this.#leaving) this.#shared.add(channel)
    this.#leaving = []
    if (this.#onServer.length === 0 || this.#session.errands.underWay === 'move') return
    this.#isReady = this.#join(this.#onServer)
    // Its client may ask for nothing more, behind which it would move anyway.
    this.#session.moveListens()
  }

  get isOnServer(): boolean {
    return this.#onServer.length > 0
  }

  /** Whether a notification of the session's server is to reach the client. */
  takes(channel: string, payload: string): boolean {
    if (channel === this.#listener.markChannel) {
      if (payload === this.#mark) this.#hasLeft = true
      return false
    }
    // The listener may have come to the mark first: what is due from the server is still due.
    if (this.#session.errands.underWay === 'move')
      return !this.#hasLeft && this.#moving.includes(channel)
    return !this.#shared.has(channel)
  }

  /** A notification from the shared listener; `bytes` may be shared and are never altered. */
  onNotification(channel: string, bytes: Buffer): void {
    if (!this.#shared.has(channel)) return
    if (this.#held.length === 0 && this.#mayDeliver) {
      this.#send(bytes)
      return
    }
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    if (this.#heldBytes > heldBytesMax)
      this.#session.abandon(
        new PontoonError(
          'CLIENT_SLOW_READER',
          `more than ${heldBytesMax} bytes of notifications wait for the client`,
        ),
      )
  }

  /** The session has come to rest, or its client reads again. */
  deliver(): void {
    if (this.#notice !== null && this.#mayDeliver) {
      this.#send(this.#notice)
      this.#notice = null
    }
    if (this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const bytes of held) {
      // Its channel may have been left meanwhile, as with a server that reads its queue later.
      this.onNotification(readNotification(bytes, headerBytes, bytes.length).channel, bytes)
    }
  }

  get #mayDeliver(): boolean {
    const { state, deferredBegin, client, backend } = this.#session
    return (
      state === 'idle' && deferredBegin === null && !client.isCongested && backend.isBetweenMessages
    )
  }

  #send(bytes: Buffer): void {
    this.#session.context.stats.bytesToClients += bytes.length
    this.#session.totals.bytesToClients += bytes.length
    this.#session.client.sendOwned(bytes)
  }

  /** The listener was away for a moment: the client cannot know unless it is told. */
  onGap(notice: Buffer): void {
    if (this.#shared.size === 0 && !this.#arrivesWithServer) return
    this.#notice = notice
    this.deliver()
  }

  noteUnlisten(sql: string): void {
    if (this.#noted.length >= notedMax) return
    const readiesLeft = (this.#session.server?.replies.readyCount ?? 0) + 1
    for (const what of unlistens(sql)) this.#noted.push({ what, readiesLeft })
  }

  /** A CommandComplete, whose tag is at `start`. */
  completed(bytes: Buffer, start: number): void {
    const letter = bytes[start]
    // ROLLBACK is also the tag of ROLLBACK TO.
    if (letter === letterR && bytes[start + 1] === 0x4f) this.#executed = []
    if (letter !== letterU || bytes[start + 1] !== 0x4e) return
    const noted = this.#noted.shift()
    if (noted !== undefined) this.#executed.push(noted.what)
  }

  /** An error of the server. */
  failed(): void {
    this.#executed = []
  }

  /** A request is over, in a transaction that goes on or not: what of it has not run never will. */
  ready(isInTransaction: boolean): void {
    if (this.#noted.length > 0) {
      for (const noted of this.#noted) noted.readiesLeft -= 1
      this.#noted = this.#noted.filter(({ readiesLeft }) => readiesLeft > 0)
    }
    if (isInTransaction || this.#executed.length === 0) return
    this.#committed.push(...this.#executed)
    this.#executed = []
  }

  /** DISCARD ALL has run. */
  unlistenAll(): void {
    this.#committed.push('all')
  }

  #unlisten(what: Unlisten): void {
    const channels = what === 'all' ? [...this.#shared, ...this.#leaving] : [what.channel]
    for (const channel of channels) {
      // Listened to anew behind the UNLISTEN.
      if (this.#onServer.includes(channel)) continue
      this.#shared.delete(channel)
      this.#leaving = this.#leaving.filter((other) => other !== channel)
      this.#listener.part(this, channel)
    }
  }

  /** Its server is given up at a switch: what came from it comes from the listener. */
  serverLeft(): void {
    const channels = [...this.#onServer, ...this.#leaving]
    for (const channel of channels) this.#shared.add(channel)
    if (this.#onServer.length > 0) this.#join(this.#onServer)
    this.#onServer = []
    this.#leaving = []
    this.#isReady = false
  }

  /** The session is over. */
  leave(): void {
    this.#listener.leave(this)
    this.#held = []
  }
}

function listenerOf({ context, identity }: Session): SharedListener {
  return context.listeners.of(identity.user, identity.database)
}

/**
 * Whether the client gets a notification from its server. `unasked`: the session has not asked for
 * any, so that a function must have run LISTEN for somebody unseen; that server serves nobody else.
 */
export function takesNotification(
  session: Session,
  bytes: Buffer,
  offset: number,
  end: number,
): 'yes' | 'no' | 'unasked' {
  if (!session.isPooled) return 'yes'
  const { listening, effects, pinReason, errands } = session
  const mayListen =
    effects !== 0 || pinReason !== '' || errands.isUnderWay || listening?.isOnServer === true
  if (!mayListen) return 'unasked'
  if (listening === null) return 'yes'
  const { channel, payload } = readNotification(bytes, offset + headerBytes, end)
  return listening.takes(channel, payload) ? 'yes' : 'no'
}
