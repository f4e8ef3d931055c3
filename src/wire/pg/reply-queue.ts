/**
 * What a server still owes: one entry per forwarded frontend message that gets a reply, in order.
 * It tells whose reply the next backend message is, so that replies to messages that Pontoon
 * injected are swallowed and a server is never released while anything is owed.
 *
 * A ring of bytes for the kinds (nothing is allocated per message) and a parallel ring of tags
 * for the entries that carry one, such as the statement of a Parse.
 */
import { assert } from '../../shared/assert.ts'

/** Kinds of owed replies. `injected` is a flag: the reply must not reach the client. */
export const owed = {
  none: 0,
  parse: 1,
  bind: 2,
  describe: 3,
  execute: 4,
  close: 5,
  sync: 6,
  query: 7,
  functionCall: 8,
  /** CopyDone or CopyFail: gets no reply, but tells where COPY mode ends, should it begin. */
  copyEnd: 10,
  injected: 16,
} as const

export const owedKindMask = 15

const readyKinds: ReadonlySet<number> = new Set([owed.sync, owed.query, owed.functionCall])

/** Replies one server may owe before its client is read no further. */
export const owedRepliesMax = 65_536

export class ReplyQueue<Tag> {
  #kinds = new Uint8Array(16)
  #tags: (Tag | null)[] = Array.from({ length: 16 }, () => null)
  #head = 0
  #length = 0
  #answered = 0
  /** After an error in an extended batch the server ignores everything until Sync. */
  #skipping = false
  /** Syncs that the running COPY was expected to swallow. */
  #copySyncs = 0
  /** The COPY failed; one of its Syncs may have been read after that and count after all. */
  #mayHaveStraySync = false

  get length(): number {
    return this.#length
  }

  /** Changes with every reply that is over; for whoever wants to see whether anything moves. */
  get answered(): number {
    return this.#answered
  }

  get isSkipping(): boolean {
    return this.#skipping
  }

  /** Kind of the oldest entry with its flag, or `owed.none`. */
  get head(): number {
    return this.#length === 0 ? owed.none : (this.#kinds[this.#head] ?? owed.none)
  }

  get headTag(): Tag | null {
    return this.#length === 0 ? null : (this.#tags[this.#head] ?? null)
  }

  /** The tags of all entries, oldest first. */
  *tags(): Generator<Tag> {
    for (let index = 0; index < this.#length; index += 1) {
      const tag = this.#tags[(this.#head + index) & (this.#kinds.length - 1)]
      if (tag !== null && tag !== undefined) yield tag
    }
  }

  /** Something that ends with ReadyForQuery is owed: it comes without more from the client. */
  get owesReady(): boolean {
    for (let index = 0; index < this.#length; index += 1)
      if (this.#endsWithReady(index)) return true
    return false
  }

  /** So many owed replies end with ReadyForQuery. */
  get readyCount(): number {
    let count = 0
    for (let index = 0; index < this.#length; index += 1) if (this.#endsWithReady(index)) count += 1
    return count
  }

  #endsWithReady(index: number): boolean {
    const kind = this.#kinds[(this.#head + index) & (this.#kinds.length - 1)] ?? owed.none
    return readyKinds.has(kind & owedKindMask)
  }

  /** Records that a message was sent. Returns false when the server is going to ignore it. */
  push(kind: number, tag: Tag | null = null): boolean {
    if (this.#skipping) {
      if (kind !== owed.sync) return false
      this.#skipping = false
    }
    if (this.#length === this.#kinds.length) this.#grow()
    const index = (this.#head + this.#length) & (this.#kinds.length - 1)
    this.#kinds[index] = kind
    if (tag !== null) this.#tags[index] = tag
    this.#length += 1
    return true
  }

  /** The oldest reply has arrived whole. */
  shift(): void {
    assert(this.#length > 0, 'a reply nobody waits for')
    this.#drop()
    this.#copySyncs = 0
    // Nothing that could have begun a COPY is left before it.
    while (this.#length > 0 && this.#kinds[this.#head] === owed.copyEnd) this.#drop()
  }

  #drop(): void {
    this.#tags[this.#head] = null
    this.#head = (this.#head + 1) & (this.#kinds.length - 1)
    this.#length -= 1
    this.#answered = (this.#answered + 1) | 0
  }

  /** CopyDone or CopyFail was sent before the server said that it is in COPY mode. */
  pushCopyEnd(): void {
    if (this.#length > 0) this.push(owed.copyEnd)
  }

  /** A Sync was sent to a server in COPY mode. */
  ignoreSync(): void {
    this.#copySyncs += 1
  }

  /**
   * An ErrorResponse came. For a simple Query nothing changes: its ReadyForQuery follows. In an
   * extended batch everything up to the next Sync is void, a simple Query too; `dropped` gets
   * the tags of the void entries, the latest first, so that each can be undone, and last the one
   * that failed.
   */
  fail(dropped: (tag: Tag, isVoid: boolean) => void): void {
    const kind = this.head & owedKindMask
    if (kind === owed.none || kind === owed.query || kind === owed.functionCall) return
    this.#mayHaveStraySync = this.#copySyncs > 0
    const failed = this.headTag
    const tags: Tag[] = []
    while (this.#length > 0 && (this.head & owedKindMask) !== owed.sync) {
      const tag = this.headTag
      if (tag !== null) tags.push(tag)
      this.#drop()
    }
    this.#copySyncs = 0
    if (this.#length === 0) this.#skipping = true
    for (const tag of tags.toReversed()) dropped(tag, tag !== failed)
  }

  /** It is not known whether the server will answer a Sync that was sent along with a COPY. */
  get mayHaveStraySync(): boolean {
    return this.#mayHaveStraySync
  }

  /** The server has answered that Sync. */
  takeStraySync(): void {
    this.#mayHaveStraySync = false
    this.#skipping = false
  }

  /**
   * COPY … FROM STDIN began: the server reads on in COPY mode, where a Sync that was sent along
   * is ignored. Returns false when the end of the COPY was sent along too.
   */
  enterCopyIn(): boolean {
    const mask = this.#kinds.length - 1
    while (this.#length > 1) {
      const next = (this.#head + 1) & mask
      const kind = this.#kinds[next]
      if (kind !== owed.sync && kind !== owed.copyEnd) return true
      // Remove the entry after the head by moving the head entry onto it.
      this.#kinds[next] = this.#kinds[this.#head] ?? owed.none
      this.#tags[next] = this.#tags[this.#head] ?? null
      this.#drop()
      if (kind === owed.copyEnd) return false
      this.#copySyncs += 1
    }
    return true
  }

  #grow(): void {
    const capacity = this.#kinds.length * 2
    const kinds = new Uint8Array(capacity)
    const tags: (Tag | null)[] = Array.from({ length: capacity }, () => null)
    for (let index = 0; index < this.#length; index += 1) {
      const from = (this.#head + index) & (this.#kinds.length - 1)
      kinds[index] = this.#kinds[from] ?? owed.none
      tags[index] = this.#tags[from] ?? null
    }
    this.#kinds = kinds
    this.#tags = tags
    this.#head = 0
  }
}
