/**
 * Looks a host name up again and again: after a failover, or when a database has moved, it leads
 * to other addresses, and servers at the old ones have to be left although they still answer.
 */
import { lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { isUnixHost } from './address.ts'

export interface NameWatchParts {
  readonly host: string
  /** Default: that of the system. */
  readonly lookup?: LookupFunction | undefined
  onAnswer(addresses: ReadonlySet<string>): void
}

export class NameWatch {
  readonly #parts: NameWatchParts
  readonly #isName: boolean
  #isAsking = false
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: NameWatchParts) {
    this.#parts = parts
    this.#isName = !isUnixHost(parts.host) && isIP(parts.host) === 0
  }

  /** Asks when the last answer is older than `intervalMs`. A name that is not found changes nothing. */
  look(now: number, intervalMs: number): void {
    if (!this.#isName || this.#isAsking || now - this.#askedAtMs < intervalMs) return
    this.#isAsking = true
    this.#askedAtMs = now
    const { host, lookup = systemLookup } = this.#parts
    lookup(host, { all: true }, (error, found) => {
      this.#isAsking = false
      if (error !== null || !Array.isArray(found) || found.length === 0) return
      this.#parts.onAnswer(new Set(found.map(({ address }) => plainAddress(address))))
    })
  }
}

/** Without the zone of a link-local address, and an IPv4 address as itself. */
export function plainAddress(address: string): string {
  return address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '')
}
