/**
 * Questions of Pontoon's own to nodes of a cluster, over a connection of their own: the one whose
 * command waits for data cannot ask. A connection is opened for the first question and closed when
 * there is no other, so that a crowd of questions shares one.
 */
import { withDialogue } from '../../net/redis/ask.ts'
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import { endpointName } from '../../net/address.ts'

interface Errand {
  readonly request: Buffer
  answered(answer: string): void
}

export class NodeErrands {
  readonly #queues = new Map<string, Errand[]>()

  /** `answered` gets the reply, or '' when there is none. */
  ask(login: RedisLoginOptions, request: Buffer, answered: (answer: string) => void): void {
    const name = `${endpointName(login.endpoint)} ${login.user ?? ''}`
    const present = this.#queues.get(name)
    if (present !== undefined) {
      present.push({ request, answered })
      return
    }
    const queue: Errand[] = [{ request, answered }]
    this.#queues.set(name, queue)
    this.#run(login, queue, () => this.#queues.delete(name)).catch(() => {
      this.#queues.delete(name)
      for (const errand of queue) errand.answered('')
    })
  }

  async #run(login: RedisLoginOptions, queue: Errand[], done: () => void): Promise<void> {
    await withDialogue(login, async (dialogue) => {
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        // eslint-disable-next-line no-await-in-loop -- one after the other, on one connection
        const reply = await dialogue.ask(next.request)
        queue.shift()
        next.answered(reply.toString('latin1'))
      }
      done()
    })
  }
}
