/**
 * What commands about the connection leave on a server that is one client's own (own-server.ts):
 * what can be made of another server as well (connection-setup.ts), and what cannot.
 */
import { marker } from '../../wire/redis/protocol.ts'
import type { CommandRecord } from './command-book.ts'
import type { ConnectionSetup } from './connection-setup.ts'

export class Traces {
  readonly setup: ConnectionSetup
  /** What is on it for good that no other server can have as well; '' for nothing. */
  #sticky = ''
  /** What SELECT, HELLO or RESET asked for, once it succeeds. */
  #onSuccess: { readonly of: CommandRecord; run(): void } | null = null

  constructor(setup: ConnectionSetup) {
    this.setup = setup
  }

  get isSticky(): boolean {
    return this.#sticky !== ''
  }

  get isAny(): boolean {
    return this.isSticky || this.setup.size > 0
  }

  /** What one of them changes must be known before anything is sent behind it. */
  get isPending(): boolean {
    return this.#onSuccess !== null
  }

  stick(what: string): void {
    this.#sticky ||= what
  }

  /** Where one thing cannot be had elsewhere, the others need not be known. `request`: if it is seen. */
  asks(name: string, request: Buffer | null): void {
    if (this.isSticky) return
    if (request === null || !this.setup.ask(name, request)) this.#sticky = name
  }

  whenTaken(record: CommandRecord, run: () => void): void {
    this.#onSuccess = { of: record, run }
  }

  replied(record: CommandRecord, type: number): void {
    const isRefused = type === marker.error
    if (!this.setup.answered(record.name, isRefused)) this.stick(`error of ${record.name}`)
    if (record !== this.#onSuccess?.of) return
    if (!isRefused) this.#onSuccess.run()
    this.#onSuccess = null
  }
}
