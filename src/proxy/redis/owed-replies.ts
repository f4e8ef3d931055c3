/**
 * What one server owes, in order: for each command who waits for its reply, which command it was
 * and when it was sent. A ring that grows, so that nothing is allocated per command.
 */
import { assert } from '../../shared/assert.ts'
import type { CommandRecord } from './command-book.ts'
import type { Session } from './session.ts'

const sizeAtFirst = 8

export class OwedReplies {
  /** Null: Pontoon asked itself, nobody waits. */
  #sessions: (Session | null)[] = Array.from({ length: sizeAtFirst }, () => null)
  #records: (CommandRecord | null)[] = Array.from({ length: sizeAtFirst }, () => null)
  #sentAtMs = new Float64Array(sizeAtFirst)
  /** 1: its client is not to get it. */
  #isMuted = new Uint8Array(sizeAtFirst)
  #mutedCount = 0
  #mask = sizeAtFirst - 1
  #head = 0
  #tail = 0
  /** The key whose reply is measured, and how many come before that one; -1: none is. */
  #measured = ''
  #beforeMeasured = -1

  get length(): number {
    return this.#tail - this.#head
  }

  push(session: Session | null, record: CommandRecord, sentAtMs: number): void {
    if (this.#tail - this.#head > this.#mask) this.#grow()
    const slot = this.#tail & this.#mask
    this.#sessions[slot] = session
    this.#records[slot] = record
    this.#sentAtMs[slot] = sentAtMs
    this.#tail += 1
  }

  /** Who waits for the next reply. */
  get session(): Session | null {
    return this.#sessions[this.#head & this.#mask] ?? null
  }

  get record(): CommandRecord {
    const record = this.#records[this.#head & this.#mask] ?? null
    assert(record !== null, 'a reply is owed for a command')
    return record
  }

  get sentAtMs(): number {
    return this.#sentAtMs[this.#head & this.#mask] ?? 0
  }

  /** The reply to the latest command is not for its client. */
  mute(): void {
    const slot = (this.#tail - 1) & this.#mask
    if (this.#isMuted[slot] === 1) return
    this.#isMuted[slot] = 1
    this.#mutedCount += 1
  }

  /** Some replies that are owed are not for their clients. */
  get hasMuted(): boolean {
    return this.#mutedCount > 0
  }

  /** The next one is not. */
  get isMuted(): boolean {
    return this.#mutedCount > 0 && this.#isMuted[this.#head & this.#mask] === 1
  }

  /** The reply to the latest command is to be measured, unless another one is already. */
  measure(key: string): void {
    if (this.#beforeMeasured >= 0) return
    this.#measured = key
    this.#beforeMeasured = this.length - 1
  }

  /** The key of the next reply if that is to be measured; null for most. */
  get measured(): string | null {
    return this.#beforeMeasured === 0 ? this.#measured : null
  }

  shift(): void {
    assert(this.#tail > this.#head, 'only what is owed is paid')
    if (this.#beforeMeasured >= 0) this.#beforeMeasured -= 1
    const slot = this.#head & this.#mask
    if (this.isMuted) {
      this.#isMuted[slot] = 0
      this.#mutedCount -= 1
    }
    this.#sessions[slot] = null
    this.#head += 1
    if (this.#head === this.#tail) {
      this.#head = 0
      this.#tail = 0
    }
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2
    const order = Array.from({ length: this.length }, (_, at) => (this.#head + at) & this.#mask)
    const fill = Array.from({ length: size - order.length }, () => null)
    const sentAtMs = new Float64Array(size)
    const isMuted = new Uint8Array(size)
    for (const [at, slot] of order.entries()) {
      sentAtMs[at] = this.#sentAtMs[slot] ?? 0
      isMuted[at] = this.#isMuted[slot] ?? 0
    }
    this.#sessions = [...order.map((slot) => this.#sessions[slot] ?? null), ...fill]
    this.#records = [...order.map((slot) => this.#records[slot] ?? null), ...fill]
    this.#sentAtMs = sentAtMs
    this.#isMuted = isMuted
    this.#tail = order.length
    this.#head = 0
    this.#mask = size - 1
  }
}
