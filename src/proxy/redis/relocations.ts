/**
 * The clients of a service that follow the primary side just now. Until they are there nobody may
 * publish: the gate stays shut, whoever has shut it. It does not for ever: who has not arrived in
 * time is closed.
 */
import { PontoonError } from '../../shared/errors.ts'
import type { Relocation } from './relocation.ts'

/** The pause of a switch lasts this much longer at most. */
const relocationMsMax = 3_000

export interface RelocationsParts {
  /** Shuts the gate and gives what opens it; null when it is held already. */
  holdGate(): (() => void) | null
}

export class Relocations {
  readonly #parts: RelocationsParts
  readonly #under = new Set<Relocation>()
  readonly #waiting: (() => void)[] = []
  #openGate: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(parts: RelocationsParts) {
    this.#parts = parts
  }

  begin(relocation: Relocation): void {
    this.#under.add(relocation)
    if (this.#timer === null) {
      this.#timer = setTimeout(() => this.#giveUp(), relocationMsMax)
      this.#openGate = this.#parts.holdGate()
    }
    void relocation.done.then(() => this.#ended(relocation))
    relocation.begin()
  }

  /** Calls back when nobody is under way, at once if so. */
  after(then: () => void): void {
    if (this.#under.size === 0) then()
    else this.#waiting.push(then)
  }

  #ended(relocation: Relocation): void {
    this.#under.delete(relocation)
    if (this.#under.size > 0 || this.#timer === null) return
    clearTimeout(this.#timer)
    this.#timer = null
    const openGate = this.#openGate
    this.#openGate = null
    openGate?.()
    for (const then of this.#waiting.splice(0)) then()
  }

  #giveUp(): void {
    const error = new PontoonError(
      'SIDE_LEFT',
      'the primary side has changed, and no server was ready there in time',
    )
    for (const relocation of Array.from(this.#under)) relocation.fail(error)
  }
}
