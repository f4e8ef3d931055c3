/**
 * What a cutover or rollback of a PostgreSQL service is: its request, its steps, its report, and
 * what it needs of the data plane. Cutover and rollback are one algorithm with the sides swapped.
 */
import type { RestingBackend } from '../../../net/pg/held-backends.ts'
import type { Route } from '../../../routing/route.ts'
import { PontoonError } from '../../../shared/errors.ts'
import type { Side } from '../../../shared/side.ts'
import type { SwitchKind } from '../../../store/switch-record.ts'

/** What happens to sessions that cannot move: abort the switch, wait for them, or end them. */
export const pinnedPolicies = ['abort', 'wait', 'terminate'] as const
export type PinnedPolicy = (typeof pinnedPolicies)[number]

export interface SwitchRequest {
  readonly id: string
  readonly kind: SwitchKind
  /** All but the switch itself: ends with the predicted pause. */
  readonly dryRun: boolean
  /** The pause is undone when the commit point is not reached after this long. */
  readonly deadlineMs: number
  readonly pinned: PinnedPolicy
  readonly actor: string
}

/**
 * In this order. Before the pause: guards to proof. In the pause: gate to open (C2 to C10 of the
 * algorithm in docs/cutover.md); `commit` is the point of no return. Afterwards: cleanup. A forced
 * switch has fewer of them, and `detach` and `sequences` behind its commit.
 */
export const stepNames = [
  'guards',
  'publication',
  'reverse',
  'proof',
  'start',
  'gate',
  'fence',
  'fence-row',
  'applied',
  'sequences',
  'reverse-slot',
  'reverse-proof',
  'commit',
  'detach',
  'unfence',
  'open',
  'cleanup',
  'undo',
] as const
export type StepName = (typeof stepNames)[number]

/** What a step means, for people. */
export const stepTexts: Readonly<Record<StepName, string>> = {
  guards: 'conditions checked',
  publication: 'publication for the way back, fences and marks in place',
  reverse: 'sync for the way back armed',
  proof: 'way back proven',
  start: 'switch recorded',
  gate: 'new transactions wait, running ones are done',
  fence: 'old side fenced',
  'fence-row': 'last position of the old side known',
  applied: 'everything up to it applied and durable on the new side',
  sequences: 'sequences carried over',
  'reverse-slot': 'sync turned round',
  'reverse-proof': 'a row has made its way back',
  commit: 'committed',
  detach: 'nothing comes from the lost side any more',
  unfence: 'new side open for writes',
  open: 'waiting transactions released',
  cleanup: 'what is no longer needed removed',
  undo: 'everything put back',
}

export interface StepReport {
  readonly step: StepName
  readonly tookMs: number
}

export type GuardSeverity = 'blocker' | 'warning'

/** One condition, checked by a machine, with what to do where it does not hold. */
export interface Guard {
  readonly name: string
  readonly ok: boolean
  readonly severity: GuardSeverity
  readonly text: string
}

export const ok = (name: string, text: string): Guard => ({
  name,
  ok: true,
  severity: 'blocker',
  text,
})
export const blocker = (name: string, text: string): Guard => ({
  name,
  ok: false,
  severity: 'blocker',
  text,
})
export const warning = (name: string, text: string): Guard => ({
  name,
  ok: false,
  severity: 'warning',
  text,
})

/** Throws MIGRATION_REFUSED with what does not hold. */
export function refuseBlocked(guards: readonly Guard[]): void {
  const failed = guards.filter((guard) => !guard.ok && guard.severity === 'blocker')
  if (failed.length > 0)
    throw new PontoonError('MIGRATION_REFUSED', failed.map(({ text }) => text).join('. '))
}

export interface SwitchReport {
  readonly id: string
  readonly kind: SwitchKind
  readonly dryRun: boolean
  /** Forced: `from` could not be reached. */
  readonly primaryLost: boolean
  readonly from: Side
  readonly to: Side
  readonly outcome: 'done' | 'aborted' | 'refused'
  readonly guards: readonly Guard[]
  readonly steps: readonly StepReport[]
  /** From the gate's closing to its opening; null when it was not closed. */
  readonly pauseMs: number | null
  /** Of a dry run: what the pause would have been. */
  readonly predictedPauseMs: number | null
  readonly route: Route
  /** Why it was aborted or refused. */
  readonly reason: string | null
}

/** A session that still holds a server. */
export interface Holder {
  readonly id: number
  readonly user: string
  readonly applicationName: string
  readonly address: string
  readonly pinReason: string
  readonly work: string
  readonly workAgeMs: number
}

/** The gate of the service, held shut by this switch alone. */
export interface HeldGate {
  drained(
    waitMs: number,
  ): Promise<{ readonly drained: boolean; readonly waitingFor: readonly Holder[] }>
  release(release?: { readonly gradually?: boolean; readonly settlesDoubt?: boolean }): void
}

/** What a switch asks of the data plane; control/ gives it the service of the sidecar. */
export interface Participant {
  readonly route: Route
  hold(reason: string): HeldGate
  /** Sessions that cannot follow to the other side. */
  immovable(): readonly Holder[]
  end(id: number): void
  /** Process ids of all our servers on that side. */
  backends(side: Side): readonly number[]
  /** Our servers for writes on that side that no session has: while the gate is shut, none will. */
  resting(side: Side): readonly RestingBackend[]
  applyRoute(route: Route): void
  /** Opens connections to a side, up to their login, while nobody waits; at the latest after that. */
  prepare(side: Side, deadlineMs: number): Promise<void>
  /** Opens servers on a side ahead of the rush; settles with how many, at the latest after that. */
  warm(side: Side, deadlineMs: number): Promise<number>
}
