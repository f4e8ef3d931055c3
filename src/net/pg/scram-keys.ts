/**
 * Keys derived from passwords, kept as long as they are asked for: a pool that opens twenty servers
 * of one role at once needs one derivation of some milliseconds instead of twenty. The keys are
 * worth as much as the password, which is in memory anyway; who asks is found by a hash of it.
 */
import { createHash } from 'node:crypto'
import { deriveKeys, type ScramKeys } from './scram.ts'

const keptMax = 100

export class ScramKeyCache {
  readonly #kept = new Map<string, Promise<ScramKeys>>()
  readonly #derive: typeof deriveKeys

  constructor(derive: typeof deriveKeys = deriveKeys) {
    this.#derive = derive
  }

  derive(password: string, salt: Buffer, iterations: number): Promise<ScramKeys> {
    const name = createHash('sha256')
      .update(`${iterations} ${salt.toString('base64')} ${password}`)
      .digest('base64')
    const known = this.#kept.get(name)
    if (known !== undefined) return known
    const oldest = this.#kept.keys().next()
    if (this.#kept.size >= keptMax && oldest.done !== true) this.#kept.delete(oldest.value)
    const derived = this.#derive(password, salt, iterations)
    this.#kept.set(name, derived)
    return derived
  }
}
