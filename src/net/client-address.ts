/** Where a client comes from, in words; asked of the system only when somebody wants to know. */
import { BareSocket } from './bare-socket.ts'
import type { Carrier } from './carrier.ts'

export class ClientAddress {
  readonly #carrier: Carrier
  #text: string | null = null

  constructor(carrier: Carrier) {
    this.#carrier = carrier
  }

  /** `address:port`, `unix` for a Unix socket, `unknown` when the client has gone before. */
  get text(): string {
    return (this.#text ??= textOf(this.#carrier))
  }

  /** For later, when the carrier is not there to tell. */
  remember(): void {
    this.#text ??= textOf(this.#carrier)
  }

  /** It cannot come from another machine. */
  get isLocal(): boolean {
    return this.text === 'unix' || /^(::ffff:)?127\.|^::1/.test(this.text)
  }
}

function textOf(carrier: Carrier): string {
  const { remoteAddress, remotePort } = carrier
  if (remoteAddress !== undefined) return `${remoteAddress}:${remotePort}`
  return carrier instanceof BareSocket && !carrier.isUnix ? 'unknown' : 'unix'
}
