/** Puts a frame together that comes in parts, as far as somebody wants to read it. */
import { heldCommandBytesMax } from './limits.ts'

export class HeldFrame {
  #parts: Buffer[] = []
  #bytes = 0

  /** The frame once it is whole, without what is beyond the limit; valid during the call. */
  take(bytes: Buffer, start: number, end: number, isWhole: boolean): Buffer | null {
    const part = bytes.subarray(start, end)
    if (isWhole && this.#bytes === 0) return part
    if (this.#bytes < heldCommandBytesMax) this.#parts.push(Buffer.from(part))
    this.#bytes += part.length
    if (!isWhole) return null
    this.#bytes = 0
    return Buffer.concat(this.#parts.splice(0))
  }
}
