/**
 * A forced switch: the side that takes the writes is lost, and the other one, which sync has kept
 * equal, takes them over. The operator asks for it; docs/cutover.md has what it may cost.
 *
 * As in switch.ts the record in the store decides. Until the commit nothing in the databases is
 * changed, so taking it back is giving the record back; from there on only forward, by
 * carry-out-forced.ts. It may take the place of a switch that cannot be carried out without the lost
 * side: that one's record is kept in its own until the commit, which drops both ways of its end.
 */
import type { Route } from '../../../routing/route.ts'
import { assert } from '../../../shared/assert.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import {
  isPending,
  keptOf,
  startedRecord,
  type SwitchKind,
  type SwitchRecord,
} from '../../../store/switch-record.ts'
import { directionFrom } from '../names.ts'
import { lettingOn, retried } from './carry-out.ts'
import { carryOutForced } from './carry-out-forced.ts'
import { drain } from './drain.ts'
import { answerOf, checkForced } from './forced-guards.ts'
import { lockSide } from './lock.ts'
import { refuseBlocked, type Guard, type HeldGate, type SwitchReport } from './model.ts'
import { routeAfter } from './route-after.ts'
import { StepLog } from './step-log.ts'
import { awaitIdle } from './apply-idle.ts'
import type { SwitchParts } from './switch.ts'
import { closeSide, openSide, type SwitchSide } from './switch-sides.ts'

export interface ForcedRequest {
  readonly id: string
  readonly kind: SwitchKind
  /** Ends with the guards: whether it would go through, and what would be lost. */
  readonly dryRun: boolean
  readonly actor: string
}

export interface ForcedParts extends SwitchParts {
  /**
   * Ends what the pending switch still does in this process, and gives the gate shut. Only once it
   * has settled that switch does nothing any more. Rejects with SWITCH_ABORTED.
   */
  readonly takeGate: () => Promise<HeldGate>
  /** Of the pending switch: this process has committed it and never seen its new side open. */
  readonly neverOpened: () => boolean
}

/** What was received is applied for so long before clients wait for it, and while they do. */
const idleBeforeMsMax = 60_000
const idleMsMax = 5_000
/** Transactions end by themselves for so long: those on the side to go to may. */
const drainMs = 1_000
const forEver = Number.POSITIVE_INFINITY

/** The report says how it ended. Rejects only when it is not over, as runSwitch() does. */
export async function runForced(
  parts: ForcedParts,
  request: ForcedRequest,
  signal: AbortSignal,
): Promise<SwitchReport> {
  return await new ForcedSwitch(parts, request, signal).run()
}

class ForcedSwitch {
  readonly #parts: ForcedParts
  readonly #request: ForcedRequest
  readonly #signal: AbortSignal
  readonly #steps: StepLog
  readonly #to: Side
  readonly #before: Route
  readonly #pending: SwitchRecord | null
  #guards: readonly Guard[] = []
  /** The guards have said that nothing is lost because of it. */
  #neverOpened = false
  #gate: HeldGate | null = null
  #shutAtMs: number | null = null
  #pauseMs: number | null = null

  constructor(parts: ForcedParts, request: ForcedRequest, signal: AbortSignal) {
    const { store, service, watch, clock, participant } = parts
    this.#parts = parts
    this.#request = request
    this.#signal = signal
    this.#steps = new StepLog(watch, () => clock.nowMs())
    this.#to = request.kind === 'cutover' ? 'target' : 'source'
    // A committed switch that is not carried out yet has a route that the participant has not.
    this.#before = store.get(service) ?? participant.route
    this.#pending = store.switchOf(service) ?? null
  }

  async run(): Promise<SwitchReport> {
    const { store, service } = this.#parts
    const { id, dryRun } = this.#request
    let side: SwitchSide | null = null
    try {
      this.#refuseWrongWay()
      side = await this.#open()
      await this.#steps.run('guards', async () => await this.#check(side))
      if (dryRun) return this.#report('done', null)
      await this.#start()
      try {
        await this.#untilCommit(side)
      } catch (thrown) {
        if (!(await this.#isCommitted())) throw thrown
      }
      await this.#carryOut(side)
      return this.#report('done', null)
    } catch (thrown) {
      if (isPending(store.switchOf(service), id)) throw thrown
      const { message } = toPontoonError(thrown)
      const at = this.#steps.current
      const isBegun = this.#gate !== null || this.#signal.aborted
      return this.#report(
        isBegun ? 'aborted' : 'refused',
        at === null ? message : `${at}: ${message}`,
      )
    } finally {
      if (side !== null) closeSide(side)
    }
  }

  #refuseWrongWay(): void {
    const { primary, phase } = this.#before
    if (primary !== this.#to && phase !== 'retired') return
    const why = phase === 'retired' ? 'the service is retired' : `${primary} takes the writes`
    throw new PontoonError('MIGRATION_REFUSED', `no forced ${this.#request.kind}: ${why}`)
  }

  async #open(): Promise<SwitchSide> {
    try {
      return await openSide(this.#parts, this.#to)
    } catch (thrown) {
      const { message } = toPontoonError(thrown)
      const text = `the ${this.#to} cannot be reached either: ${message}`
      throw new PontoonError('MIGRATION_REFUSED', text, { cause: thrown })
    }
  }

  async #check(side: SwitchSide | null): Promise<void> {
    assert(side !== null, 'the guards ask the side that is there')
    // A pending switch of this process has it still; it is taken with the gate.
    if (this.#pending === null) await lockSide(side, this.#signal)
    this.#neverOpened = this.#parts.neverOpened()
    this.#guards = await checkForced({
      context: this.#parts,
      side,
      route: this.#before,
      pending: this.#pending,
      neverOpened: this.#neverOpened,
      signal: this.#signal,
    })
    refuseBlocked(this.#guards)
    if (this.#request.dryRun) return
    const { service } = this.#parts
    const direction = directionFrom(this.#before.primary)
    const patience = { forMs: idleBeforeMsMax, signal: this.#signal }
    await awaitIdle(side, service, direction, patience)
  }

  /** From here on a crash is met by the next start, which takes it back or completes it. */
  async #start(): Promise<void> {
    const { store, service, clock } = this.#parts
    const record = {
      ...startedRecord(this.#request, this.#before.epoch, clock.wallMs()),
      primaryLost: true,
      over: this.#pending === null ? null : keptOf(this.#pending),
    }
    try {
      await this.#steps.run('start', () => store.startForced(service, record))
    } catch (thrown) {
      await this.#isCommitted()
      throw thrown
    }
  }

  async #untilCommit(side: SwitchSide): Promise<void> {
    const { participant, store, service, takeGate, clock } = this.#parts
    const signal = this.#signal
    const { primary } = this.#before
    await this.#steps.run('gate', async () => {
      this.#gate = this.#timed(await takeGate())
      this.#shutAtMs = clock.nowMs()
      await lockSide(side, signal)
      await drain(participant, this.#gate, { policy: 'terminate', waitMs: drainMs, signal })
    })
    const direction = directionFrom(primary)
    await this.#steps.run('applied', () =>
      awaitIdle(side, service, direction, { forMs: idleMsMax, signal }),
    )
    await this.#steps.run('commit', async () => {
      // The pending switch may have found it back before it ended.
      const answer = await answerOf(this.#parts, primary)
      if (answer !== null)
        throw new PontoonError('SWITCH_ABORTED', `the ${primary} is back (${answer})`)
      if (this.#neverOpened && !this.#parts.neverOpened())
        throw new PontoonError(
          'SWITCH_ABORTED',
          `the ${primary} has opened meanwhile, and may have acknowledged writes: ask again`,
        )
      signal.throwIfAborted()
      await store.commitSwitch(service, this.#request.id, routeAfter(this.#before, this.#to))
    })
  }

  /** 0 while the gate is open. */
  #waitedMs(): number {
    const nowMs = this.#parts.clock.nowMs()
    return nowMs - (this.#shutAtMs ?? nowMs)
  }

  #timed(gate: HeldGate): HeldGate {
    return {
      drained: (waitMs) => gate.drained(waitMs),
      release: (release) => {
        this.#pauseMs ??= this.#waitedMs()
        gate.release(release)
      },
    }
  }

  /**
   * Takes it back, unless the commit has won; its write is then made sure of. What it had taken the
   * place of goes on with the gate as it is; where there is nothing, the gate opens.
   */
  async #isCommitted(): Promise<boolean> {
    const { store, service, participant } = this.#parts
    const { id } = this.#request
    const settle = async (): Promise<void> => {
      const found = store.switchOf(service)
      if (found?.id !== id) return
      if (found.state === 'committed')
        await store.commitSwitch(service, id, routeAfter(this.#before, this.#to))
      else await store.withdrawForced(service, id)
    }
    const letOn = (): void => {
      // Whichever way it ends: the side to go to is fenced still.
      participant.applyRoute(store.get(service) ?? this.#before)
      this.#gate?.release({ gradually: true })
    }
    const what = 'the end of a forced switch is written'
    await lettingOn(
      this.#parts,
      letOn,
      () => retried(this.#parts, forEver, what, settle),
      this.#waitedMs(),
    )
    if (store.switchOf(service)?.id === id) return true
    if (this.#pending === null) this.#gate?.release({ gradually: true })
    return false
  }

  async #carryOut(side: SwitchSide): Promise<void> {
    const { store, service } = this.#parts
    const record = store.switchOf(service)
    const route = store.get(service)
    const gate = this.#gate
    assert(record !== undefined && route !== undefined, 'a committed switch has record and route')
    assert(gate !== null, 'it was committed with the gate shut')
    const decided = { record, gate, steps: this.#steps }
    await carryOutForced(this.#parts, decided, route, { open: side, waitedMs: this.#waitedMs() })
  }

  #report(outcome: SwitchReport['outcome'], reason: string | null): SwitchReport {
    const { id, kind, dryRun } = this.#request
    return {
      id,
      kind,
      dryRun,
      primaryLost: true,
      from: otherSide(this.#to),
      to: this.#to,
      outcome,
      guards: this.#guards,
      steps: this.#steps.reports,
      pauseMs: this.#pauseMs,
      predictedPauseMs: null,
      route: this.#parts.participant.route,
      reason,
    }
  }
}
