/**
 * What a client makes of its connection (who it is, version of the protocol, name) while that is one to
 * a cluster: it has to hold on every node, also on those that are opened later. One node is asked for
 * the client, its answer decides; the others are told the same then. Until a node has taken it, it gets
 * nothing that comes behind.
 */
import type { ClusterNode, ReplySink } from '../../net/redis/cluster-node.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { resetRequest } from '../../wire/redis/write.ts'
import { ConnectionSetup } from './connection-setup.ts'

export class ClusterSetup {
  readonly #done = new ConnectionSetup()
  #isReset = false
  /** The node that was asked has not answered. */
  isAsked = false

  /** The node that was asked has answered. */
  answered(name: string, request: Buffer, isTaken: boolean): void {
    this.isAsked = false
    if (!isTaken) return
    if (name === 'reset') {
      this.#isReset = true
      this.#done.clear()
    } else if (this.#done.ask(name, request)) this.#done.answered(name, false)
  }

  /** To a new node, ahead of all else. */
  introduce(node: ClusterNode, refused: () => void): void {
    if (this.#isReset) this.demand(node, resetRequest, refused)
    for (const [, request] of this.#done.requests()) this.demand(node, request, refused)
  }

  /** What another one took. `refused` is called when this one does not. */
  demand(node: ClusterNode, request: Buffer, refused: () => void): void {
    node.introduce(request, new Demand(refused))
  }
}

export const ignored: ReplySink = {
  onPart: () => undefined,
  onLost: () => undefined,
}

class Demand implements ReplySink {
  readonly #refused: () => void
  #isBegun = false

  constructor(refused: () => void) {
    this.#refused = refused
  }

  onPart(bytes: Buffer, start: number): void {
    if (!this.#isBegun && bytes[start] === marker.error) this.#refused()
    this.#isBegun = true
  }

  onLost(): void {
    // Its connection tells what that means.
  }
}
