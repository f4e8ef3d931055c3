/**
 * Where a command goes that neither begins nor ends a state of its cluster connection: to the node of
 * its keys, to several, or to none because it is answered here. Neighbours: cluster-connection.ts,
 * cluster-transaction.ts.
 */
import type { Endpoint } from '../../net/address.ts'
import type { ClusterPlan } from '../../routing/redis/cluster-plan.ts'
import type { CommandFacts } from '../../routing/redis/command-facts.ts'
import { errorReply, okReply } from '../../wire/redis/write.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { Part, type Entry } from './cluster-entry.ts'
import { ClusterRole } from './cluster-role.ts'
import { scanEntry } from './cluster-scan.ts'
import { splitRequests } from './cluster-split.ts'
import type { ReplyMode } from './reply-mode.ts'

const noTracking = errorReply('ERR client-side caching does not work with a cluster behind Pontoon')

export class ClusterSpread {
  readonly #connection: ClusterConnection
  readonly #replies: ReplyMode

  constructor(connection: ClusterConnection, replies: ReplyMode) {
    this.#connection = connection
    this.#replies = replies
  }

  command(facts: CommandFacts, role: ClusterRole, bytes: Buffer): void {
    switch (role) {
      case ClusterRole.Select:
        if (!/^[+-]?\d+$/.test(this.#word(1))) break
        return this.#connection.answer(this.#select())
      case ClusterRole.OfNode:
        return this.#connection.answer(okReply)
      case ClusterRole.Tracking:
        return this.#connection.answer(noTracking)
      case ClusterRole.Reply:
        return this.#reply(facts, bytes)
      case ClusterRole.Scan:
        return this.#scan(facts, bytes)
      case ClusterRole.Pairs:
        return this.#spreadPairs(facts, bytes)
      default:
    }
    this.#spread(facts, bytes, this.#connection.plan(facts))
  }

  /** Its words are counted ahead of the slots of its keys, as by a server. */
  #spreadPairs(facts: CommandFacts, bytes: Buffer): void {
    const plan = this.#connection.plan(facts)
    if (this.#connection.request.count % 2 === 0 && plan.kind !== 'slot')
      this.#connection.answer(
        errorReply(`ERR wrong number of arguments for '${facts.name}' command`),
      )
    else this.#spread(facts, bytes, plan)
  }

  #spread(facts: CommandFacts, bytes: Buffer, plan: ClusterPlan): void {
    if (plan.kind === 'refused') {
      this.#connection.answer(errorReply(plan.words))
      return
    }
    const entry = this.#connection.entry(facts)
    if (plan.kind === 'all') {
      entry.merge = facts.merge
      for (const endpoint of this.#connection.parts.map.primaries)
        this.#send(entry, bytes, -1, endpoint)
    } else if (plan.kind === 'split') this.#split(entry, facts, plan)
    else this.#send(entry, bytes, plan.kind === 'slot' ? plan.slot : -1)
  }

  #send(entry: Entry, request: Buffer, slot: number, node: Endpoint | null = null): void {
    this.#connection.send(new Part(entry, request, slot, node, this.#connection))
  }

  /** It is about replies to the client, whatever node they are of. */
  #reply(facts: CommandFacts, bytes: Buffer): void {
    const mode = this.#word(2).toLowerCase()
    if (!this.#replies.take(mode)) this.#spread(facts, bytes, this.#connection.plan(facts))
    else if (mode === 'on') this.#connection.answer(okReply)
  }

  #scan(facts: CommandFacts, bytes: Buffer): void {
    const { request, parts } = this.#connection
    const scan = scanEntry(request, parts.map.primaries, bytes)
    if (Buffer.isBuffer(scan)) {
      this.#connection.answer(scan)
      return
    }
    const entry = this.#connection.entry(facts)
    entry.rewrite = scan.rewrite
    this.#send(entry, scan.request, -1, scan.node)
  }

  #split(
    entry: Entry,
    facts: CommandFacts,
    { groups }: Extract<ClusterPlan, { kind: 'split' }>,
  ): void {
    const { request: whole, keys } = this.#connection
    entry.merge = facts.merge
    if (facts.merge === 'join') entry.orders = groups.map((group) => group.keys)
    for (const [slot, request] of splitRequests(facts.name, whole, keys, groups))
      this.#send(entry, request, slot)
  }

  #select(): Buffer {
    if (this.#word(1) === '0') return okReply
    return errorReply('ERR SELECT is not allowed in cluster mode: a cluster has database 0 only')
  }

  #word(argument: number): string {
    const { bytes, starts, ends } = this.#connection.request
    return Buffer.from(bytes.subarray(starts[argument] ?? 0, ends[argument] ?? 0)).toString(
      'latin1',
    )
  }
}
