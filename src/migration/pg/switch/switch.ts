/**
 * One cutover or rollback from its guards to its end: docs/cutover.md has the algorithm and why
 * each step is there. Up to the commit point every failure, the deadline and the operator's abort
 * lead to the undo; from there on only forward. What decides is the record in the store
 * (store/switch-record.ts); carry-out.ts does what was decided, here and after a crash.
 */
import type { Route } from '../../../routing/route.ts'
import { assert } from '../../../shared/assert.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import type { Clock } from '../../../shared/clock.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { isPending, startedRecord } from '../../../store/switch-record.ts'
import { catalogStamp } from '../catalog-stamp.ts'
import { readPrior } from '../fence.ts'
import { directionFrom } from '../names.ts'
import type { SequenceRead } from '../sequences.ts'
import { readSequences, readTables } from '../tables.ts'
import {
  armReverse,
  awaitLowLag,
  makeReady,
  proveReverse,
  subscribeAhead,
  type ArmParts,
} from './arm.ts'
import {
  carryOut,
  decideAbort,
  forgetSwitch,
  straighten,
  takeBack,
  undo,
  withGateHeld,
  type SwitchContext,
} from './carry-out.ts'
import { carryAhead, carryDrawn, carryRestarted } from './carry-sequences.ts'
import { drain } from './drain.ts'
import { checkGuards, marksGuard } from './guards.ts'
import { lockSwitch } from './lock.ts'
import { refuseBlocked } from './model.ts'
import type { Guard, HeldGate, SwitchReport, SwitchRequest } from './model.ts'
import {
  awaitApplied,
  checkAgain,
  checkTables,
  fenceOldSide,
  proveBack,
  sendFenceRow,
  turnRound,
  type PauseOptions,
  type PausePlan,
} from './pause.ts'
import { wordsOf } from './out-of-reach.ts'
import { predictPauseMs } from './predict.ts'
import { routeAfter } from './route-after.ts'
import { StepLog, type StepWatch } from './step-log.ts'
import { findStreams, streamMode, type Stream, type StreamMode } from '../stream.ts'
import { fenceSpec, openSides, type SwitchSides } from './switch-sides.ts'

export interface SwitchParts extends SwitchContext {
  readonly clock: Clock
  readonly watch: StepWatch
  /** Of this sidecar; the guards look there for the last verification. */
  readonly stateFolder: string
}

/** Lag is waited for this long before the guards refuse. */
const lagWaitMs = 15_000
/** Connections are opened ahead for so long; the pause begins with what is there then. */
const prepareMs = 2_000
/** Of each statement while sequences are carried over ahead, and of a row on its way. */
const carryAheadMs = 30_000
/** Of the deadline, what the steps after the drain may need. */
const stepsShare = 0.5

/** What the guards have looked at. */
interface Checked extends Pick<PausePlan, 'tables' | 'sequences'> {
  /** The sync that the switch waits for. */
  readonly stream: Stream
}

interface Prepared {
  readonly plan: PausePlan
  readonly mode: StreamMode
  /** How long a row took back, with the turn of the sync where there is one. */
  readonly proofMs: number
  /** Null where the sync is turned round in the pause. */
  readonly back: Stream | null
}

/** Prepared, and with all that could be opened ahead. */
interface Opened extends Prepared {
  readonly back: Stream
  /** Sequences as the new side has them already. */
  readonly carried: readonly SequenceRead[]
}

/**
 * The report says how it ended, whatever a switch may meet. Rejects only when it is not over: the
 * process stops, and the next one finishes it.
 */
export async function runSwitch(
  parts: SwitchParts,
  request: SwitchRequest,
  signal: AbortSignal,
): Promise<SwitchReport> {
  return await new Switch(parts, request, signal).run()
}

class Switch {
  readonly #parts: SwitchParts
  readonly #request: SwitchRequest
  readonly #signal: AbortSignal
  readonly #steps: StepLog
  readonly #from: Side
  readonly #to: Side
  readonly #before: Route
  #guards: readonly Guard[] = []
  #pauseMs: number | null = null
  #predictedPauseMs: number | null = null

  constructor(parts: SwitchParts, request: SwitchRequest, signal: AbortSignal) {
    this.#parts = parts
    this.#request = request
    this.#signal = signal
    this.#steps = new StepLog(parts.watch, () => parts.clock.nowMs())
    this.#to = request.kind === 'cutover' ? 'target' : 'source'
    this.#from = otherSide(this.#to)
    this.#before = parts.participant.route
  }

  async run(): Promise<SwitchReport> {
    let sides: SwitchSides | null = null
    let hasBegun = false
    try {
      this.#refuseWrongWay()
      sides = await openSides(this.#parts, this.#from, this.#to)
      const prepared = await this.#prepare(sides)
      if (this.#request.dryRun) {
        const { plan, mode, proofMs } = prepared
        this.#predictedPauseMs = await predictPauseMs(this.#armParts(sides, mode), {
          sequences: plan.sequences,
          proofMs,
        })
        return this.#report('done', null)
      }
      hasBegun = true
      return await this.#inPause(await this.#begin(prepared))
    } catch (thrown) {
      const { store, service } = this.#parts
      // Decided and not carried out, as when the process is to stop: the next start finishes it, or a
      // forced switch has taken its place.
      if (isPending(store.switchOf(service), this.#request.id)) throw thrown
      if (hasBegun) {
        // And with them the locks, which are taken again for it.
        sides?.close()
        // What cannot be taken back, the next switch takes away.
        await takeBack(this.#parts, this.#from).catch(() => undefined)
      }
      const message = await wordsOf(this.#parts, this.#from, thrown)
      const at = this.#steps.current
      const outcome = this.#signal.aborted ? 'aborted' : 'refused'
      return this.#report(outcome, at === null ? message : `${at}: ${message}`)
    } finally {
      sides?.close()
    }
  }

  #refuseWrongWay(): void {
    const { kind } = this.#request
    if (this.#before.primary === this.#from && this.#before.phase !== 'retired') return
    const why =
      this.#before.phase === 'retired'
        ? 'the service is retired'
        : `the ${this.#before.primary} takes the writes already`
    throw new PontoonError('MIGRATION_REFUSED', `no ${kind}: ${why}`)
  }

  #armParts(sides: SwitchSides, mode: StreamMode): ArmParts {
    return { context: this.#parts, sides, mode, signal: this.#signal }
  }

  /** Before the pause (P1 to P4): nothing here touches the traffic. */
  async #prepare(sides: SwitchSides): Promise<Prepared> {
    const { from, to } = sides
    const mode = streamMode(from.control, to.control)
    const arm = this.#armParts(sides, mode)
    const { stream, tables, sequences } = await this.#steps.run('guards', () =>
      this.#checkGuards(sides),
    )
    await this.#steps.run('publication', () => makeReady(arm, this.#before))
    const back = await this.#steps.run('reverse', () => armReverse(arm))
    const proofMs = await this.#steps.run('proof', () => proveReverse(arm))
    await awaitLowLag(arm, lagWaitMs)
    const fence = fenceSpec(this.#parts, from.side)
    const state = await stream.state(to.watch)
    const stamp = await catalogStamp(from.watch)
    const plan: PausePlan = {
      context: this.#parts,
      sides,
      fence,
      prior: await readPrior(from.control, fence),
      tables,
      sequences,
      stamp,
      stream,
      errors: state?.errors?.apply ?? null,
    }
    // Since the guards; behind the stamp, which tells of later ones.
    await checkTables(plan, {})
    this.#signal.throwIfAborted()
    return { plan, mode, back, proofMs }
  }

  async #checkGuards(sides: SwitchSides): Promise<Checked> {
    const { service, config, participant, stateFolder } = this.#parts
    const { from, to } = sides
    const { pinned } = this.#request
    await lockSwitch(sides, this.#signal)
    // What is left of an earlier switch is not put straight for a route that may be out of date.
    const marks = await marksGuard(sides, this.#before)
    this.#guards = [marks]
    refuseBlocked(this.#guards)
    await straighten(this.#parts, sides)
    const { exclude } = config.migration
    const tables = await readTables(from.watch, exclude)
    const sequences = await readSequences(from.watch, exclude)
    const streams = await findStreams(to.replication, service, directionFrom(from.side))
    const stream = streams.at(-1) ?? null
    const found = { tables, stream, stateFolder }
    const parts = { context: this.#parts, sides, participant, pinned, ...found }
    this.#guards = [marks, ...(await checkGuards(parts))]
    refuseBlocked(this.#guards)
    assert(stream !== null, 'the guards have seen a stream')
    return { stream, tables, sequences }
  }

  /** What the pause is not to wait for, and C1. */
  async #begin(prepared: Prepared): Promise<Opened> {
    const ahead = [
      this.#wayBack(prepared),
      carryAhead(prepared.plan, { timeoutMs: carryAheadMs, signal: this.#signal }),
      this.#parts.participant.prepare(this.#to, prepareMs),
    ] as const
    // Whoever fails first is heard; the others are waited for with it.
    await Promise.allSettled(ahead)
    const [back, carried] = await Promise.all(ahead)
    this.#signal.throwIfAborted()
    await this.#start()
    return { ...prepared, back, carried }
  }

  async #wayBack({ plan, mode, back }: Prepared): Promise<Stream> {
    return back ?? (await subscribeAhead(this.#armParts(plan.sides, mode), this.#before.epoch + 1))
  }

  /** C1. The record is durable before the gate shuts. */
  async #start(): Promise<void> {
    const { store, service, clock } = this.#parts
    const { id } = this.#request
    const record = startedRecord(this.#request, this.#before.epoch, clock.wallMs())
    try {
      await this.#steps.run('start', () => store.startSwitch(service, record))
    } catch (thrown) {
      // A write that fails after its rename is there all the same.
      if (store.switchOf(service)?.id === id) await forgetSwitch(this.#parts, id)
      throw thrown
    }
  }

  async #hold(): Promise<HeldGate> {
    const { participant } = this.#parts
    const { kind, id } = this.#request
    try {
      return participant.hold(`${kind} ${id}`)
    } catch (thrown) {
      await forgetSwitch(this.#parts, id)
      throw thrown
    }
  }

  async #inPause(opened: Opened): Promise<SwitchReport> {
    const { clock, service } = this.#parts
    const { deadlineMs } = this.#request
    const beganMs = clock.nowMs()
    const gate = await this.#hold()
    const held: HeldGate = {
      drained: (waitMs) => gate.drained(waitMs),
      release: (release) => {
        this.#pauseMs ??= clock.nowMs() - beganMs
        gate.release(release)
      },
    }
    const late = new AbortController()
    const timer = setTimeout(() => {
      const step = this.#steps.current ?? 'gate'
      late.abort(
        new PontoonError(
          'SWITCH_ABORTED',
          `not committed within ${deadlineMs} ms, at step ${step}`,
        ),
      )
    }, deadlineMs)
    try {
      const signal = AbortSignal.any([this.#signal, late.signal])
      await this.#untilCommit(opened, held, signal)
    } catch (thrown) {
      clearTimeout(timer)
      if (!(await this.#isCommitted(held))) return await this.#undone(thrown, held)
    }
    clearTimeout(timer)
    const { store } = this.#parts
    const record = store.switchOf(service)
    const route = store.get(service)
    assert(record !== undefined && route !== undefined, 'a committed switch has record and route')
    const decided = { record, gate: held, steps: this.#steps }
    await carryOut(this.#parts, decided, route, opened.plan.sides.to.control)
    return this.#report('done', null)
  }

  /** C2 to C9. */
  async #untilCommit(
    { plan, mode, back, carried }: Opened,
    gate: HeldGate,
    signal: AbortSignal,
  ): Promise<void> {
    const { participant, store, service } = this.#parts
    const { deadlineMs, pinned, id } = this.#request
    const options: PauseOptions = { timeoutMs: deadlineMs, signal }
    await this.#steps.run('gate', () =>
      drain(participant, gate, { policy: pinned, waitMs: deadlineMs * stepsShare, signal }),
    )
    await this.#steps.run('fence', () =>
      fenceOldSide(plan, options, participant.resting(this.#from)),
    )
    const row = await this.#steps.run('fence-row', () => sendFenceRow(plan, options))
    const beside = Promise.all([checkAgain(plan, options), carryDrawn(plan, carried, options)])
    // Whoever fails first is heard; the other is waited for with it.
    beside.catch(() => undefined)
    const probe = await this.#steps.run('applied', () => awaitApplied(plan, row, options))
    await this.#steps.run('sequences', async () => {
      const [, restarted] = await beside
      await carryRestarted(plan, restarted, options)
    })
    const isTurned = mode === 'turns'
    if (isTurned) await this.#steps.run('reverse-slot', () => turnRound(plan, back, options))
    await this.#steps.run('reverse-proof', () =>
      proveBack(plan, back, isTurned ? null : probe, options),
    )
    await this.#steps.run('commit', async () => {
      signal.throwIfAborted()
      await store.commitSwitch(service, id, routeAfter(this.#before, this.#to))
    })
  }

  /** `started → aborting`, unless the commit has won; its write is then made sure of. */
  async #isCommitted(gate: HeldGate): Promise<boolean> {
    const { store, service, participant } = this.#parts
    const { id } = this.#request
    if (await decideAbort(this.#parts, id)) return false
    const route = routeAfter(this.#before, this.#to)
    const letOn = (): void => {
      // Both sides are fenced: whatever counts in the end, nothing is written meanwhile.
      participant.applyRoute(route)
      gate.release({ gradually: true })
    }
    // What the failed write has left can be read, and so it may count already.
    await withGateHeld(this.#parts, letOn, async () => {
      await store.commitSwitch(service, id, route)
    })
    return true
  }

  async #undone(thrown: unknown, gate: HeldGate): Promise<SwitchReport> {
    const { store, service } = this.#parts
    const reason = toPontoonError(thrown).message
    const at = this.#steps.current
    const record = store.switchOf(service)
    assert(record !== undefined, 'an aborted switch has its record until it is undone')
    await undo(this.#parts, { record, gate, steps: this.#steps })
    return this.#report('aborted', at === null ? reason : `${at}: ${reason}`)
  }

  #report(outcome: SwitchReport['outcome'], reason: string | null): SwitchReport {
    const { id, kind, dryRun } = this.#request
    return {
      id,
      kind,
      dryRun,
      primaryLost: false,
      from: this.#from,
      to: this.#to,
      outcome,
      guards: this.#guards,
      steps: this.#steps.reports,
      pauseMs: this.#pauseMs,
      predictedPauseMs: this.#predictedPauseMs,
      route: this.#parts.participant.route,
      reason,
    }
  }
}
