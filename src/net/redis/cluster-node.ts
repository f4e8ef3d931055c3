/**
 * A connection to one node of a cluster: sends commands, gives their replies in order. Opened at the
 * first command; what is sent before it is open waits. Neighbour: cluster-map.ts.
 */
import type { Socket } from 'node:net'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import { endpointName, type Endpoint } from '../address.ts'
import type { AskElsewhere, EndWait, RedisLoggedIn } from './login.ts'

/** Who asked: gets the parts of its reply as they come. */
export interface ReplySink {
  /** A part of the reply; `isLast` with its end. Bytes are valid during the call only. */
  onPart(bytes: Buffer, start: number, end: number, isLast: boolean): void
  /** It will never come; `wasSent` says whether the node may have carried the command out. */
  onLost(error: PontoonError, wasSent: boolean): void
}

export interface ClusterNodeParts {
  open(endpoint: Endpoint): Promise<RedisLoggedIn>
  /** What nobody waits for, whole; of a node that is listened to raw, as it comes. */
  onUnasked(frame: Buffer): void
  /** It has written what was unwritten. */
  onDrained(): void
  onClosed(node: ClusterNode): void
}

/** What it may say unasked: pushes of RESP3, whatever comes when nothing is owed, or no replies at all. */
export type Heard = 'pushes' | 'all' | 'raw'

export class ClusterNode {
  readonly endpoint: Endpoint
  readonly #parts: ClusterNodeParts
  readonly #framer = new ReplyFramer()
  readonly #owed: ReplySink[] = []
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Who its client is, and what else must have been taken before anything is sent behind it. */
  #introductions: Buffer[] = []
  #introductionsLeft = 0
  #socket: Socket | null = null
  #endWait: EndWait | null = null
  #state: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #isEnding = false
  #heard: Heard = 'pushes'
  /** What has come of what nobody waits for. */
  readonly #unasked: Buffer[] = []

  constructor(endpoint: Endpoint, parts: ClusterNodeParts) {
    this.endpoint = endpoint
    this.#parts = parts
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** Takes what is sent. */
  get isUsable(): boolean {
    return this.#state !== 'closed' && !this.#isEnding
  }

  get unwrittenBytes(): number {
    if (this.#state === 'closed') return 0
    return (this.#socket?.writableLength ?? 0) + this.#waitingBytes
  }

  get #name(): string {
    return `node ${endpointName(this.endpoint)}`
  }

  /** Ahead of all that is sent from now on; that waits for the answer, so `sink` can keep it back. */
  introduce(bytes: Buffer, sink: ReplySink): void {
    this.#introductionsLeft += 1
    this.#owed.push({
      onPart: (part, start, end, isLast) => {
        sink.onPart(part, start, end, isLast)
        if (isLast) this.#introduced()
      },
      onLost: (error, wasSent) => sink.onLost(error, wasSent),
    })
    if (this.#socket === null) this.#introductions.push(bytes)
    else this.#socket.write(bytes)
  }

  /** The bytes are not changed any more. Without a sink nobody waits for a reply. */
  send(bytes: Buffer, sink: ReplySink | null): void {
    if (this.#state === 'closed') {
      sink?.onLost(new PontoonError('SERVER_LOST', `${this.#name} is gone`), false)
      return
    }
    if (sink !== null) this.#owed.push(sink)
    if (this.#socket !== null && this.#introductionsLeft === 0) this.#socket.write(bytes)
    else {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.length
      this.start()
    }
  }

  listen(heard: Heard): void {
    this.#heard = heard
  }

  /** Joins what is written until uncork. */
  cork(): void {
    this.#socket?.cork()
  }

  uncork(): void {
    this.#socket?.uncork()
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  /** Behind what was sent, also to one that is not open yet. Until then what it says is read. */
  end(): void {
    this.#isEnding = true
    if (this.#state === 'new') {
      this.#state = 'closed'
      this.#parts.onClosed(this)
    } else this.#endIfWritten()
  }

  #endIfWritten(): void {
    if (this.#isEnding && this.#introductionsLeft === 0) this.#socket?.end()
  }

  destroy(): void {
    this.#state = 'closed'
    this.#owed.length = 0
    this.#waiting = []
    this.#socket?.destroy()
  }

  /** Opens it, unless that has begun. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'opening'
    this.#parts.open(this.endpoint).then(
      (loggedIn) => this.#opened(loggedIn),
      (error: unknown) => this.#lost(toPontoonError(error, 'CONNECT_FAILED'), false),
    )
  }

  /** Has the node end what this connection waits for there. */
  endWait(elsewhere: AskElsewhere, answered: (answer: string) => void): void {
    if (this.#endWait === null) answered('')
    else this.#endWait(elsewhere, answered)
  }

  #opened({ socket, dialled, endWait }: RedisLoggedIn): void {
    let failure: Error | null = null
    socket.on('error', (error) => {
      failure = error
    })
    if (this.#state === 'closed') {
      socket.destroy()
      return
    }
    this.#state = 'open'
    this.#socket = socket
    this.#endWait = endWait
    socket.on('close', () => {
      const words = failure === null ? 'closed the connection' : failure.message
      this.#lost(new PontoonError('SERVER_LOST', `${this.#name}: ${words}`), true)
    })
    socket.on('drain', () => this.#parts.onDrained())
    if (dialled === null) socket.on('data', (bytes: Buffer) => this.#receive(bytes, bytes.length))
    else dialled.deliverTo({ receive: (bytes, end) => this.#receive(bytes, end) })
    for (const bytes of this.#introductions.splice(0)) socket.write(bytes)
    if (this.#introductionsLeft === 0) this.#sendWaiting()
  }

  #sendWaiting(): void {
    this.#socket?.cork()
    for (const bytes of this.#waiting) this.#socket?.write(bytes)
    this.#socket?.uncork()
    this.#waiting = []
    this.#waitingBytes = 0
    this.#endIfWritten()
    this.#parts.onDrained()
  }

  #receive(bytes: Buffer, end: number): void {
    if (this.#state === 'closed') return
    try {
      this.#split(bytes, end)
    } catch (error) {
      this.#lost(toPontoonError(error, 'SERVER_PROTOCOL'), true)
      this.#socket?.destroy()
    }
  }

  #split(bytes: Buffer, end: number): void {
    let offset = 0
    while (offset < end && !this.isClosed) {
      const isFree = this.#owed.length === 0
      if (this.#heard === 'raw' && isFree) {
        this.#parts.onUnasked(Buffer.from(bytes.subarray(offset, end)))
        return
      }
      const next = this.#framer.next(bytes, offset, end)
      const stop = next < 0 ? end : next
      if (this.#framer.type === marker.push || (this.#heard === 'all' && isFree)) {
        this.#unasked.push(Buffer.from(bytes.subarray(offset, stop)))
        if (next >= 0) this.#parts.onUnasked(Buffer.concat(this.#unasked.splice(0)))
      } else {
        const sink = this.#owed[0]
        if (sink === undefined)
          throw new PontoonError('SERVER_PROTOCOL', `${this.#name} sent a reply unasked`)
        if (next >= 0) this.#owed.shift()
        sink.onPart(bytes, offset, stop, next >= 0)
      }
      offset = stop
    }
  }

  #introduced(): void {
    this.#introductionsLeft -= 1
    if (this.#introductionsLeft === 0 && !this.isClosed) this.#sendWaiting()
  }

  #lost(error: PontoonError, wasSent: boolean): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#waiting = []
    this.#parts.onClosed(this)
    for (const sink of this.#owed.splice(0)) sink.onLost(error, wasSent)
  }
}
