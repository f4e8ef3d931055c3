/**
 * Who may ask the admin API for what: tokens, roles, and the limit on guessing them.
 * Without tokens only a loopback listener starts, and its callers count as operators.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { AdminConfig } from '../../config/schema.ts'
import type { Clock } from '../../shared/clock.ts'
import { PontoonError } from '../../shared/errors.ts'
import { adminLimits } from '../limits.ts'
import type { Actor, Role } from '../operator.ts'

/** What a route asks for; `open` needs no token. */
export type Access = 'open' | Role

export class AccessGuard {
  readonly #tokens: () => AdminConfig['tokens']
  readonly #failures: FailureLimiter
  readonly #key = randomBytes(32)

  constructor(tokens: () => AdminConfig['tokens'], clock: Clock) {
    this.#tokens = tokens
    this.#failures = new FailureLimiter(clock)
  }

  /** Throws UNAUTHENTICATED, FORBIDDEN or RATE_LIMITED. */
  authorize(access: Access, authorization: string | undefined, address: string): Actor {
    if (access === 'open') return { name: 'anonymous', role: 'viewer', address }
    const actor = this.#authenticate(authorization, address)
    if (access === 'operator' && actor.role !== 'operator') {
      throw new PontoonError('FORBIDDEN', `The token '${actor.name}' may look but not change.`)
    }
    return actor
  }

  /** Who sent it, as far as the token proves it; for the audit of refused requests. */
  identify(authorization: string | undefined, address: string): Actor {
    if (this.#tokens().length === 0) return { name: 'loopback', role: 'operator', address }
    const token = this.#match(bearerOf(authorization))
    return { name: token?.name ?? 'unknown', role: token?.role ?? 'viewer', address }
  }

  #authenticate(authorization: string | undefined, address: string): Actor {
    if (this.#tokens().length === 0) return { name: 'loopback', role: 'operator', address }
    this.#failures.check(address)
    const secret = bearerOf(authorization)
    if (secret === undefined) {
      throw new PontoonError('UNAUTHENTICATED', 'Send Authorization: Bearer TOKEN.')
    }
    const token = this.#match(secret)
    if (token === undefined) {
      this.#failures.count(address, this.#digest(secret).toString('base64'))
      throw new PontoonError('UNAUTHENTICATED', 'The token is not one of this sidecar.')
    }
    return { name: token.name, role: token.role, address }
  }

  /** Compares with every token in constant time, so that timing tells nothing about any. */
  #match(secret: string | undefined): AdminConfig['tokens'][number] | undefined {
    if (secret === undefined) return undefined
    const given = this.#digest(secret)
    let found: AdminConfig['tokens'][number] | undefined
    for (const token of this.#tokens()) {
      if (timingSafeEqual(given, this.#digest(token.secret))) found = token
    }
    return found
  }

  #digest(secret: string): Buffer {
    return createHmac('sha256', this.#key).update(secret).digest()
  }
}

function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

/**
 * Counts the different wrong tokens of an address in a fixed window. The same one again is no
 * guess: a scraper with an old token must not lock out the operator beside it.
 */
class FailureLimiter {
  readonly #clock: Clock
  readonly #byAddress = new Map<string, { readonly digests: Set<string>; sinceMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  check(address: string): void {
    const entry = this.#byAddress.get(address)
    if (entry === undefined) return
    const leftMs = entry.sinceMs + adminLimits.failedAuthWindowMs - this.#clock.nowMs()
    if (leftMs <= 0) this.#byAddress.delete(address)
    else if (entry.digests.size >= adminLimits.failedAuthMax) {
      const seconds = Math.ceil(leftMs / 1000)
      throw new PontoonError('RATE_LIMITED', `Too many wrong tokens; wait ${seconds} s.`)
    }
  }

  count(address: string, digest: string): void {
    const entry = this.#byAddress.get(address)
    if (entry !== undefined) {
      entry.digests.add(digest)
      return
    }
    if (this.#byAddress.size >= adminLimits.failedAuthAddressesMax) {
      const [oldest] = this.#byAddress.keys()
      if (oldest !== undefined) this.#byAddress.delete(oldest)
    }
    this.#byAddress.set(address, { digests: new Set([digest]), sinceMs: this.#clock.nowMs() })
  }
}
