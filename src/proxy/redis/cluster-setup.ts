/**
 * What a client makes of its connection (who it is, version of the protocol, name) while that is one to
 * a cluster: it has to hold on every node, also on those that are opened later. One node is asked for
 * the client, its answer decides; the others are sent the same.
 */
import type { ClusterNode, ReplySink } from '../../net/redis/cluster-node.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'
import { ConnectionSetup } from './connection-setup.ts'

export class ClusterSetup {
  readonly #done = new ConnectionSetup()
  /** Not answered yet. */
  readonly #asked: Buffer[] = []
  #isReset = false

  /** The result hears the answer, and gives it back. */
  ask(name: string, request: Buffer): (reply: Buffer) => Buffer {
    this.#asked.push(request)
    return (reply) => {
      this.#asked.shift()
      if (reply[0] === marker.error) return reply
      if (name === 'reset') {
        this.#isReset = true
        this.#done.clear()
      } else if (this.#done.ask(name, request)) this.#done.answered(name, false)
      return reply
    }
  }

  /** To a new node, ahead of all else. `refused` is called when it does not take what others took. */
  introduce(node: ClusterNode, refused: () => void): void {
    if (this.#isReset) node.introduce(reset, new Demand(refused))
    for (const [, request] of this.#done.requests()) node.introduce(request, new Demand(refused))
    // Whoever refuses them, all do.
    for (const request of this.#asked) node.send(request, ignored)
  }
}

const reset = command('RESET')

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
