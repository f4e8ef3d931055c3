/**
 * Finds something by a name that stands in bytes, whatever its case, without making a string: one
 * look-up per command a client sends. Neighbour: command-table.ts.
 */

/** Of any name here; longer ones are not looked up. */
export const nameBytesMax = 64

const slotsPerName = 4

export class NameTable<Value> {
  readonly #mask: number
  /** Per slot the entry's number plus one; 0 is an empty slot. */
  readonly #slots: Uint16Array
  readonly #names: readonly Buffer[]
  readonly #values: readonly Value[]

  /** Names are ASCII; their case does not matter, of two equal ones the later counts. */
  constructor(entries: ReadonlyMap<string, Value>) {
    const unique = new Map<string, Value>()
    for (const [name, value] of entries) {
      if (name.length <= nameBytesMax) unique.set(name.toLowerCase(), value)
    }
    this.#names = [...unique.keys()].map((name) => Buffer.from(name, 'latin1'))
    this.#values = [...unique.values()]
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, unique.size * slotsPerName)))
    this.#mask = size - 1
    this.#slots = new Uint16Array(size)
    for (const [number, name] of this.#names.entries()) {
      let slot = hashOf(name, 0, name.length) & this.#mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask
      this.#slots[slot] = number + 1
    }
  }

  get size(): number {
    return this.#names.length
  }

  values(): readonly Value[] {
    return this.#values
  }

  find(bytes: Uint8Array, start: number, end: number): Value | undefined {
    if (end - start > nameBytesMax) return undefined
    let slot = hashOf(bytes, start, end) & this.#mask
    for (;;) {
      const entry = this.#slots[slot] ?? 0
      if (entry === 0) return undefined
      const name = this.#names[entry - 1]
      if (name !== undefined && equalsName(bytes, start, end, name)) return this.#values[entry - 1]
      slot = (slot + 1) & this.#mask
    }
  }
}

/** Whether these bytes are that name, which is in lower case. */
export function equalsName(bytes: Uint8Array, start: number, end: number, name: Buffer): boolean {
  if (end - start !== name.length) return false
  for (let at = 0; at < name.length; at++) {
    const byte = bytes[start + at] ?? 0
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    if (lower !== name[at]) return false
  }
  return true
}

/** The bit 0x20 makes letters lower case; what else it merges, equalsName tells apart. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + ((bytes[at] ?? 0) | 0x20)) | 0
  return hash ^ (hash >>> 9)
}
