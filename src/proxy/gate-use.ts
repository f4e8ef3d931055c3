/**
 * The gate of a service, as pauses and switches of its primary side use it, whatever the protocol:
 * shut it, wait until nothing runs any more, say what still does.
 */
import type { Gate, GateRelease } from '../net/gate.ts'
import type { Side } from '../shared/side.ts'
import type { Drains } from './drains.ts'
import type { ClientSnapshot, DrainReport } from './service.ts'

/** The gate of a service held shut; only who has this opens it. */
export interface SwitchHold {
  readonly reason: string
  /** False once it was released, or the service was closed. */
  readonly isInForce: boolean
  /** Settles when nothing runs any more, or after `waitMs`; may be asked again. */
  drained(waitMs: number): Promise<DrainReport>
  /**
   * Opens the gate, unless an operator's pause is still in force or the databases are in doubt.
   * Parked clients go in order, `gradually` only as fast as servers are to be had.
   */
  release(release?: GateRelease): void
}

export interface GateUseParts {
  readonly gate: Gate
  primary(): Side
  readonly drains: Drains
  isDrained(): boolean
  /** The gate has just been shut: who waits for a server is to wait at the gate. */
  shut(): void
  /** Sessions that still hold a server at work. */
  busy(): readonly ClientSnapshot[]
}

export class GateUse {
  readonly #parts: GateUseParts
  /** For all who wait until a switch is over without being sessions. */
  #opening: Promise<void> | null = null

  constructor(parts: GateUseParts) {
    this.#parts = parts
  }

  /** Throws GATE_REFUSED during a switch. */
  async pause(forMs: number, waitMs: number, reason: string): Promise<DrainReport> {
    const { gate } = this.#parts
    gate.pause(forMs, reason)
    this.#parts.shut()
    return await this.#drained(waitMs, () => !gate.isOpen)
  }

  /** Throws GATE_REFUSED during another switch. */
  beginSwitch(reason: string): SwitchHold {
    const hold = this.#parts.gate.hold(reason)
    this.#parts.shut()
    return {
      reason,
      get isInForce() {
        return hold.isInForce
      },
      drained: (waitMs) => this.#drained(waitMs, () => hold.isInForce),
      release: (release) => {
        hold.release(release)
        this.#parts.drains.look()
      },
    }
  }

  /** Shuts the gate until an operator opens it; no effect during a switch. */
  doubt(reason: string): void {
    this.#parts.gate.doubt(reason)
    if (!this.#parts.gate.isOpen) this.#parts.shut()
  }

  /**
   * Asks the primary side something on behalf of a client that logs in. During a switch that waits
   * for its end, and an answer that a switch may have spoilt is asked for anew.
   */
  async askPrimary<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const { gate } = this.#parts
    const primary = (): Side => this.#parts.primary()
    for (;;) {
      // eslint-disable-next-line no-await-in-loop -- one attempt after the other
      if (gate.keptBy === 'switch') await this.#opened()
      const asked = primary()
      const isSound = (): boolean => gate.keptBy !== 'switch' && primary() === asked
      try {
        // eslint-disable-next-line no-await-in-loop -- as above
        const answer = await ask()
        if (isSound()) return answer
      } catch (error) {
        if (isSound()) throw error
      }
    }
  }

  #opened(): Promise<void> {
    this.#opening ??= new Promise((resolve) => {
      this.#parts.gate.park(() => {
        this.#opening = null
        resolve()
      })
    })
    return this.#opening
  }

  /** Once the gate has opened meanwhile, nothing stays drained. */
  async #drained(waitMs: number, isShut: () => boolean): Promise<DrainReport> {
    const parts = this.#parts
    await parts.drains.wait(waitMs, () => !isShut())
    return {
      drained: parts.isDrained() && isShut(),
      waitingFor: parts.busy().toSorted((a, b) => b.stateAgeMs - a.stateAgeMs),
    }
  }
}
