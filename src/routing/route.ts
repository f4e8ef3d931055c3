/**
 * A route is an immutable snapshot of how one service's traffic goes. Every change makes a new
 * one with a higher epoch; nobody ever alters one in place.
 */
import type { PhaseName } from '../config/phase-names.ts'
import type { Side } from '../shared/side.ts'

export { phaseNames, type PhaseName } from '../config/phase-names.ts'

export interface Route {
  /** Rises by one with every change; compare-and-set key of all operators. */
  readonly epoch: number
  readonly phase: PhaseName
  /** The side that takes the writes. Only cutover and rollback move it. */
  readonly primary: Side
  /** Percent (0–100) of sessions whose eligible reads go to the target. */
  readonly reads: number
  /** Percent of eligible reads that also run on the other side. */
  readonly mirror: number
  /** Percent of write traffic that also runs on the other side. */
  readonly dualWrite: number
}

/** What an operator may ask for; the phase sets the values of its profile first. */
export interface RoutePatch {
  readonly phase?: PhaseName
  readonly reads?: number
  readonly mirror?: number
  readonly dualWrite?: number
}
