/**
 * What a client of a cluster connection listens to: subscriptions, MONITOR. That lives on one node.
 * As long as what that node says unasked looks like replies (RESP2, MONITOR), or confirmations are
 * due, everything goes to it and all that it says is passed on. Otherwise commands go where they
 * belong again. Nothing is owed when it begins. Neighbour: cluster-connection.ts.
 */
import { readRedirect, type Redirect } from '../../net/redis/cluster-map.ts'
import type { ClusterNode } from '../../net/redis/cluster-node.ts'
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { command, resetReply } from '../../wire/redis/write.ts'
import { isLastWord, Listener } from './listener.ts'
import type { ReplyMode } from './reply-mode.ts'
import { Subscriptions } from './subscriptions.ts'

/** May be sent behind a subscription: it is for the same node, whatever that answers. */
const follows = /^(?:ping|hello|reset)$/

/** After these nothing of what comes is framed. */
const raw = /^p?sync$/

/** How often the first subscription is asked for again. */
const followsMax = 5

const lateBytesMax = 4 * 1024 * 1024

export class ClusterListening {
  readonly #subscriptions = new Subscriptions()
  readonly #listener = new Listener(this.#subscriptions, true)
  /** Answers that its node owes while everything goes there. */
  #owedCount = 0
  /** Where it listens, null for nowhere. */
  node: ClusterNode | null = null
  #isOnly = false
  /** It does so until a RESET. */
  isForGood = false
  /** Messages can be told from replies. */
  #arePushes = false

  /** The subscription that has made it listen, until that is answered. */
  #first: { readonly request: Buffer; left: number } | null = null

  /** Heard in the middle of a reply of another node. */
  readonly #late: Buffer[] = []
  #lateBytes = 0

  /** What comes behind it might be meant for another node, or not. `begins`: it is a subscription. */
  mustEndAheadOf({ name }: CommandFacts, begins: boolean): boolean {
    if (this.#first !== null) return true
    const isOwing = this.#isOnly && !this.isForGood && this.#owedCount > 0
    return isOwing && !begins && !follows.test(name)
  }

  /** Its first shard channel may live on another node by now: nothing is sent behind that. */
  mayFollow(request: Buffer): void {
    this.#first = { request: Buffer.from(request), left: followsMax }
  }

  /** The node has said where that is: the same is asked there, and nobody hears of it. */
  follow(findNode: () => ClusterNode): boolean {
    const first = this.#first
    if (first === null || first.left === 0) return false
    first.left -= 1
    this.node?.listen('pushes')
    this.node = findNode()
    this.node.listen('all')
    this.node.send(first.request, null)
    return true
  }

  begin(node: ClusterNode, { name }: CommandFacts): void {
    this.node = node
    this.#isOnly = true
    this.isForGood ||= !name.endsWith('subscribe')
    node.listen(raw.test(name) ? 'raw' : 'all')
  }

  /** Replies are its business from now on, the one to what comes next included. */
  mute(replies: ReplyMode): void {
    if (replies.isMute) {
      const mode = replies.isOff ? 'OFF' : 'SKIP'
      this.node?.send(command('CLIENT', 'REPLY', mode), null)
    }
    replies.handOver()
  }

  /** Whether what comes next goes there, whatever it is. If not, nothing does from now on. */
  takesAll(): boolean {
    if (!this.#isOnly) return false
    const isOver = this.#subscriptions.size === 0 || this.#arePushes
    if (this.isForGood || this.#owedCount > 0 || !isOver) return true
    this.#goOn()
    return false
  }

  send(bytes: Buffer, { name }: CommandFacts, argumentCount: number): void {
    this.node?.send(bytes, null)
    if (this.isForGood) return
    this.#owedCount += 1
    this.#listener.sent(name, name.endsWith('subscribe') ? argumentCount - 1 : 1)
  }

  /** It has said something unasked, as far as its node knows. */
  hears(frame: Buffer): void {
    this.#first = null
    if (this.isForGood) return this.#endBy(frame)
    if (frame[0] === marker.push || frame[0] === marker.map) this.#arePushes = true
    if (this.#listener.hears(frame, 0, frame.length, true)) this.#owedCount -= 1
    this.#endBy(frame)
  }

  /** A shard channel may have moved. */
  redirectIn(frame: Buffer): Redirect | null {
    if (this.node === null || frame[0] !== marker.error) return null
    const words = frame.toString('latin1', 1, frame.length - 2)
    return readRedirect(words, this.node.endpoint) ?? null
  }

  /** A reply of another node goes by, and must be whole first. */
  defer(frame: Buffer): void {
    this.#late.push(frame)
    this.#lateBytes += frame.length
    if (this.isBehind) this.node?.pause()
  }

  /** Its node is not read until that reply is whole. */
  get isBehind(): boolean {
    return this.#lateBytes > lateBytesMax
  }

  /** What had to wait. */
  deferred(): Buffer[] {
    if (this.isBehind) this.node?.resume()
    this.#lateBytes = 0
    return this.#late.splice(0)
  }

  #endBy(frame: Buffer): void {
    const isReset = this.isForGood ? isLastWord(frame) : frame.equals(resetReply)
    if (this.#isOnly && isReset) this.end()
  }

  /** A HELLO is sent: behind its answer messages may be arrays. */
  mayTurnTo2(): void {
    if (this.node === null) return
    this.#isOnly = true
    this.node.listen('all')
  }

  turnedTo2(): void {
    this.#arePushes = false
  }

  /** A RESET was taken. */
  end(): void {
    this.#subscriptions.clear()
    this.isForGood = false
    this.#goOn()
  }

  #goOn(): void {
    this.#isOnly = false
    this.node?.listen('pushes')
    if (this.#subscriptions.size > 0) return
    this.node = null
    this.#arePushes = false
  }
}
