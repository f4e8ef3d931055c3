/**
 * Which side a command goes to while a share of the key space is read from the other one. A key is
 * read there when its hash slot lies within the share and nothing in that slot was written through
 * this sidecar for `readAfterWriteMs`; whatever touches keys that cannot be told counts as a write
 * to all of them.
 */
import { findKeys, KeyList } from '../../routing/redis/command-keys.ts'
import { hashSlot, hashSlotCount } from '../../routing/redis/hash-slot.ts'
import type { Route } from '../../routing/route.ts'
import type { Clock } from '../../shared/clock.ts'
import { otherSide, type Side } from '../../shared/side.ts'
import { ArgumentPositions } from '../../wire/redis/argument-positions.ts'
import type { CommandRecord } from './command-book.ts'

export interface ReadRouterParts {
  readonly clock: Clock
  route(): Route
  readAfterWriteMs(): number
}

export class ReadRouter {
  readonly #parts: ReadRouterParts
  readonly #writtenAtMs = new Float64Array(hashSlotCount).fill(Number.NEGATIVE_INFINITY)
  #allWrittenAtMs: number
  readonly #positions = new ArgumentPositions()
  readonly #keys = new KeyList()
  readonly #slots: number[] = []

  constructor(parts: ReadRouterParts) {
    this.#parts = parts
    // What was written before we looked is unknown.
    this.#allWrittenAtMs = parts.clock.nowMs()
  }

  /** Reads go to two sides at present. */
  get isSplit(): boolean {
    const { primary, reads } = this.#parts.route()
    return primary === 'source' && reads > 0
  }

  /** From now on writes are followed; those before are unknown. */
  begin(): void {
    this.#allWrittenAtMs = this.#parts.clock.nowMs()
  }

  /** The side of the command `bytes[start, end)`; notes what it writes. */
  sideOf(record: CommandRecord, bytes: Buffer, start: number, end: number): Side {
    const { primary, reads } = this.#parts.route()
    if (!this.isSplit || (!record.isRead && !record.isWrite)) return primary
    const isKnown = this.#findSlots(record, bytes, start, end)
    if (record.isWrite) {
      this.#note(isKnown)
      return primary
    }
    if (!isKnown || this.#slots.length === 0) return primary
    const freshBeforeMs = this.#parts.clock.nowMs() - this.#parts.readAfterWriteMs()
    if (this.#allWrittenAtMs > freshBeforeMs) return primary
    const share = (reads / 100) * hashSlotCount
    for (const slot of this.#slots) {
      if (slot >= share || (this.#writtenAtMs[slot] ?? 0) > freshBeforeMs) return primary
    }
    return otherSide(primary)
  }

  /** A command on a client's own server, which is always the primary's. */
  noteOwn(record: CommandRecord, bytes: Buffer, start: number, end: number): void {
    if (!this.isSplit || !record.isWrite) return
    this.#note(end >= 0 && this.#findSlots(record, bytes, start, end))
  }

  /**
   * A write was answered. Its slots were noted when it was sent: one that took a good part of the
   * window has used it up before its client could read what it wrote.
   */
  written(tookMs: number): void {
    if (tookMs * 2 > this.#parts.readAfterWriteMs()) this.noteExec()
  }

  /** A transaction has run, maybe long after its commands were sent. */
  noteExec(): void {
    if (this.isSplit) this.#allWrittenAtMs = this.#parts.clock.nowMs()
  }

  #note(isKnown: boolean): void {
    const now = this.#parts.clock.nowMs()
    if (!isKnown || this.#slots.length === 0) this.#allWrittenAtMs = now
    else for (const slot of this.#slots) this.#writtenAtMs[slot] = now
  }

  /** Fills `#slots`; false when the command may touch other keys as well. */
  #findSlots(record: CommandRecord, bytes: Buffer, start: number, end: number): boolean {
    const request = this.#positions
    request.read(bytes, start, end)
    findKeys(record.facts, request, this.#keys)
    this.#slots.length = 0
    for (let index = 0; index < this.#keys.count; index += 1) {
      const at = this.#keys.at(index)
      this.#slots.push(hashSlot(bytes, request.starts[at] ?? 0, request.ends[at] ?? 0))
    }
    return this.#keys.complete
  }
}
