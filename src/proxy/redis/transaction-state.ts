/**
 * What MULTI and WATCH have left on a server that is one client's own (own-server.ts). Commands are
 * followed as they are sent, because what is sent behind them depends on it; a server may refuse
 * one, so whenever nothing is owed the replies have the last word.
 */
import { marker } from '../../wire/redis/protocol.ts'

export class TransactionState {
  /** A MULTI was sent and not ended. */
  isOpen = false
  isWatching = false
  /** A MULTI was sent that may be refused: what is sent behind it need not be queued. */
  isInDoubt = false
  /** A MULTI was taken, and no EXEC or DISCARD since. */
  #isOpenThere = false

  sent(name: string): void {
    switch (name) {
      case 'multi':
        this.isOpen = true
        this.isInDoubt = true
        break
      case 'watch':
        this.isWatching = true
        break
      case 'unwatch':
        if (!this.isOpen) this.isWatching = false
        break
      default:
        // EXEC and DISCARD end both.
        this.isOpen = false
        this.isWatching = false
    }
  }

  /** The reply to one of them begins at `at`, or in an earlier chunk (-1). True when it was refused. */
  replied(name: string, bytes: Buffer, at: number, type: number): boolean {
    const isError = type === marker.error
    const isAborted = isError && at >= 0 && bytes.toString('latin1', at, at + 10) === '-EXECABORT'
    const isTaken = !isError || isAborted
    if (isTaken && name === 'multi') this.#isOpenThere = true
    if (isTaken && (name === 'exec' || name === 'discard')) this.#isOpenThere = false
    return !isTaken
  }

  /** A RESET has ended it. */
  reset(): void {
    this.isWatching = false
    this.#isOpenThere = false
  }

  /** Everything has been answered. */
  rest(): void {
    this.isOpen = this.#isOpenThere
    this.isInDoubt = false
  }
}
