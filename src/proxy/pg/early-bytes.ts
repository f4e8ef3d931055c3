/**
 * What a client has sent before its login is over. It may come byte by byte, so parts are put
 * together only when a whole packet is there, not at each arrival.
 */

/** Small parts cost more than their bytes; so many are joined at the latest. */
const partsMax = 256

const nothing = Buffer.alloc(0)

export class EarlyBytes {
  #joined: Buffer = nothing
  #parts: Buffer[] = []
  #partBytes = 0

  get length(): number {
    return this.#joined.length + this.#partBytes
  }

  /** Keeps a copy of `bytes[0, end)`. */
  append(bytes: Buffer, end: number): void {
    this.#parts.push(Buffer.from(bytes.subarray(0, end)))
    this.#partBytes += end
    if (this.#parts.length >= partsMax) this.#join()
  }

  /** At least the first `count` bytes; null while there are fewer. */
  peek(count: number): Buffer | null {
    if (this.#joined.length >= count) return this.#joined
    if (this.length < count) return null
    this.#join()
    return this.#joined
  }

  /** Gives up the first `count` bytes, which are there. */
  drop(count: number): void {
    this.#joined = this.#joined.subarray(count)
  }

  /** Gives all of it away. */
  takeAll(): Buffer {
    this.#join()
    const all = this.#joined
    this.#joined = nothing
    return all
  }

  #join(): void {
    if (this.#parts.length === 0) return
    const [first = nothing] = this.#parts
    const isAll = this.#joined.length === 0 && this.#parts.length === 1
    this.#joined = isAll ? first : Buffer.concat([this.#joined, ...this.#parts])
    this.#parts = []
    this.#partBytes = 0
  }
}
