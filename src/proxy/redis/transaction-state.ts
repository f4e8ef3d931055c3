/**
 * What MULTI and WATCH have left on a server that is one client's own (own-server.ts). Commands are
 * followed as they are sent, because what is sent behind them depends on it; a server may refuse
 * one, so whenever nothing is owed the replies have the last word.
 */
import type { RespVersion } from '../../net/redis/login.ts'
import { marker, minus } from '../../wire/redis/protocol.ts'

/** An EXEC so refused has ended its transaction; of a cluster also where a slot has moved. */
const ended = /^-(?:EXECABORT|TRYAGAIN|CLUSTERDOWN|MOVED|ASK)\b/

/**
 * By an EXEC: `unconfirmed`, as it has subscribed or may have changed the version, which a HELLO will
 * tell; or `uncounted`, as it has subscribed where a server may take no HELLO.
 */
export type Outcome = 'taken' | 'refused' | 'unconfirmed' | 'uncounted'

export class TransactionState {
  /** A MULTI was sent and not ended. */
  isOpen = false
  isWatching = false
  /** A MULTI was sent that may be refused: what is sent behind it need not be queued. */
  isInDoubt = false
  /** With EXEC its subscriptions begin to speak. */
  #subscribes = false
  /** With EXEC replies may end or begin to come. */
  #tells = false
  /** With EXEC it may speak another version. */
  #greets = false
  /** That EXEC was sent: what it says must be known before anything is sent behind it. */
  isAwaited = false
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
        this.isAwaited = name === 'exec' && (this.#subscribes || this.#tells || this.#greets)
    }
  }

  /** A subscription was sent inside MULTI. */
  subscribes(): void {
    this.#subscribes = true
  }

  /** A CLIENT REPLY was sent inside MULTI. */
  tells(): void {
    this.#tells = true
  }

  /** A HELLO was sent inside MULTI. */
  greets(): void {
    this.#greets = true
  }

  /** The reply to one of them begins at `at`, or in an earlier chunk (-1). `version`: as it was before. */
  replied(name: string, bytes: Buffer, at: number, type: number, version: RespVersion): Outcome {
    const isError = type === marker.error
    const isExec = name === 'exec'
    const isAborted =
      isExec && isError && at >= 0 && ended.test(bytes.toString('latin1', at, at + 14))
    const isTaken = !isError || isAborted
    if (isTaken && name === 'multi') this.#isOpenThere = true
    const ends = name === 'exec' || name === 'discard'
    if (ends) this.isAwaited = false
    if (!isTaken) return 'refused'
    if (!ends) return 'taken'
    this.#isOpenThere = false
    const isNull = at >= 0 && bytes[at + 1] === minus
    const hasRun = isExec && type === marker.array && !isNull
    const isUncounted = this.#subscribes && (this.#greets || version === 2)
    const isUnconfirmed = this.#subscribes || this.#greets
    this.#subscribes = false
    this.#tells = false
    this.#greets = false
    if (!hasRun || !isUnconfirmed) return 'taken'
    return isUncounted ? 'uncounted' : 'unconfirmed'
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
