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
import type { Endpoint } from '../../net/address.ts'
import type { ClusterMap } from '../../net/redis/cluster-map.ts'
import { ClusterNode } from '../../net/redis/cluster-node.ts'
import type { RedisLoggedIn } from '../../net/redis/login.ts'
import { clusterPlan, type ClusterPlan } from '../../routing/redis/cluster-plan.ts'
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { KeyList } from '../../routing/redis/command-keys.ts'
import type { Clock } from '../../shared/clock.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { ArgumentPositions } from '../../wire/redis/argument-positions.ts'
import { CommandFramer } from '../../wire/redis/command-framer.ts'
import { command, errorReply, okReply } from '../../wire/redis/write.ts'
import { Entry, Part, type EntryOwner } from './cluster-entry.ts'
import type { ClusterLink, LinkOwner } from './cluster-link.ts'
import { scanEntry } from './cluster-scan.ts'
import { ClusterTransaction } from './cluster-transaction.ts'

export interface ClusterParts {
  readonly map: ClusterMap
  readonly clock: Clock
  readonly splitMset: boolean
  /** How long a command may be sent again and again. */
  readonly retryMs: number
  open(endpoint: Endpoint): Promise<RedisLoggedIn>
  factsOf(request: ArgumentPositions): CommandFacts
}

/** Unwritten bytes of a node at which nothing more is taken. */
const congestedBytes = 256 * 1024

const retryDelayMs = { first: 20, max: 500 } as const

/** After these the node speaks unasked or not at all: the connection becomes one to that node. */
const tunnels = /^(?:[ps]?subscribe|monitor|p?sync|client\|reply)$/

const nothing = Buffer.alloc(0)

export class ClusterConnection implements LinkOwner, EntryOwner {
  readonly parts: ClusterParts
  readonly request = new ArgumentPositions()
  readonly keys = new KeyList()
  readonly #link: ClusterLink
  readonly #framer = new CommandFramer()
  readonly #transaction = new ClusterTransaction(this)
  readonly #nodes = new Map<string, ClusterNode>()
  readonly #corked = new Set<ClusterNode>()
  /** In the order of their replies. */
  readonly #entries: Entry[] = []
  /** What has not been looked at. */
  #held: Buffer = nothing
  /** The beginning of a command, in the parts that it came in. */
  readonly #begun: Buffer[] = []
  #taken: (() => void) | null = null
  #inFlight = 0
  #refused: Part[] = []
  #isRecovering = false
  #delayMs: number = retryDelayMs.first
  #timer: NodeJS.Timeout | null = null
  #tunnel: ClusterNode | null = null
  #isClosed = false

  constructor(link: ClusterLink, parts: ClusterParts) {
    this.#link = link
    this.parts = parts
    link.owner = this
  }

  receive(bytes: Buffer, taken: () => void): void {
    this.#taken = taken
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#consume()
  }

  resume(): void {
    for (const node of this.#nodes.values()) node.resume()
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const node of this.#nodes.values()) node.destroy()
    this.#nodes.clear()
  }

  /** Ends everything: what follows could not be told apart from a healthy connection's. */
  fail(words: string): void {
    this.#link.destroy(new Error(words))
  }

  /** While refused commands are sent again nothing may overtake them. */
  get #isHeldUp(): boolean {
    return this.#refused.length > 0 || this.#isRecovering
  }

  #consume(): void {
    const bytes = this.#held
    let offset = 0
    try {
      while (offset < bytes.length && !this.#isHeldUp && !this.#isClosed) {
        if (this.#tunnel !== null) {
          this.#tunnel.send(bytes.subarray(offset), null)
          offset = bytes.length
          break
        }
        const next = this.#framer.next(bytes, offset, bytes.length)
        const part = bytes.subarray(offset, next < 0 ? bytes.length : next)
        offset += part.length
        if (next < 0) this.#begun.push(part)
        else this.#command(this.#whole(part))
      }
    } catch (error) {
      this.fail(toPontoonError(error).message)
      return
    }
    for (const node of this.#corked) node.uncork()
    this.#corked.clear()
    this.#held = bytes.subarray(offset)
    this.#give()
    this.#takeMore()
  }

  /** Joined once, however many parts a large command has come in. */
  #whole(last: Buffer): Buffer {
    return this.#begun.length === 0 ? last : Buffer.concat([...this.#begun.splice(0), last])
  }

  /** More may come unless commands are held up here or a node does not read. */
  #takeMore(): void {
    if (this.#taken === null || this.#isHeldUp) return
    for (const node of this.#nodes.values()) if (node.unwrittenBytes > congestedBytes) return
    const taken = this.#taken
    this.#taken = null
    process.nextTick(taken)
  }

  #command(bytes: Buffer): void {
    this.request.read(bytes, 0, bytes.length)
    if (this.request.count === 0) return
    const facts = this.parts.factsOf(this.request)
    if (this.#transaction.takes(facts)) {
      this.#transaction.command(facts, bytes)
      return
    }
    if (facts.name === 'select') this.answer(this.#select())
    else if (/^(?:asking|readonly|readwrite)$/.test(facts.name)) this.answer(okReply)
    else if (/^client\|(?:tracking|caching)$/.test(facts.name))
      this.answer(errorReply('ERR client-side caching does not work with a cluster behind Pontoon'))
    else if (facts.name === 'scan') this.#scan(facts, bytes)
    else this.#spread(facts, bytes, this.plan(facts))
  }

  plan(facts: CommandFacts): ClusterPlan {
    return clusterPlan(facts, this.request, this.keys, this.parts.splitMset)
  }

  #spread(facts: CommandFacts, bytes: Buffer, plan: ClusterPlan): void {
    if (plan.kind === 'refused') {
      this.answer(errorReply(plan.words))
      return
    }
    if (tunnels.test(facts.name)) {
      this.#beginTunnel(bytes, plan.kind === 'slot' ? plan.slot : -1)
      return
    }
    const entry = this.entry(facts)
    if (plan.kind === 'all') {
      entry.merge = facts.merge
      for (const endpoint of this.parts.map.primaries)
        this.send(new Part(entry, bytes, -1, endpoint, this))
    } else if (plan.kind === 'split') this.#split(entry, facts, plan)
    else this.send(new Part(entry, bytes, plan.kind === 'slot' ? plan.slot : -1, null, this))
  }

  /** An entry whose reply is the next to come after those before it. */
  entry(facts: CommandFacts): Entry {
    const { clock, retryMs } = this.parts
    const entry = new Entry(facts.effect === 'read', clock.nowMs() + retryMs)
    this.#entries.push(entry)
    return entry
  }

  answer(reply: Buffer): void {
    this.#entries.push(Entry.ready(reply))
  }

  #select(): Buffer {
    const { bytes, starts, ends, count } = this.request
    const index = Buffer.from(bytes.subarray(starts[1] ?? 0, ends[1] ?? 0)).toString('latin1')
    if (count === 2 && index === '0') return okReply
    return errorReply('ERR SELECT is not allowed in cluster mode: a cluster has database 0 only')
  }

  #split(
    entry: Entry,
    facts: CommandFacts,
    { groups }: Extract<ClusterPlan, { kind: 'split' }>,
  ): void {
    entry.merge = facts.merge
    if (facts.merge === 'join') entry.orders = groups.map((group) => group.keys)
    const words = (argument: number): Buffer => {
      const { bytes, starts, ends } = this.request
      return Buffer.from(bytes.subarray(starts[argument] ?? 0, ends[argument] ?? 0))
    }
    const name = words(0)
    for (const group of groups) {
      const args = group.keys.flatMap((key) => {
        const at = this.keys.at(key)
        return facts.name === 'mset' ? [words(at), words(at + 1)] : [words(at)]
      })
      this.send(new Part(entry, command(name, ...args), group.slot, null, this))
    }
  }

  #scan(facts: CommandFacts, bytes: Buffer): void {
    const scan = scanEntry(this.request, this.parts.map.primaries, bytes)
    if (Buffer.isBuffer(scan)) {
      this.answer(scan)
      return
    }
    const entry = this.entry(facts)
    entry.rewrite = scan.rewrite
    this.send(new Part(entry, scan.request, -1, scan.node, this))
  }

  /** From here on all that comes goes to that node, and all that it says comes back. */
  #beginTunnel(bytes: Buffer, slot: number): void {
    const node = this.nodeAt(this.#endpoint(slot))
    node.tunnel()
    node.send(bytes, null)
    this.#tunnel = node
  }

  send(part: Part): void {
    const { redirect } = part
    const endpoint = redirect?.node ?? part.endpoint ?? this.#endpoint(part.slot)
    const node = this.nodeAt(endpoint)
    part.begin(node)
    part.redirect = null
    this.#inFlight += 1
    if (!this.#corked.has(node)) {
      node.cork()
      this.#corked.add(node)
    }
    if (redirect?.isAsk === true) node.send(asking, ignored)
    node.send(part.request, part)
  }

  #endpoint(slot: number): Endpoint {
    const { map } = this.parts
    return (slot < 0 ? undefined : map.nodeOf(slot)) ?? map.anyNode
  }

  endpointOf(slot: number): Endpoint {
    return this.#endpoint(slot)
  }

  nodeAt(endpoint: Endpoint): ClusterNode {
    const name = `${endpoint.host}:${endpoint.port}`
    const present = this.#nodes.get(name)
    if (present !== undefined && !present.isClosed) return present
    const node = new ClusterNode(endpoint, {
      open: (at) => this.parts.open(at),
      onUnasked: (bytes, start, end) => this.stream(bytes, start, end),
      onDrained: () => this.#takeMore(),
      onClosed: (closed) => {
        if (closed === this.#tunnel || this.#transaction.isOn(closed)) this.fail('a node is gone')
      },
    })
    this.#nodes.set(name, node)
    return node
  }

  // What its entries ask of it.

  isFirst(entry: Entry): boolean {
    return this.#entries[0] === entry
  }

  stream(bytes: Buffer, start: number, end: number): void {
    if (this.#link.push(Buffer.from(bytes.subarray(start, end)))) return
    for (const node of this.#nodes.values()) node.pause()
  }

  settled(part: Part): void {
    this.#inFlight -= 1
    if (part.verdict === 'done') this.#delayMs = retryDelayMs.first
    else {
      if (part.redirect?.isAsk === false) {
        this.parts.map.moved(part.redirect.slot, part.redirect.node)
        // More than one slot moves at a time: what the others say is learnt for all at once.
        this.parts.map.refresh().catch(() => undefined)
      }
      this.#refused.push(part)
    }
    if (this.#inFlight === 0 && this.#isHeldUp) this.#recover()
    else this.#give()
  }

  #give(): void {
    const replies: Buffer[] = []
    for (let entry = this.#entries[0]; entry?.isDone === true; entry = this.#entries[0]) {
      this.#entries.shift()
      const reply = entry.reply()
      if (reply !== null) replies.push(reply)
    }
    if (replies.length === 0 || this.#isClosed) return
    if (!this.#link.push(replies.length === 1 ? replies[0] : Buffer.concat(replies))) {
      for (const node of this.#nodes.values()) node.pause()
    }
  }

  /**
   * Nothing is under way: the refused ones are sent again, one entry after the other, because one
   * that is refused once more must not be overtaken by those behind it.
   */
  #recover(): void {
    const now = this.parts.clock.nowMs()
    for (const part of this.#refused) if (part.entry.deadlineMs <= now) part.isDone = true
    this.#refused = this.#refused
      .filter((part) => !part.isDone)
      .toSorted((a, b) => this.#entries.indexOf(a.entry) - this.#entries.indexOf(b.entry))
    this.#give()
    const first = this.#refused[0]?.entry
    this.#isRecovering = first !== undefined
    if (first === undefined) this.#consume()
    else if (first.parts.every((part) => part.verdict !== 'later')) this.#sendAgain()
    else {
      this.#timer = setTimeout(() => this.#readMapAndSendAgain(), this.#delayMs)
      this.#delayMs = Math.min(this.#delayMs * 2, retryDelayMs.max)
    }
  }

  #readMapAndSendAgain(): void {
    const again = (): void => {
      if (!this.#isClosed) this.#sendAgain()
    }
    this.parts.map.refresh().then(again, again)
  }

  #sendAgain(): void {
    const first = this.#refused[0]?.entry
    const again = this.#refused.filter((part) => part.entry === first)
    this.#refused = this.#refused.filter((part) => part.entry !== first)
    for (const part of again) this.send(part)
    for (const node of this.#corked) node.uncork()
    this.#corked.clear()
  }
}

const asking = command('ASKING')

const ignored = {
  onPart: (): void => undefined,
  onLost: (): void => undefined,
}
