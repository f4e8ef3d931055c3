/** The connections of one cluster connection (cluster-connection.ts) to nodes: one to each it needs. */
import type { Endpoint } from '../../net/address.ts'
import { ClusterNode, type ClusterNodeParts } from '../../net/redis/cluster-node.ts'

/** Unwritten bytes of a node at which nothing more is taken. */
const congestedBytes = 256 * 1024

export interface ClusterNodesParts extends ClusterNodeParts {
  /** A new one: what it has to be told ahead of all else. */
  introduce(node: ClusterNode): void
}

export class ClusterNodes {
  readonly #parts: ClusterNodesParts
  /** By their endpoints. */
  readonly #nodes = new Map<string, ClusterNode>()
  /** Those that are ended have no place any more, and are not closed yet. */
  readonly #all = new Set<ClusterNode>()
  readonly #corked = new Set<ClusterNode>()

  constructor(parts: ClusterNodesParts) {
    this.#parts = parts
  }

  at(endpoint: Endpoint): ClusterNode {
    const name = `${endpoint.host}:${endpoint.port}`
    const present = this.#nodes.get(name)
    if (present?.isUsable === true) return present
    const node: ClusterNode = new ClusterNode(endpoint, {
      ...this.#parts,
      onClosed: (closed) => {
        this.#all.delete(node)
        this.#parts.onClosed(closed)
      },
    })
    this.#nodes.set(name, node)
    this.#all.add(node)
    this.#parts.introduce(node)
    return node
  }

  /** What is sent to it leaves in one write, with uncork. */
  cork(node: ClusterNode): void {
    if (this.#corked.has(node)) return
    node.cork()
    this.#corked.add(node)
  }

  uncork(): void {
    for (const node of this.#corked) node.uncork()
    this.#corked.clear()
  }

  /** All but that one. */
  besides(one: ClusterNode | null): readonly ClusterNode[] {
    return [...this.#nodes.values()].filter((node) => node !== one && node.isUsable)
  }

  get isCongested(): boolean {
    for (const node of this.#all) if (node.unwrittenBytes > congestedBytes) return true
    return false
  }

  get areClosed(): boolean {
    return this.#all.size === 0
  }

  pause(): void {
    for (const node of this.#all) node.pause()
  }

  resume(): void {
    for (const node of this.#all) node.resume()
  }

  /** Each behind what it was sent. */
  end(): void {
    for (const node of this.#all) node.end()
  }

  destroy(): void {
    for (const node of this.#all) node.destroy()
    this.#all.clear()
    this.#nodes.clear()
  }
}
