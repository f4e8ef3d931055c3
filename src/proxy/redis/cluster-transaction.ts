/**
 * MULTI and WATCH over a cluster connection: a transaction lives on one node, and which one is known
 * at its first key. Until then any node has it, which says of each command whether it can be part of
 * one, and the commands are kept for the node of that key. Neighbour: cluster-connection.ts.
 */
import type { ClusterNode } from '../../net/redis/cluster-node.ts'
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { command, errorReply, okReply } from '../../wire/redis/write.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { Part, type Entry } from './cluster-entry.ts'

const multi = command('MULTI')
const discard = command('DISCARD')
const noPermission = /^-NOPERM/
const watchInside = errorReply('ERR WATCH inside MULTI is not allowed')

/** It would hold on one node only. */
const notInside = /^(?:auth|hello|client\|set(?:name|info)|[ps]?(?:un)?subscribe|scan)$/

/** Of what goes to all nodes, what one of them can do as well. */
const ofAnyNode = /^(?:wait|waitaof|randomkey)$/

export class ClusterTransaction {
  readonly #connection: ClusterConnection
  /** How many WATCHes were sent and not refused; null for none. */
  #watching: { left: number } | null = null
  #inMulti = false
  /** Its user may use MULTI: a node has taken one. */
  #isAllowed = false
  /** A MULTI is asked for that may be refused: nobody knows what is behind it until it is answered. */
  isInDoubt = false
  /** It was refused a command: EXEC must not carry out the others. */
  #isBroken = false
  /** Where it lives, null until its first command. */
  #node: ClusterNode | null = null
  /** It lives there for want of a key. */
  #mayMove = false
  #kept: Buffer[] = []

  constructor(connection: ClusterConnection) {
    this.#connection = connection
  }

  get isOpen(): boolean {
    return this.#inMulti
  }

  /** RESET is sent to all nodes. */
  reset(): void {
    this.#end()
  }

  /** Whoever it is now may not be allowed what was allowed before. */
  userChanges(): void {
    this.#isAllowed = false
  }

  isOn(node: ClusterNode): boolean {
    return this.#node === node
  }

  command(facts: CommandFacts, bytes: Buffer): void {
    if (!this.#inMulti) this.#outside(facts, bytes)
    else if (facts.name === 'exec') this.#exec(facts, bytes)
    else if (facts.name === 'discard') this.#discard(facts, bytes)
    else if (notInside.test(facts.name)) this.#refuse(notThere(facts.name))
    // The node of its keys need not be the one of the transaction.
    else if (facts.name === 'watch') this.#connection.answer(watchInside)
    else this.queue(facts, bytes, this.#nodeFor(facts))
  }

  /** In the middle of one comes a command that its node will refuse, whatever it is. */
  refused(facts: CommandFacts, bytes: Buffer): void {
    // Of all commands EXEC ends a transaction then too.
    if (facts.name === 'exec') this.#exec(facts, bytes)
    else this.queue(facts, bytes, null)
  }

  #outside(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    switch (facts.name) {
      case 'multi':
        if (!this.#isAllowed) this.#ask(facts, bytes)
        else if (this.#node === null) connection.answer(okReply)
        else this.#forward(this.#node, facts, bytes)
        this.#inMulti = this.#isAllowed
        return
      case 'watch': {
        const node = this.#nodeFor(facts)
        if (typeof node === 'string') connection.answer(errorReply(node))
        else this.#watch(node ?? connection.nodeAt(connection.endpointOf(-1)), facts, bytes)
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

  /** Nobody has been asked yet whether this user may. */
  #ask(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    const watched = this.#node
    const entry = connection.entry(facts)
    this.isInDoubt = true
    entry.rewrite = (reply) => {
      this.isInDoubt = false
      if (reply[0] === marker.error) return reply
      this.#isAllowed = true
      this.#inMulti = true
      const node = entry.parts[0]?.node ?? null
      this.#mayMove = watched === null
      this.#node = node
      return reply
    }
    if (watched === null) connection.send(new Part(entry, bytes, -1, null, connection))
    else this.#send(watched, entry, bytes)
  }

  /** One that is refused watches nothing, so the next may be for another node. */
  #watch(node: ClusterNode, facts: CommandFacts, bytes: Buffer): void {
    this.#node = node
    const watching = (this.#watching ??= { left: 0 })
    watching.left += 1
    const entry = this.#connection.entry(facts)
    entry.rewrite = (reply) => {
      if (reply[0] !== marker.error) return reply
      watching.left -= 1
      const isOver = watching.left === 0 && this.#watching === watching && !this.#inMulti
      if (isOver) this.#end()
      return reply
    }
    this.#send(node, entry, bytes)
  }

  /** `node`: of its keys, null without any; words why it cannot be part of this transaction. */
  queue(facts: CommandFacts, bytes: Buffer, node: ClusterNode | string | null): void {
    const connection = this.#connection
    if (typeof node === 'string') {
      this.#refuse(node)
      return
    }
    if (this.#mayMove && node !== null) this.#settleOn(node, facts)
    if (this.#node === null) {
      this.#mayMove = node === null
      this.#begin(node ?? connection.nodeAt(connection.endpointOf(-1)), facts)
    }
    if (this.#mayMove) this.#kept.push(bytes)
    if (this.#node !== null) this.#forward(this.#node, facts, bytes)
  }

  #refuse(words: string): void {
    this.#isBroken = true
    this.#connection.answer(errorReply(words))
  }

  /** Its first key has come. */
  #settleOn(node: ClusterNode, facts: CommandFacts): void {
    this.#mayMove = false
    if (this.#node !== null && this.#node !== node) {
      this.#silently(this.#node, facts, discard)
      this.#begin(node, facts)
    }
    this.#kept = []
  }

  #exec(facts: CommandFacts, bytes: Buffer): void {
    const connection = this.#connection
    if (this.#isBroken) {
      if (this.#node !== null) this.#silently(this.#node, facts, discard)
      connection.answer(errorReply('EXECABORT Transaction discarded because of previous errors.'))
    } else {
      const node = this.#node ?? connection.nodeAt(connection.endpointOf(-1))
      if (this.#node === null) this.#begin(node, facts)
      this.#forward(node, facts, bytes)
    }
    this.#end()
  }

  #discard(facts: CommandFacts, bytes: Buffer): void {
    if (this.#node === null) this.#connection.answer(okReply)
    else this.#forward(this.#node, facts, bytes)
    this.#end()
  }

  /** Sends what another node has had of it so far. */
  #begin(node: ClusterNode, facts: CommandFacts): void {
    this.#node = node
    this.#silently(node, facts, multi).rewrite = (reply) => {
      // It was answered as if it had been taken, and all behind it is carried out singly.
      if (noPermission.test(reply.toString('latin1', 0, 8)))
        this.#connection.fail('MULTI is refused')
      return reply
    }
    for (const bytes of this.#kept) this.#silently(node, facts, bytes)
  }

  #end(): void {
    this.#inMulti = false
    this.#watching = null
    this.#isBroken = false
    this.#node = null
    this.#mayMove = false
    this.#kept = []
  }

  /** Null for a command without keys; words why it cannot be part of this transaction. */
  #nodeFor(facts: CommandFacts): ClusterNode | string | null {
    const connection = this.#connection
    const plan = connection.plan(facts)
    if (plan.kind === 'refused') return plan.words
    if (plan.kind === 'split')
      return "CROSSSLOT Keys in request don't hash to the same slot, and a transaction cannot be split over a cluster"
    if (plan.kind === 'all' && !ofAnyNode.test(facts.name)) return notThere(facts.name)
    if (plan.kind !== 'slot') return null
    const node = connection.nodeAt(connection.endpointOf(plan.slot))
    if (this.#node === null || this.#mayMove || this.#node === node) return node
    const what = this.#watching !== null ? 'the watched keys' : 'the transaction so far'
    return (
      `CROSSSLOT slot ${plan.slot} lives on another node of the cluster than ${what}: ` +
      'give keys that are used together a common {hash tag}'
    )
  }

  #forward(node: ClusterNode, facts: CommandFacts, bytes: Buffer): void {
    this.#send(node, this.#connection.entry(facts), bytes)
  }

  #silently(node: ClusterNode, facts: CommandFacts, bytes: Buffer): Entry {
    const entry = this.#connection.entry(facts)
    entry.isSilent = true
    this.#send(node, entry, bytes)
    return entry
  }

  #send(node: ClusterNode, entry: Entry, bytes: Buffer): void {
    entry.mayRetry = false
    this.#connection.send(new Part(entry, bytes, -1, node.endpoint, this.#connection))
  }
}

function notThere(name: string): string {
  const word = name.replace('|', ' ').toUpperCase()
  return `ERR ${word} inside MULTI does not work with a cluster behind Pontoon`
}
