/**
 * A bounded map from texts to what was found out about them. Two generations stand for "recently
 * used": new and re-used entries go to the young one; when that is full it becomes the old one and
 * the old one is dropped. So at least the last half of the entries in use is kept, at the price of
 * one map look-up.
 */
import { assert } from '../shared/assert.ts'

export interface VerdictCacheLimits {
  readonly entriesMax: number
  /** Counted as two bytes for each character of a text. */
  readonly bytesMax: number
}

export class VerdictCache<Value> {
  readonly #limits: VerdictCacheLimits
  #young = new Map<string, Value>()
  #old = new Map<string, Value>()
  #youngBytes = 0
  #oldBytes = 0

  constructor(limits: VerdictCacheLimits) {
    assert(limits.entriesMax >= 2 && limits.bytesMax >= 2, 'a cache holds something')
    this.#limits = limits
  }

  get entries(): number {
    return this.#young.size + this.#old.size
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes
  }

  get(key: string): Value | undefined {
    const found = this.#young.get(key)
    if (found !== undefined) return found
    const older = this.#old.get(key)
    if (older === undefined) return undefined
    this.#old.delete(key)
    this.#oldBytes -= key.length * 2
    this.set(key, older)
    return older
  }

  /** Texts that would fill half the cache alone are not kept. */
  set(key: string, value: Value): void {
    const bytes = key.length * 2
    if (bytes > this.#limits.bytesMax / 2) return
    const full =
      this.#young.size + 1 > this.#limits.entriesMax / 2 ||
      this.#youngBytes + bytes > this.#limits.bytesMax / 2
    if (full && !this.#young.has(key)) {
      this.#old = this.#young
      this.#oldBytes = this.#youngBytes
      this.#young = new Map()
      this.#youngBytes = 0
    }
    if (!this.#young.has(key)) this.#youngBytes += bytes
    this.#young.set(key, value)
  }

  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
    this.#youngBytes = 0
    this.#oldBytes = 0
  }
}
