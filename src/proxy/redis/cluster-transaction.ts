/**
 * MULTI and WATCH over a cluster connection: a transaction lives on one node, and which one is known
 * at its first key. Until then its commands are kept and answered with QUEUED here. Neighbour:
 * cluster-connection.ts.
 */
import type { ClusterNode } from '../../net/redis/cluster-node.ts'
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { command, errorReply, okReply } from '../../wire/redis/write.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { Part, type Entry } from './cluster-entry.ts'

const multi = command('MULTI')
const discard = command('DISCARD')
const queued = Buffer.from('+QUEUED\r\n')

export class ClusterTransaction {
  readonly #connection: ClusterConnection
  #isWatching = false
  #inMulti = false
  /** It was refused a command: EXEC must not carry out the others. */
  #isBroken = false
  /** Where it lives, null until its first key. */
  #node: ClusterNode | null = null
  #kept: Buffer[] = []

  constructor(connection: ClusterConnection) {
    this.#connection = connection
  }

  takes({ name }: CommandFacts): boolean {
    return this.#inMulti || /^(?:multi|exec|discard|watch|unwatch)$/.test(name)
  }

  isOn(node: ClusterNode): boolean {
    return this.#node === node
  }

  command(facts: CommandFacts, bytes: Buffer): void {
    if (!this.#inMulti) this.#outside(facts, bytes)
    else if (facts.name === 'exec') this.#exec(facts, bytes)
    else if (facts.name === 'discard') this.#discard(facts, bytes)
    else this.#queue(facts, bytes)
  }

  #outside(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    switch (facts.name) {
      case 'multi':
        this.#inMulti = true
        if (this.#node === null) connection.answer(okReply)
        else this.#forward(this.#node, facts, bytes)
        return
      case 'watch': {
        const node = this.#nodeFor(facts)
        if (typeof node === 'string') connection.answer(errorReply(node))
        else {
          this.#isWatching = true
          this.#node = node ?? connection.nodeAt(connection.endpointOf(-1))
          this.#forward(this.#node, facts, bytes)
        }
        return
      }
      case 'unwatch':
        if (this.#node === null) connection.answer(okReply)
        else this.#forward(this.#node, facts, bytes)
        this.#end()
        return
      default:
        connection.answer(errorReply(`ERR ${facts.name.toUpperCase()} without MULTI`))
    }
  }

  #queue(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    const node = this.#nodeFor(facts)
    if (typeof node === 'string') {
      this.#isBroken = true
      connection.answer(errorReply(node))
    } else if (this.#node !== null) this.#forward(this.#node, facts, bytes)
    else if (node === null) {
      this.#kept.push(bytes)
      connection.answer(queued)
    } else {
      this.#begin(node, facts)
      this.#forward(node, facts, bytes)
    }
  }

  #exec(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    if (this.#isBroken) {
      if (this.#node !== null && !this.#keptOnly) this.#silently(this.#node, facts, discard)
      connection.answer(errorReply('EXECABORT Transaction discarded because of previous errors.'))
    } else {
      if (this.#node === null) this.#begin(connection.nodeAt(connection.endpointOf(-1)), facts)
      if (this.#node !== null) this.#forward(this.#node, facts, bytes)
    }
    this.#end()
  }

  #discard(facts: CommandFacts, bytes: Buffer): void {
    if (this.#node === null) this.#connection.answer(okReply)
    else this.#forward(this.#node, facts, bytes)
    this.#end()
  }

  /** Nothing of it has been sent yet. */
  get #keptOnly(): boolean {
    return this.#node === null
  }

  /** Sends what was kept until its node was known. */
  #begin(node: ClusterNode, facts: CommandFacts): void {
    this.#node = node
    this.#silently(node, facts, multi)
    for (const bytes of this.#kept) this.#silently(node, facts, bytes)
    this.#kept = []
  }

  #end(): void {
    this.#inMulti = false
    this.#isWatching = false
    this.#isBroken = false
    this.#node = null
    this.#kept = []
  }

  /** Null for a command without keys; words why it cannot be part of this transaction. */
  #nodeFor(facts: CommandFacts): ClusterNode | string | null {
    const connection = this.#connection
    const plan = connection.plan(facts)
    if (plan.kind === 'refused') return plan.words
    if (plan.kind === 'split')
      return "CROSSSLOT Keys in request don't hash to the same slot, and a transaction cannot be split over a cluster"
    if (plan.kind !== 'slot') return null
    const node = connection.nodeAt(connection.endpointOf(plan.slot))
    if (this.#node === null || this.#node === node) return node
    const what = this.#isWatching ? 'the watched keys' : 'the transaction so far'
    return (
      `CROSSSLOT slot ${plan.slot} lives on another node of the cluster than ${what}: ` +
      'give keys that are used together a common {hash tag}'
    )
  }

  #forward(node: ClusterNode, facts: CommandFacts, bytes: Buffer): void {
    this.#send(node, this.#connection.entry(facts), bytes)
  }

  #silently(node: ClusterNode, facts: CommandFacts, bytes: Buffer): void {
    const entry = this.#connection.entry(facts)
    entry.isSilent = true
    this.#send(node, entry, bytes)
  }

  #send(node: ClusterNode, entry: Entry, bytes: Buffer): void {
    entry.mayRetry = false
    this.#connection.send(new Part(entry, bytes, -1, node.endpoint, this.#connection))
  }
}
