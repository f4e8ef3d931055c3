/**
 * Which node of a cluster serves which slot: read with CLUSTER SLOTS from any node that answers,
 * corrected by every MOVED. One map a side, shared by all its connections. Neighbours:
 * cluster-node.ts (a connection to one node), proxy/redis/cluster-*.ts (who asks).
 * https://redis.io/docs/latest/commands/cluster-slots/
 */
import { PontoonError } from '../../shared/errors.ts'
import type { Endpoint } from '../address.ts'

export const slotCount = 16_384

/** The protocol knows no more than a thousand nodes. */
const nodesMax = 1_000

/** After a reading the next one waits this long. */
const refreshEveryMs = 100

export interface ClusterMapParts {
  /** Where to ask first, and when nobody else answers. */
  readonly seed: Endpoint
  nowMs(): number
  /** Asks one node for CLUSTER SLOTS, as nested arrays; rejects when it cannot be had. */
  ask(node: Endpoint): Promise<unknown>
}

export class ClusterMap {
  readonly #parts: ClusterMapParts
  /** In the order of their first slot. */
  #primaries: readonly Endpoint[] = []
  /** The one of them that does what any can do. */
  #anyIndex = 0
  /** What a MOVED said, until the map is read anew. */
  readonly #moved = new Map<number, Endpoint>()
  #slots: (Endpoint | undefined)[] = []
  #reading: Promise<void> | null = null
  #readAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: ClusterMapParts) {
    this.#parts = parts
  }

  get isKnown(): boolean {
    return this.#primaries.length > 0
  }

  /** Undefined: nobody is known to serve it. */
  nodeOf(slot: number): Endpoint | undefined {
    return this.#moved.get(slot) ?? this.#slots[slot]
  }

  get primaries(): readonly Endpoint[] {
    return this.#primaries
  }

  /** Where what has no key goes. */
  get anyNode(): Endpoint {
    return this.#primaries[this.#anyIndex] ?? this.#parts.seed
  }

  /** The node could not be reached: what any node can do is for the next one from now on. */
  avoid(node: Endpoint): void {
    const { host, port } = this.anyNode
    if (host !== node.host || port !== node.port) return
    this.#anyIndex = (this.#anyIndex + 1) % Math.max(1, this.#primaries.length)
  }

  moved(slot: number, node: Endpoint): void {
    if (slot >= 0 && slot < slotCount) this.#moved.set(slot, node)
  }

  /** Reads the map unless that was done just now. Rejects when no node answers. */
  refresh(): Promise<void> {
    if (this.#parts.nowMs() - this.#readAtMs < refreshEveryMs) return Promise.resolve()
    this.#reading ??= this.#read().finally(() => {
      this.#readAtMs = this.#parts.nowMs()
      this.#reading = null
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    let failure: unknown = new PontoonError('SERVER_UNAVAILABLE', 'no slot has a node')
    const [before, after] = [
      this.#primaries.slice(0, this.#anyIndex),
      this.#primaries.slice(this.#anyIndex),
    ]
    for (const node of [...after, ...before, this.#parts.seed]) {
      try {
        const ranges = readSlots(await this.#parts.ask(node), node)
        if (ranges.length > 0) return this.#take(ranges)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  #take(ranges: readonly SlotRange[]): void {
    const slots: (Endpoint | undefined)[] = Array.from({ length: slotCount })
    const primaries = new Map<string, Endpoint>()
    for (const { from, to, node } of ranges.toSorted((a, b) => a.from - b.from)) {
      const name = `${node.host}:${node.port}`
      const one = primaries.get(name) ?? node
      primaries.set(name, one)
      slots.fill(one, from, to + 1)
    }
    this.#slots = slots
    this.#primaries = [...primaries.values()].slice(0, nodesMax)
    if (this.#anyIndex >= this.#primaries.length) this.#anyIndex = 0
    this.#moved.clear()
  }
}

export interface SlotRange {
  readonly from: number
  readonly to: number
  readonly node: Endpoint
}

/** The primaries of the reply; a node that does not know its own host is the one that was asked. */
export function readSlots(reply: unknown, asked: Endpoint): SlotRange[] {
  if (!Array.isArray(reply)) {
    const words = reply instanceof Error ? reply.message : 'it does not answer CLUSTER SLOTS'
    throw new PontoonError('SERVER_REJECTED', `this is no cluster: ${words}`)
  }
  return reply.flatMap((entry: unknown) => {
    const [from, to, primary]: unknown[] = Array.isArray(entry) ? entry : []
    const [host, port]: unknown[] = Array.isArray(primary) ? primary : []
    if (typeof from !== 'number' || typeof to !== 'number' || typeof port !== 'number') return []
    if (from < 0 || to >= slotCount || from > to) return []
    const name = typeof host === 'string' && host !== '' && host !== '?' ? host : asked.host
    return [{ from, to, node: { host: name, port } }]
  })
}

export interface Redirect {
  readonly isAsk: boolean
  readonly slot: number
  readonly node: Endpoint
}

/** `MOVED 3999 host:port` or `ASK 3999 host:port`; an empty host is the node that said so. */
export function readRedirect(words: string, said: Endpoint): Redirect | undefined {
  const match = /^(MOVED|ASK) (\d+) (.*):(\d+)$/.exec(words)
  if (match === null) return undefined
  const [, kind, slot, host = '', port] = match
  const name = host === '' || host === '?' ? said.host : host
  return { isAsk: kind === 'ASK', slot: Number(slot), node: { host: name, port: Number(port) } }
}
