/**
 * One connection to a cluster for clients that know of none: takes commands in order, sends each to
 * the node of its keys, gives the replies in order. It has a connection of its own to every node it
 * needs, so what holds for one server's connection (a transaction, a blocked command) holds here.
 *
 * When a node says that it cannot (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, READONLY) or is gone
 * before it got the command, new commands wait, what is under way is let finish, and the refused
 * ones are sent again in their order until their deadline. What was pipelined behind a refused
 * command and was taken by its node is not undone. A command whose fate is unknown is never sent
 * again, except reads.
 */
import { endpointName, type Endpoint } from '../../net/address.ts'
import type { ClusterMap, Redirect } from '../../net/redis/cluster-map.ts'
import type { ClusterNode } from '../../net/redis/cluster-node.ts'
import type { RedisLoggedIn } from '../../net/redis/login.ts'
import { clusterPlan, type ClusterPlan } from '../../routing/redis/cluster-plan.ts'
import { isMiscounted, type CommandFacts } from '../../routing/redis/command-facts.ts'
import { KeyList, mayBlock } from '../../routing/redis/command-keys.ts'
import type { Clock } from '../../shared/clock.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { ArgumentPositions } from '../../wire/redis/argument-positions.ts'
import { CommandFramer } from '../../wire/redis/command-framer.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { usualForm } from '../../wire/redis/usual-form.ts'
import { command, errorReply, okReply } from '../../wire/redis/write.ts'
import { Entry, Part, type EntryOwner } from './cluster-entry.ts'
import type { ClusterLink, LinkOwner } from './cluster-link.ts'
import { ClusterListening } from './cluster-listening.ts'
import { ClusterNodes } from './cluster-nodes.ts'
import { ClusterRetries } from './cluster-retries.ts'
import { ClusterRole } from './cluster-role.ts'
import { ClusterSetup, ignored } from './cluster-setup.ts'
import { ClusterSpread } from './cluster-spread.ts'
import { ClusterTransaction } from './cluster-transaction.ts'
import type { CommandRecord } from './command-book.ts'
import { versionAsked } from './hello.ts'
import { ReplyMode } from './reply-mode.ts'

export interface ClusterParts {
  readonly map: ClusterMap
  readonly clock: Clock
  readonly splitMset: boolean
  /** How long a command may be sent again and again. */
  readonly retryMs: number
  open(endpoint: Endpoint): Promise<RedisLoggedIn>
  /** Asks the node something over another connection; '' for an answer when there is none. */
  ask(endpoint: Endpoint, request: Buffer, answered: (answer: string) => void): void
  recordOf(request: ArgumentPositions): CommandRecord
}

/** Bytes of replies that wait for those before them at which nothing more is taken. */
const heldBytesMax = 4 * 1024 * 1024

/** How long what a client has sent is still carried out when it has left. */
const leavingMs = 30_000

const nothing = Buffer.alloc(0)

export class ClusterConnection implements LinkOwner, EntryOwner {
  readonly parts: ClusterParts
  readonly request = new ArgumentPositions()
  readonly keys = new KeyList()
  readonly #link: ClusterLink
  readonly #framer = new CommandFramer()
  readonly #transaction = new ClusterTransaction(this)
  readonly #spread: ClusterSpread
  readonly #setup = new ClusterSetup()
  readonly #listening = new ClusterListening()
  readonly #nodes: ClusterNodes
  /** In the order of their replies. */
  readonly #entries: Entry[] = []
  /** What has not been looked at. */
  #held: Buffer = nothing
  /** The beginning of a command, in the parts that it came in. */
  readonly #begun: Buffer[] = []
  #taken: (() => void) | null = null
  #inFlight = 0
  #heldBytes = 0
  /** The next command waits until nothing is owed. */
  #isWaiting = false
  readonly #retries: ClusterRetries
  readonly #replies = new ReplyMode()
  /** Nothing more is looked at. */
  #isQuit = false
  /** Nobody is there for replies: everything is taken, and carried out, until then. */
  #leaving: NodeJS.Timeout | null = null
  #isAllTaken = false
  #isClosed = false

  constructor(link: ClusterLink, parts: ClusterParts) {
    this.#link = link
    this.parts = parts
    this.#spread = new ClusterSpread(this, this.#replies)
    this.#nodes = new ClusterNodes({
      open: (at) => parts.open(at),
      onUnasked: (frame) => this.#heard(frame),
      onDrained: () => this.#takeMore(),
      onClosed: (closed) => this.#nodeClosed(closed),
      introduce: (node) => this.#setup.introduce(node, () => this.#differs(node)),
    })
    this.#retries = new ClusterRetries({
      clock: parts.clock,
      order: (one, other) => this.#entries.indexOf(one) - this.#entries.indexOf(other),
      readMap: () => parts.map.refresh(),
      send: (again) => {
        for (const part of again) this.send(part)
        this.#nodes.uncork()
      },
      give: () => this.#give(),
      over: () => this.#goOn(),
    })
    link.owner = this
  }

  receive(bytes: Buffer, taken: () => void): void {
    this.#taken = taken
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#consume()
  }

  resume(): void {
    this.#nodes.resume()
    if (this.#listening.isBehind) this.#listening.node?.pause()
  }

  leave(): void {
    if (this.#leaving !== null) return
    this.#leaving = setTimeout(() => this.close(), leavingMs).unref()
    // It may have left in the middle of what is done here.
    process.nextTick(() => {
      const last = this.#entries.at(-1)
      if (last?.mayBlock === true && !last.isDone) last.abandon()
      this.#nodes.resume()
      this.#takeMore()
      this.#endIfDone()
    })
  }

  finish(): void {
    this.#isAllTaken = true
    this.#endIfDone()
  }

  /** Who has left is done with once no more than a command that waits is under way for him. */
  #endIfDone(): void {
    if (this.#leaving === null || !this.#isAllTaken || this.#isClosed) return
    const isHeldUp = this.#isWaiting || this.#retries.areLeft
    if (isHeldUp || this.#entries.some((entry) => !entry.isDone && !entry.mayBlock)) return
    this.#isClosed = true
    this.#nodes.end()
    this.#forgetIfClosed()
  }

  #forgetIfClosed(): void {
    if (this.#leaving !== null && this.#nodes.areClosed) clearTimeout(this.#leaving)
  }

  close(): void {
    this.#isClosed = true
    if (this.#leaving !== null) clearTimeout(this.#leaving)
    this.#retries.end()
    this.#nodes.destroy()
  }

  /** Has the node that keeps the last command waiting end that. */
  endWait(answered: (answer: string) => void): void {
    const part = this.#entries.at(-1)?.parts.find(({ isUnderWay }) => isUnderWay)
    const node = part?.node ?? null
    if (node === null) answered('')
    else node.endWait((request, told) => this.parts.ask(node.endpoint, request, told), answered)
  }

  /** Ends everything: what follows could not be told apart from a healthy connection's. */
  fail(words: string): void {
    if (this.#leaving === null) this.#link.destroy(new Error(words))
    else this.close()
  }

  #differs({ endpoint }: ClusterNode): void {
    this.fail(`node ${endpointName(endpoint)} is not as the others`)
  }

  #consume(): void {
    const bytes = this.#held
    let offset = 0
    let unread: Buffer = nothing
    try {
      while (
        offset < bytes.length &&
        !this.#retries.areLeft &&
        !this.#isWaiting &&
        !this.#isClosed
      ) {
        const next = this.#framer.next(bytes, offset, bytes.length)
        const part = bytes.subarray(offset, next < 0 ? bytes.length : next)
        offset += part.length
        if (next < 0) this.#begun.push(part)
        else if (!this.#command((unread = this.#whole(part)))) this.#isWaiting = true
      }
    } catch (error) {
      this.fail(toPontoonError(error).message)
      return
    }
    this.#nodes.uncork()
    this.#held = bytes.subarray(offset)
    if (this.#isWaiting) this.#held = Buffer.concat([unread, this.#held])
    this.#give()
    this.#takeMore()
    this.#endIfDone()
  }

  /** Joined once, however many parts a large command has come in. */
  #whole(last: Buffer): Buffer {
    const whole = this.#begun.length === 0 ? last : Buffer.concat([...this.#begun.splice(0), last])
    return this.#framer.isInline ? usualForm(whole) : whole
  }

  /** More may come unless commands or replies are held up here or a node does not read. */
  #takeMore(): void {
    if (this.#taken === null || (this.#leaving === null && this.#isFull)) return
    const taken = this.#taken
    this.#taken = null
    process.nextTick(taken)
  }

  get #isFull(): boolean {
    const isHeldUp = this.#retries.areLeft || this.#isWaiting
    return isHeldUp || this.#heldBytes > heldBytesMax || this.#nodes.isCongested
  }

  /** False when the command must wait. */
  #command(bytes: Buffer): boolean {
    this.request.read(bytes, 0, bytes.length)
    if (this.request.count === 0 || this.#isQuit) return true
    const { facts, clusterRole: role } = this.parts.recordOf(this.request)
    if (this.#mustWait(facts, role)) return false
    if (this.#leaving !== null && !this.#transaction.isOpen && mayBlock(facts, this.request)) {
      // It would take something for nobody. Where it had to wait, nothing behind it was done.
      this.#isQuit = true
      return true
    }
    this.#replies.next()
    const isWrong = isMiscounted(facts, this.request.count)
    if (facts.name === 'reset' && !isWrong) this.#transaction.reset()
    if (role === ClusterRole.Quit) this.#quit(facts, bytes)
    else if (isWrong) this.#toAny(facts, bytes)
    else if (role === ClusterRole.Listen && !this.#transaction.isOpen) this.#listen(facts, bytes)
    else if (this.#listening.takesAll()) this.#toListened(facts, bytes)
    else if (this.#transaction.isOpen || role === ClusterRole.Transaction)
      this.#transaction.command(facts, bytes)
    else if (role === ClusterRole.Setup) this.#setUp(facts, Buffer.from(bytes))
    else this.#spread.command(facts, role, bytes)
    return true
  }

  /**
   * Where replies are not counted (MONITOR) nobody else sees to that. What is ahead may have to
   * be sent again: it would become a part of a transaction, or be answered as to another user.
   */
  #mustWait(facts: CommandFacts, role: ClusterRole): boolean {
    if (this.#transaction.isInDoubt || this.#setup.isAsked) return true
    const begins = role === ClusterRole.Listen && !this.#transaction.isOpen
    if (this.#listening.mustEndAheadOf(facts, begins)) return true
    const isMulti = facts.name === 'multi' && !this.#transaction.isOpen
    const changes = begins || isMulti || role === ClusterRole.Setup
    return changes && this.#entries.some(({ isDone }) => !isDone)
  }

  #goOn(): void {
    this.#isWaiting = false
    this.#consume()
  }

  /** One with too few or too many words: the node says so itself, in the words of its version. */
  #toAny(facts: CommandFacts, bytes: Buffer): void {
    if (this.#listening.takesAll()) this.#toListened(facts, bytes)
    else if (this.#transaction.isOpen) this.#transaction.refused(facts, bytes)
    else this.send(new Part(this.entry(facts), bytes, -1, null, this))
  }

  plan(facts: CommandFacts): ClusterPlan {
    return clusterPlan(facts, this.request, this.keys, this.parts.splitMset)
  }

  /** An entry whose reply is the next to come after those before it. */
  entry(facts: CommandFacts): Entry {
    const { clock, retryMs } = this.parts
    const isBlocking = mayBlock(facts, this.request)
    const entry = new Entry(facts.effect === 'read', isBlocking, clock.nowMs() + retryMs)
    entry.isSilent = this.#replies.isMute
    this.#entries.push(entry)
    return entry
  }

  answer(reply: Buffer): void {
    if (!this.#replies.isMute) this.#entries.push(Entry.ready(reply))
  }

  /** Behind the answer the connection ends. */
  #quit(facts: CommandFacts, bytes: Buffer): void {
    // Where all comes from one node, that node has the last word too.
    if (this.#listening.takesAll()) this.#toListened(facts, bytes)
    else this.answer(okReply)
    this.#isQuit = true
  }

  #setUp(facts: CommandFacts, bytes: Buffer): void {
    if (facts.name === 'reset') this.#replies.reset()
    this.#transaction.userChanges()
    // Where it listens: behind the answer come messages of the new version only.
    const { node: listened } = this.#listening
    const part = new Part(this.entry(facts), bytes, -1, listened?.endpoint ?? null, this)
    this.send(part)
    this.#setup.isAsked = true
    const version = facts.name === 'hello' ? versionAsked(bytes, 0, bytes.length) : null
    if (version === 2) this.#listening.mayTurnTo2()
    part.entry.rewrite = (reply) => {
      const isTaken = reply[0] !== marker.error
      if (isTaken && facts.name === 'reset') this.#listening.end()
      if (isTaken && version === 2) this.#listening.turnedTo2()
      this.#setup.answered(facts.name, bytes, isTaken)
      if (isTaken)
        for (const node of this.#nodes.besides(part.node))
          this.#setup.demand(node, bytes, () => this.#differs(node))
      return reply
    }
  }

  #listen(facts: CommandFacts, bytes: Buffer): void {
    const plan = this.plan(facts)
    if (plan.kind === 'refused') {
      this.answer(errorReply(plan.words))
      return
    }
    // Who has left all that was on a node may listen to another one.
    this.#listening.takesAll()
    const { node } = this.#listening
    const slot = plan.kind === 'slot' ? plan.slot : -1
    this.#listening.begin(node ?? this.nodeAt(this.endpointOf(slot)), facts)
    if (this.#listening.isForGood) this.#listening.mute(this.#replies)
    if (node === null && slot >= 0) this.#listening.mayFollow(bytes)
    this.#listening.send(bytes, facts, this.request.count)
  }

  /** All that it says comes back as it is. */
  #toListened(facts: CommandFacts, bytes: Buffer): void {
    const { node } = this.#listening
    this.#listening.send(bytes, facts, this.request.count)
    if (facts.name !== 'reset') return
    this.#replies.reset()
    this.#transaction.userChanges()
    this.#setup.answered('reset', bytes, true)
    for (const other of this.#nodes.besides(node)) other.send(bytes, ignored)
  }

  #heard(frame: Buffer): void {
    const redirect = this.#listening.redirectIn(frame)
    this.#learn(redirect)
    if (redirect !== null && this.#listening.follow(() => this.nodeAt(redirect.node))) return
    this.#listening.hears(frame)
    if (this.#entries[0]?.isStreaming === true) this.#listening.defer(frame)
    else this.#push(frame)
    if (this.#isWaiting) this.#goOn()
  }

  send(part: Part): void {
    const { redirect } = part
    const endpoint = redirect?.node ?? part.endpoint ?? this.endpointOf(part.slot)
    const node = this.nodeAt(endpoint)
    part.begin(node)
    part.redirect = null
    this.#inFlight += 1
    this.#nodes.cork(node)
    if (redirect?.isAsk === true) node.send(asking, ignored)
    node.send(part.request, part)
  }

  endpointOf(slot: number): Endpoint {
    const { map } = this.parts
    return (slot < 0 ? undefined : map.nodeOf(slot)) ?? map.anyNode
  }

  nodeAt(endpoint: Endpoint): ClusterNode {
    return this.#nodes.at(endpoint)
  }

  #nodeClosed(node: ClusterNode): void {
    if (this.#isClosed) this.#forgetIfClosed()
    else if (node === this.#listening.node && this.#isQuit) this.#end()
    else {
      // Or it was ended here, with a command that waits.
      if (this.#leaving === null) this.parts.map.avoid(node.endpoint)
      if (node === this.#listening.node || this.#transaction.isOn(node)) this.fail('a node is gone')
      // It may be what was waited for.
      else this.#takeMore()
    }
  }

  #end(): void {
    this.#isClosed = true
    this.#link.push(null)
  }

  // What its entries ask of it.

  isFirst(entry: Entry): boolean {
    return this.#entries[0] === entry
  }

  holds(bytes: number): void {
    this.#heldBytes += bytes
  }

  stream(bytes: Buffer, start: number, end: number): void {
    this.#push(Buffer.from(bytes.subarray(start, end)))
  }

  #push(bytes: Buffer): void {
    if (this.#isClosed || this.#leaving !== null || this.#link.push(bytes)) return
    this.#nodes.pause()
  }

  settled(part: Part): void {
    this.#inFlight -= 1
    this.#learn(part.redirect)
    this.#retries.settled(part)
    if (this.#inFlight === 0 && this.#retries.areLeft) this.#retries.recover()
    else this.#give()
    if (this.#isWaiting && this.#entries.length === 0) this.#goOn()
    this.#takeMore()
    this.#endIfDone()
  }

  #learn(redirect: Redirect | null): void {
    if (redirect?.isAsk !== false) return
    this.parts.map.moved(redirect.slot, redirect.node)
    // More than one slot moves at a time: what the others say is learnt for all at once.
    this.parts.map.refresh().catch(() => undefined)
  }

  #give(): void {
    const replies: Buffer[] = []
    for (let entry = this.#entries[0]; entry?.isDone === true; entry = this.#entries[0]) {
      this.#entries.shift()
      const reply = entry.reply()
      if (reply !== null) replies.push(reply)
      for (const part of entry.parts) part.release()
    }
    if (this.#entries[0]?.isStreaming !== true) replies.push(...this.#listening.deferred())
    if (this.#isClosed) return
    const [reply] = replies
    if (reply !== undefined) this.#push(replies.length === 1 ? reply : Buffer.concat(replies))
    if (this.#isQuit && this.#entries.length === 0 && !this.#listening.takesAll()) this.#end()
  }
}

const asking = command('ASKING')
