/**
 * A command on its way through a cluster and what comes back for it: one part for each node it went
 * to. The connection (cluster-connection.ts) gives replies to the client in the order of entries.
 */
import { readRedirect, type Redirect } from '../../net/redis/cluster-map.ts'
import type { ClusterNode, ReplySink } from '../../net/redis/cluster-node.ts'
import type { Endpoint } from '../../net/address.ts'
import type { Merge } from '../../routing/redis/command-facts.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { mergeReplies } from './cluster-merge.ts'

export interface EntryOwner {
  /** A part of the reply of the entry whose turn it is. */
  stream(bytes: Buffer, start: number, end: number): void
  isFirst(entry: Entry): boolean
  /** So many more bytes of replies wait here for their turn, or fewer. */
  holds(bytes: number): void
  /** The part has its reply, or must be sent again. */
  settled(part: Part): void
}

export class Entry {
  readonly parts: Part[] = []
  /** May be carried out twice without harm. */
  readonly isRead: boolean
  /** It may wait on its node for what never comes. */
  readonly mayBlock: boolean
  #deadlineMs: number
  merge: Merge = 'same'
  orders: readonly (readonly number[])[] | null = null
  /** The last word on the reply, for SCAN's cursor. */
  rewrite: ((reply: Buffer) => Buffer) | null = null
  /** Its replies are nobody's: of a MULTI that we sent. */
  isSilent = false
  /** In a transaction nothing is sent again: it would come out of order. */
  mayRetry = true
  /** Given at once, without any node. */
  #ready: Buffer | null = null
  isStreaming = false

  constructor(isRead: boolean, mayBlock: boolean, deadlineMs: number) {
    this.isRead = isRead
    this.mayBlock = mayBlock
    this.#deadlineMs = deadlineMs
  }

  static ready(reply: Buffer): Entry {
    const entry = new Entry(true, false, 0)
    entry.#ready = reply
    return entry
  }

  /** Until then it is sent again. */
  get deadlineMs(): number {
    return this.#deadlineMs
  }

  /** Nobody waits for it any more: its node ends it behind what it was sent before. */
  abandon(): void {
    this.mayRetry = false
    this.#deadlineMs = Number.NEGATIVE_INFINITY
    for (const part of this.parts) if (part.isUnderWay) part.node?.end()
  }

  /** A single reply that nobody has to look at goes to the client as it comes. */
  get mayStream(): boolean {
    return this.parts.length === 1 && this.rewrite === null && !this.isSilent
  }

  get isDone(): boolean {
    return this.#ready !== null || this.parts.every((part) => part.isDone)
  }

  /** What is left to give to the client, null for nothing. Who rewrites it hears it in any case. */
  reply(): Buffer | null {
    if (this.#ready !== null) return this.#ready
    if (this.isStreaming || (this.isSilent && this.rewrite === null)) return null
    const reply = this.#whole()
    return this.isSilent ? null : reply
  }

  #whole(): Buffer {
    const replies = this.parts.map((part) => part.reply)
    const [only] = replies
    const merged =
      replies.length === 1 && only !== undefined && this.orders === null
        ? only
        : mergeReplies(this.merge, replies, this.orders)
    return this.rewrite === null ? merged : this.rewrite(merged)
  }
}

/** `again`: nothing was done, it may be sent again. `later`: the same, after a while. */
export type Verdict = 'done' | 'again' | 'later'

/** The node has done nothing, and may do it, or another node, in a moment. */
const passing = /^(?:TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|READONLY)\b/

export class Part implements ReplySink {
  readonly entry: Entry
  readonly request: Buffer
  /** -1: has no keys. */
  readonly slot: number
  readonly #owner: EntryOwner
  #chunks: Buffer[] = []
  #heldBytes = 0
  #error: Buffer | null = null
  isDone = false
  verdict: Verdict = 'done'
  redirect: Redirect | null = null
  node: ClusterNode | null = null
  /** Where it must go: for a command to every node. */
  readonly endpoint: Endpoint | null

  constructor(
    entry: Entry,
    request: Buffer,
    slot: number,
    endpoint: Endpoint | null,
    owner: EntryOwner,
  ) {
    this.entry = entry
    this.request = request
    this.slot = slot
    this.endpoint = endpoint
    this.#owner = owner
    entry.parts.push(this)
  }

  /** A node has it and has not answered. */
  get isUnderWay(): boolean {
    return !this.isDone && this.verdict === 'done' && this.node !== null
  }

  get reply(): Buffer {
    return this.#error ?? Buffer.concat(this.#chunks)
  }

  onPart(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    const { entry } = this
    if (entry.isStreaming) this.#owner.stream(bytes, start, end)
    else if (
      this.#chunks.length === 0 &&
      bytes[start] !== marker.error &&
      entry.mayStream &&
      this.#owner.isFirst(entry)
    ) {
      entry.isStreaming = true
      this.#owner.stream(bytes, start, end)
    } else this.#hold(Buffer.from(bytes.subarray(start, end)))
    if (!isLast) return
    const reply = entry.isStreaming ? null : this.reply
    this.#judge(reply !== null && reply[0] === marker.error ? reply : null)
    this.#owner.settled(this)
  }

  onLost(error: PontoonError, wasSent: boolean): void {
    const isHarmless = !wasSent || (this.entry.isRead && !this.entry.isStreaming)
    this.release()
    const words = isHarmless
      ? `TRYAGAIN ${error.message}`
      : `ERR ${error.message}; whether the command was carried out is unknown`
    this.fail(`${words} (Pontoon error ${error.code})`)
    this.verdict = isHarmless && this.entry.mayRetry ? 'later' : 'done'
    this.isDone = this.verdict === 'done'
    this.#owner.settled(this)
  }

  #hold(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#heldBytes += chunk.length
    this.#owner.holds(chunk.length)
  }

  /** What has come of its reply is given, or void. */
  release(): void {
    this.#owner.holds(-this.#heldBytes)
    this.#heldBytes = 0
    this.#chunks = []
  }

  /** Takes these words for its reply. */
  fail(words: string): void {
    this.#error = Buffer.from(`-${words.replace(/[\r\n]+/g, ' ')}\r\n`)
  }

  /** Before it is sent again. */
  begin(node: ClusterNode): void {
    this.node = node
    this.release()
    this.#error = null
    this.verdict = 'done'
  }

  #judge(error: Buffer | null): void {
    this.isDone = true
    this.verdict = 'done'
    if (error === null || this.node === null) return
    const words = error.toString('latin1', 1, error.length - 2)
    this.redirect = readRedirect(words, this.node.endpoint) ?? null
    const isPassing = passing.test(words)
    if (this.redirect === null && !isPassing) return
    if (!this.entry.mayRetry) {
      // A client that knows no cluster makes nothing of MOVED.
      if (this.redirect !== null)
        this.fail(`TRYAGAIN slot ${this.redirect.slot} has moved; repeat the transaction`)
      return
    }
    this.verdict = isPassing ? 'later' : 'again'
    this.isDone = false
  }
}
