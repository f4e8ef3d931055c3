/**
 * Session pooling: what a client has left on its server, as far as its messages tell. Nothing is
 * asked and nothing is replayed there, so a session can be given another server at a switch only
 * while it has left nothing; that is when it needs none of the work that transaction pooling does.
 */
import { effect, sessionEffects } from '../../routing/session-effects.ts'
import { frontend, headerBytes } from '../../wire/pg/protocol.ts'

const reasons: readonly (readonly [bit: number, reason: string])[] = [
  [effect.tempTable, 'temp-table'],
  [effect.advisoryLock, 'advisory-lock'],
  [effect.holdCursor, 'hold-cursor'],
  [effect.prepare, 'prepare'],
  [effect.listen, 'listen'],
  [effect.sequenceState, 'sequence'],
  [effect.settings, 'settings'],
  [effect.load, 'load'],
  [effect.opaque | effect.other, 'session-state'],
]

export class Footprint {
  /** Why another server would not do, in the words of pinReason; '' when it would. */
  #reason = ''
  /** The unnamed statement was parsed and not bound yet. */
  #isUnnamedOpen = false

  get reason(): string {
    return this.#reason === '' && this.#isUnnamedOpen ? 'prepare' : this.#reason
  }

  /** DISCARD ALL has run. */
  clear(): void {
    this.#reason = ''
    this.#isUnnamedOpen = false
  }

  /** A message that is about to be forwarded; the bytes up to `end` are here. */
  note(type: number, bytes: Buffer, offset: number, end: number, total: number): void {
    switch (type) {
      case frontend.query:
        this.#isUnnamedOpen = false
        this.#text(bytes, offset + headerBytes, end, offset + total)
        return
      case frontend.parse: {
        const nameEnd = bytes.indexOf(0, offset + headerBytes)
        if (nameEnd < 0 || nameEnd >= end) this.#leave('unscanned')
        else if (nameEnd > offset + headerBytes) this.#leave('prepare')
        else this.#isUnnamedOpen = true
        this.#text(bytes, nameEnd + 1, end, offset + total)
        return
      }
      case frontend.bind:
        this.#isUnnamedOpen = false
        return
      case frontend.functionCall:
        this.#leave('session-state')
        return
      default:
    }
  }

  #text(bytes: Buffer, start: number, end: number, messageEnd: number): void {
    if (end < messageEnd) {
      this.#leave('unscanned')
      return
    }
    const textEnd = bytes.indexOf(0, start)
    const effects = sessionEffects(bytes, start, Math.min(textEnd < 0 ? end : textEnd, messageEnd))
    if (effects === 0) return
    for (const [bit, reason] of reasons) if ((effects & bit) !== 0) this.#leave(reason)
  }

  /** The first reason stays. */
  #leave(reason: string): void {
    if (this.#reason === '') this.#reason = reason
  }
}
