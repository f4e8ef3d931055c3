/**
 * The gate of a service: open or paused. While paused, sessions park their next transaction and
 * running ones finish. It is kept shut by any of three, each ended in its own way:
 *
 * - a pause, of an operator: a lease with a deadline. It ends by itself when nobody renews it.
 * - a hold, of a switch of the primary side: only its holder ends it, because a gate that opens by
 *   a clock of its own could let writes through to the side that is being left.
 * - a doubt: the databases name another primary side than the route. Only an operator ends it.
 *
 * None is restored after a crash (they live in memory only). Parked sessions hang off the gate,
 * not off a pool, so that a switch of pools cannot lose them. They are released in order of
 * arrival: all at once, or gradually, each line of them (gate-lines.ts) as fast as there is room
 * where it wants to go; meanwhile whoever comes next stands behind them.
 */
import { assert } from '../shared/assert.ts'
import type { Clock } from '../shared/clock.ts'
import { PontoonError } from '../shared/errors.ts'
import { GateLines, type GatePlace } from './gate-lines.ts'

export type GateState = 'open' | 'paused'

/** What keeps a gate shut; the strongest where there are several. */
export type GateKeeper = '' | 'pause' | 'doubt' | 'switch'

/** A session that waits. Called once, when the gate lets it through. */
export type GateWaiter = () => void

export interface GateSnapshot {
  readonly state: GateState
  readonly keptBy: GateKeeper
  readonly parked: number
  /** How long the gate has been paused; milliseconds. */
  readonly pausedForMs: number
  /** How long until it opens by itself, milliseconds; null when it does not. */
  readonly opensInMs: number | null
  readonly reason: string
}

export interface GateRelease {
  /** Lets parked sessions go as there is room where they go; default: all at once. */
  readonly gradually?: boolean
  /** A doubt is settled with it: the databases agree with the route. */
  readonly settlesDoubt?: boolean
}

/** A hold of the gate; who has it opens the gate, and nobody else. */
export interface GateHold {
  readonly reason: string
  readonly isInForce: boolean
  /** Ends the hold; a pause that is still in force, or a doubt, keeps the gate shut. */
  release(release?: GateRelease): void
}

interface Lease {
  readonly deadlineMs: number
  readonly reason: string
  readonly timer: NodeJS.Timeout
}

/** Where those go who name no place. */
const anywhere: GatePlace = { room: () => Number.POSITIVE_INFINITY }

export class Gate {
  readonly #clock: Clock
  readonly #onOpen: (pausedMs: number) => void
  #lease: Lease | null = null
  #hold: GateHold | null = null
  #doubt: string | null = null
  #pausedAtMs = 0
  #isOpen = true
  readonly #lines = new GateLines()
  /** Open, with parked sessions that go as there is room. */
  #isLettingOn = false
  /** The one that has just been let through is on its way. */
  #isLettingThrough = false

  constructor(clock: Clock, onOpen: (pausedMs: number) => void = () => undefined) {
    this.#clock = clock
    this.#onOpen = onOpen
  }

  /** Nothing keeps it shut; though there may be parked sessions that are still to go first. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** What keeps it shut. */
  get keptBy(): GateKeeper {
    if (this.#hold !== null) return 'switch'
    if (this.#doubt !== null) return 'doubt'
    return this.#lease === null ? '' : 'pause'
  }

  /** A new request may go to `place` now, and overtakes nobody. */
  admits(place: GatePlace = anywhere): boolean {
    if (!this.#isOpen) return false
    return !this.#isLettingOn || this.#isLettingThrough || !this.#lines.has(place)
  }

  /**
   * Pauses, or renews the lease of a pause: the later call's deadline and reason count. Throws
   * GATE_REFUSED during a switch.
   */
  pause(forMs: number, reason: string): void {
    assert(forMs > 0, 'a pause needs a positive duration')
    this.#refuseDuringSwitch()
    clearTimeout(this.#lease?.timer)
    const deadlineMs = this.#clock.nowMs() + forMs
    this.#lease = { deadlineMs, reason, timer: setTimeout(() => this.#endLease(), forMs) }
    this.#shut()
  }

  /** Holds it shut for a switch. Throws GATE_REFUSED during another one. */
  hold(reason: string): GateHold {
    this.#refuseDuringSwitch()
    const isCurrent = (): boolean => this.#hold === hold
    const hold: GateHold = {
      reason,
      get isInForce() {
        return isCurrent()
      },
      release: ({ gradually = false, settlesDoubt = false } = {}) => {
        if (!isCurrent()) return
        this.#hold = null
        if (settlesDoubt) this.#doubt = null
        this.#openUnlessKept(gradually)
      },
    }
    this.#hold = hold
    this.#shut()
    return hold
  }

  /** Shuts it until an operator opens it; the first reason stays. A switch needs no such help. */
  doubt(reason: string): void {
    if (this.#hold !== null) return
    this.#doubt ??= reason
    this.#shut()
  }

  /**
   * Ends a pause and a doubt and lets everybody go. Opening an open gate does nothing. Throws
   * GATE_REFUSED during a switch.
   */
  open(): void {
    if (this.#isOpen) return
    this.#refuseDuringSwitch()
    this.#dropLease()
    this.#doubt = null
    this.#openUnlessKept()
  }

  /** The service ends: whatever keeps the gate shut is over. */
  openForGood(): void {
    this.#hold = null
    this.#dropLease()
    this.#doubt = null
    this.#isLettingOn = false
    this.#openUnlessKept()
    this.#lines.goAll()
  }

  /** Parks a session until it may go to `place`. Returns how to leave the line. */
  park(waiter: GateWaiter, place: GatePlace = anywhere): () => void {
    assert(!this.admits(place), 'only a gate that does not admit parks')
    return this.#lines.join(place, waiter)
  }

  /** There may be room again at `place`, or anywhere: the next ones go. */
  letOn(place?: GatePlace): void {
    if (!this.#isLettingOn || this.#isLettingThrough) return
    const failures: unknown[] = []
    for (const one of place === undefined ? this.#lines.places() : [place])
      while (this.#isLettingOn && one.room() > 0 && this.#letOne(one, failures));
    if (this.#lines.size === 0) this.#isLettingOn = false
    if (failures.length > 0) throw failures[0]
  }

  snapshot(): GateSnapshot {
    const now = this.#clock.nowMs()
    const isLease = this.keptBy === 'pause'
    const leftMs = Math.max(0, (this.#lease?.deadlineMs ?? now) - now)
    return {
      state: this.#isOpen ? 'open' : 'paused',
      keptBy: this.keptBy,
      parked: this.#lines.size,
      pausedForMs: this.#isOpen ? 0 : now - this.#pausedAtMs,
      opensInMs: this.#isOpen || isLease ? leftMs : null,
      reason: this.#hold?.reason ?? this.#doubt ?? this.#lease?.reason ?? '',
    }
  }

  /** False when nobody waits there. */
  #letOne(place: GatePlace, failures: unknown[]): boolean {
    const go = this.#lines.shift(place)
    if (go === null) return false
    this.#isLettingThrough = true
    try {
      go()
    } catch (error) {
      failures.push(error)
    }
    this.#isLettingThrough = false
    return true
  }

  #shut(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#isLettingOn = false
    this.#pausedAtMs = this.#clock.nowMs()
  }

  #openUnlessKept(gradually = false): void {
    if (this.#isOpen || this.keptBy !== '') return
    this.#isOpen = true
    this.#onOpen(this.#clock.nowMs() - this.#pausedAtMs)
    if (gradually) {
      this.#isLettingOn = true
      this.letOn()
    } else this.#lines.goAll()
  }

  #endLease(): void {
    this.#dropLease()
    this.#openUnlessKept()
  }

  #dropLease(): void {
    clearTimeout(this.#lease?.timer)
    this.#lease = null
  }

  #refuseDuringSwitch(): void {
    if (this.#hold === null) return
    throw new PontoonError('GATE_REFUSED', `the gate is held: ${this.#hold.reason}`)
  }
}
