/**
 * The blocking command that a client has under way on a server of its own (own-server.ts). A pause
 * ends it without its client's knowledge: CLIENT UNBLOCK makes the server answer as if the time
 * were over, that answer is kept from the client, and the command waits at the gate to be sent
 * again. What has been popped meanwhile is delivered: the socket is never closed on it.
 */
import { command } from '../../wire/redis/write.ts'
import { LatestIds } from './latest-ids.ts'
import type { ServerRelay } from './server-relay.ts'
import type { Session } from './session.ts'

/** It may not have come to block yet: how long until the server is asked again. */
const recallAgainMs = 10

export class BlockingCommand {
  readonly #session: Session
  readonly #relay: ServerRelay
  /** To be sent again after a pause. */
  #request: Buffer | null = null
  /** Where its streams ended when it was sent. */
  #latest: LatestIds | null = null
  /** A null that comes now is not for the client. */
  #isRecalled = false
  /** The server is asked to end it, or will be. */
  #recall: 'none' | 'asked' | 'later' = 'none'

  constructor(session: Session, relay: ServerRelay) {
    this.#session = session
    this.#relay = relay
  }

  get isUnderWay(): boolean {
    return this.#request !== null
  }

  /** The server may still be told to end what this connection waits for, whatever that is by then. */
  get isBeingEnded(): boolean {
    return this.#recall === 'asked'
  }

  /** It is about to be sent. Gives what must be asked ahead of it, on the same connection. */
  begin(name: string, request: Buffer): LatestIds | null {
    this.#request = request
    const canRecall = this.#relay.server.clientId !== null
    this.#latest = name === 'xread' && canRecall ? LatestIds.of(request) : null
    return this.#latest
  }

  /** It was answered, or its server or client is gone. */
  end(): void {
    this.#request = null
    this.#latest = null
  }

  recall(): void {
    const session = this.#session
    const { clientId, side } = this.#relay.server
    if (this.#request === null || clientId === null || this.#recall !== 'none') return
    if (session.outstanding !== 1) {
      // Replies ahead of it are to come, and one of those may be of a WAIT.
      this.#recallLater()
      return
    }
    const recalled = this.#request
    this.#recall = 'asked'
    this.#isRecalled = true
    session.groups[side].ask(command('CLIENT', 'UNBLOCK', clientId, 'TIMEOUT'), (answer) => {
      this.#recall = 'none'
      // It has taken another way than the command, and may have been faster.
      if (answer !== ':1\r\n' && this.#request === recalled) this.#recallLater()
    })
  }

  #recallLater(): void {
    this.#recall = 'later'
    setTimeout(() => {
      this.#recall = 'none'
      if (!this.#session.context.gate.isOpen) this.recall()
    }, recallAgainMs)
  }

  /** Whether the reply `bytes[start, end)` is the null of a recall. */
  withholds(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#isRecalled) return false
    this.#isRecalled = false
    return end - start <= 5 && /^(?:[*$]-1|_)\r\n$/.test(bytes.toString('latin1', start, end))
  }

  /** That null has come whole: the command waits at the gate again. */
  putBack(): void {
    const again = this.#latest?.request() ?? this.#request
    this.end()
    if (again !== null) this.#session.requests.putBack(again)
  }
}
