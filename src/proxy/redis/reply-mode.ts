/**
 * What CLIENT REPLY has said of a connection to a cluster: whether its client gets replies, whatever
 * node they are of. Neighbour: cluster-connection.ts.
 */
export class ReplyMode {
  #state: 'on' | 'skip' | 'off' = 'on'
  /** The command at hand gets no reply. */
  isMute = false

  /** The next command is looked at. */
  next(): void {
    this.isMute = this.#state !== 'on'
    if (this.#state === 'skip') this.#state = 'on'
  }

  reset(): void {
    this.#state = 'on'
    this.isMute = false
  }

  /** False when there is no such mode. */
  take(mode: string): boolean {
    if (mode === 'on') this.reset()
    else if (mode === 'off') this.#state = 'off'
    else if (mode !== 'skip') return false
    else if (this.#state === 'on') this.#state = 'skip'
    return true
  }
}
