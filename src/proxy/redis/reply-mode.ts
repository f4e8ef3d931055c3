/**
 * What CLIENT REPLY has said: whether a client gets replies, whoever gives them. Kept here where
 * several do: Pontoon itself beside a server (session.ts), the nodes of a cluster (cluster-connection.ts).
 */
export class ReplyMode {
  #state: 'on' | 'skip' | 'off' = 'on'
  /** The command at hand gets no reply. */
  isMute = false

  /** The next command will get no reply. */
  get isMuting(): boolean {
    return this.#state !== 'on'
  }

  /** Until it is said otherwise. */
  get isOff(): boolean {
    return this.#state === 'off'
  }

  /** The next command is looked at. */
  next(): void {
    this.isMute = this.isMuting
    if (this.#state === 'skip') this.#state = 'on'
  }

  /** The command at hand is dealt with. */
  passed(): void {
    this.isMute = false
  }

  /** By RESET, which is answered in spite of OFF, but not behind SKIP. */
  reset(): void {
    if (this.#state !== 'off') return
    this.#state = 'on'
    this.isMute = false
  }

  /** Somebody else keeps it from now on. */
  handOver(): string {
    const mode = this.#state
    this.#state = 'on'
    return mode
  }

  /** False when there is no such mode. */
  take(mode: string): boolean {
    if (mode === 'on') {
      this.#state = 'on'
      this.isMute = false
    } else if (mode === 'off') this.#state = 'off'
    else if (mode !== 'skip') return false
    else if (this.#state === 'on') this.#state = 'skip'
    return true
  }
}
