/**
 * Where the arguments of a whole command stand, in lists that are used again for the next one:
 * nothing is allocated per command. For the few places that look at keys or options.
 */
const carriageReturn = 0x0d
const roomAtFirst = 16

export class ArgumentPositions {
  bytes: Uint8Array = new Uint8Array(0)
  count = 0
  starts = new Uint32Array(roomAtFirst)
  ends = new Uint32Array(roomAtFirst)

  /** Takes the framed command `bytes[start, end)`; what the framer has passed needs no check. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes
    this.count = 0
    let at = start
    while (at < end && bytes[at] !== carriageReturn) at += 1
    at += 2
    while (at < end) {
      // Behind the `$`.
      let digit = at + 1
      let length = 0
      for (; digit < end && bytes[digit] !== carriageReturn; digit += 1) {
        length = length * 10 + (bytes[digit] ?? 0) - 0x30
      }
      const from = digit + 2
      if (this.count === this.starts.length) this.#grow()
      this.starts[this.count] = from
      this.ends[this.count] = from + length
      this.count += 1
      at = from + length + 2
    }
  }

  #grow(): void {
    const [starts, ends] = [this.starts, this.ends]
    this.starts = new Uint32Array(starts.length * 2)
    this.ends = new Uint32Array(ends.length * 2)
    this.starts.set(starts)
    this.ends.set(ends)
  }
}
