/**
 * Cutovers and rollbacks of the services of this sidecar: starts them, shows how far they are,
 * aborts them, and finishes at the start what an earlier process has left undecided. The algorithm
 * is in migration/pg/switch; this gives it the service and keeps the books: one operation each,
 * one audit entry, events, counters.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceConfig } from '../config/schema.ts'
import { recoverForced } from '../migration/pg/switch/carry-out-forced.ts'
import { recover } from '../migration/pg/switch/carry-out.ts'
import { runForced, type ForcedRequest } from '../migration/pg/switch/forced.ts'
import { stepTexts } from '../migration/pg/switch/model.ts'
import type {
  Participant,
  PinnedPolicy,
  StepName,
  StepReport,
  SwitchReport,
} from '../migration/pg/switch/model.ts'
import { awaitedSide, lostPrimaryAdvice } from '../migration/pg/switch/out-of-reach.ts'
import { StepLog, type StepWatch } from '../migration/pg/switch/step-log.ts'
import { runSwitch, type SwitchParts } from '../migration/pg/switch/switch.ts'
import type { Secrets } from '../net/secrets/secrets.ts'
import type { SwitchHold } from '../proxy/gate-use.ts'
import type { Service } from '../proxy/service.ts'
import type { Clock } from '../shared/clock.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import type { RouteStore } from '../store/route-store.ts'
import type { SwitchKind, SwitchRecord } from '../store/switch-record.ts'
import type { EventFeed } from './events.ts'
import { switchLimits } from './limits.ts'
import type { Actor, Operator } from './operator.ts'

export interface SwitchOptions {
  readonly dryRun: boolean
  readonly deadlineMs: number
  readonly pinned: PinnedPolicy
  /** Forced: the side that takes the writes now cannot be reached. */
  readonly primaryLost: boolean
}

export type OperationState = 'running' | SwitchReport['outcome'] | 'failed'

export interface Operation {
  readonly id: string
  readonly service: string
  readonly kind: SwitchKind
  readonly state: OperationState
  /** The step that runs, with what it is about, for people. */
  readonly step: StepName | null
  readonly stepText: string
  readonly steps: readonly StepReport[]
  readonly report: SwitchReport | null
  readonly startedAtMs: number
}

export interface SwitchesParts {
  readonly services: ReadonlyMap<string, Service>
  readonly store: RouteStore
  readonly operator: Operator
  readonly secrets: Secrets
  readonly events: EventFeed
  readonly clock: Clock
  readonly log: Log
  /** For tests of every crash: runs before each step. */
  readonly beforeStep?: StepWatch['beforeStep']
  readonly stateFolder: string
}

interface Running {
  operation: Operation
  readonly abort: AbortController
  /** A forced switch takes its place: it ends as if the process stopped. */
  readonly superseded: AbortController
  /** Whether it was begun by an earlier process. */
  readonly isRecovery: boolean
  /** The gate, once it has shut it. */
  hold: SwitchHold | null
  readonly ended: Promise<void>
}

type Work = (parts: SwitchParts, signal: AbortSignal) => Promise<SwitchReport>

interface RunOf {
  readonly service: Service
  readonly config: ServiceConfig
  readonly kind: SwitchKind
  /** Of what an earlier process has begun: the gate was shut before the first client came. */
  readonly hold?: SwitchHold
}

export class Switches {
  readonly #parts: SwitchesParts
  readonly #operations = new Map<string, Running>()
  /** Operations by their keys, with what was asked for. */
  readonly #byKey = new Map<string, { readonly id: string; readonly asked: string }>()
  readonly #stopping = new AbortController()

  constructor(parts: SwitchesParts) {
    this.#parts = parts
  }

  /**
   * Begins one and gives its operation at once. The same key gives the same operation again, and
   * BAD_REQUEST for anything else. Throws NOT_FOUND, SWITCH_RUNNING, or ROUTE_REFUSED for a service that has no such switch.
   */
  start(
    name: string,
    kind: SwitchKind,
    options: SwitchOptions,
    actor: Actor,
    key: string | null,
  ): Operation {
    const asked = JSON.stringify([name, kind, options])
    const known = key === null ? undefined : this.#byKey.get(key)
    if (known !== undefined && known.asked !== asked)
      throw new PontoonError('BAD_REQUEST', 'Idempotency-Key: was used for something else')
    if (known !== undefined) return this.get(known.id)
    const service = this.#parts.operator.service(name)
    const { config } = service
    if (config.protocol !== 'postgres')
      throw new PontoonError('ROUTE_REFUSED', `${name}: ${kind} of a ${config.protocol} service`)
    const id = randomUUID()
    const request = { id, kind, ...options, actor: actor.name }
    if (options.primaryLost) this.#refuseUndecided(name)
    else this.#refuseSecond(name)
    const run = options.primaryLost
      ? this.#forced(service, request)
      : (parts: SwitchParts, signal: AbortSignal) => runSwitch(parts, request, signal)
    this.#run(id, { service, config, kind }, (parts, signal) =>
      this.#audited(name, kind, options, actor, () => run(parts, signal)),
    )
    if (key !== null) this.#byKey.set(key, { id, asked })
    return this.get(id)
  }

  /** Throws NOT_FOUND. */
  get(id: string): Operation {
    const found = this.#operations.get(id)
    if (found !== undefined) return found.operation
    throw new PontoonError('NOT_FOUND', `No operation '${id}'.`)
  }

  /** The one that runs for the service now; of two the forced one, which came later. */
  runningOf(service: string): Operation | undefined {
    return [...this.#operations.values()]
      .map(({ operation }) => operation)
      .findLast((one) => one.service === service && one.state === 'running')
  }

  /** Asks it to undo what it has done; after the commit point that does nothing. */
  abort(id: string, actor: Actor): Operation {
    this.get(id)
    const reason = new PontoonError('SWITCH_ABORTED', `aborted by ${actor.name}`)
    this.#operations.get(id)?.abort.abort(reason)
    return this.get(id)
  }

  /**
   * Finishes what an earlier process has left. The holds were taken before the first client could
   * come.
   */
  recoverAll(held: ReadonlyMap<Service, SwitchHold>): void {
    for (const [service, hold] of held) {
      const record = this.#parts.store.switchOf(service.name)
      if (record !== undefined) this.#recover(service, record, hold)
    }
  }

  #recover(service: Service, record: SwitchRecord, hold: SwitchHold): void {
    const { config } = service
    if (config.protocol !== 'postgres') return
    const { id, kind, primaryLost } = record
    this.#run(id, { service, config, kind, hold }, async (parts) => {
      const steps = new StepLog(parts.watch, () => this.#parts.clock.nowMs())
      const finish = primaryLost ? recoverForced : recover
      const outcome = await finish(parts, { record, gate: hold, steps })
      this.#resumePending(service, id, hold)
      const actor: Actor = { name: record.actor, role: 'system', address: '' }
      const details = { id, outcome, steps: steps.reports }
      await this.#parts.operator.audited(
        `switch.recover`,
        service.name,
        details,
        actor,
        async () => ({
          result: undefined,
          after: service.route,
        }),
      )
      return {
        id,
        kind,
        dryRun: false,
        primaryLost,
        from: record.from,
        to: record.to,
        outcome,
        guards: [],
        steps: steps.reports,
        pauseMs: null,
        predictedPauseMs: null,
        route: service.route,
        reason: 'the process that began it was interrupted',
      }
    })
  }

  /** Aborts what is not committed and waits for all of it, at most `waitMs`. */
  async stop(waitMs: number): Promise<void> {
    const running = [...this.#operations.values()].filter(
      ({ operation }) => operation.state === 'running',
    )
    for (const { abort } of running)
      abort.abort(new PontoonError('SWITCH_ABORTED', 'the sidecar is stopping'))
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs)
    })
    await Promise.race([Promise.all(running.map(({ ended }) => ended)), patience])
    clearTimeout(timer)
    this.#stopping.abort(new PontoonError('SHUTTING_DOWN', 'the sidecar is stopping'))
  }

  #refuseSecond(name: string): void {
    const running = this.runningOf(name)
    const stored = this.#parts.store.switchOf(name)
    if (running === undefined && stored === undefined) return
    const { id, kind } = running ?? stored ?? { id: '', kind: '' }
    const text = `${name}: ${kind} ${id} is under way`
    if (stored === undefined || stored.id !== id || stored.state === 'started')
      throw new PontoonError('SWITCH_RUNNING', text)
    const side = awaitedSide(stored)
    const advice = lostPrimaryAdvice(name, side)
    throw new PontoonError(
      'SWITCH_RUNNING',
      `${text}. It is ${stored.state}; if it does not end, it waits for the ${side}. ${advice}`,
    )
  }

  /** A forced switch may take the place of one that is decided, and of no other. */
  #refuseUndecided(name: string): void {
    const stored = this.#parts.store.switchOf(name)
    const isDecided = stored !== undefined && stored.state !== 'started'
    const running = [...this.#operations.values()].find(
      ({ operation: { service, state, id } }) =>
        service === name && state === 'running' && !(isDecided && id === stored.id),
    )
    if (running === undefined && (stored === undefined || isDecided)) return
    const { id, kind } = running?.operation ?? stored ?? { id: '', kind: '' }
    throw new PontoonError(
      'SWITCH_RUNNING',
      `${name}: ${kind} ${id} is under way and not decided yet; pontoon abort ${name} ends it`,
    )
  }

  #forced(service: Service, request: ForcedRequest): Work {
    const { store } = this.#parts
    const pendingId = store.switchOf(service.name)?.id ?? ''
    const pending = (): Running | undefined => this.#operations.get(pendingId)
    const neverOpened = (): boolean => hasNeverOpened(pending())
    return async (parts, signal) => {
      let hold: SwitchHold | null = null
      const takeGate = async (): Promise<SwitchHold> => {
        const text = `${request.kind} ${request.id}`
        hold = (await supersede(pending(), text)) ?? service.beginSwitch(text)
        this.#noteHold(request.id, hold)
        return hold
      }
      try {
        return await runForced({ ...parts, takeGate, neverOpened }, request, signal)
      } finally {
        this.#resumePending(service, request.id, hold ?? pending()?.hold ?? null)
      }
    }
  }

  /** A forced switch that was given up has put back what it had taken the place of. */
  #resumePending(service: Service, endedId: string, hold: SwitchHold | null): void {
    const { store, log } = this.#parts
    const pending = store.switchOf(service.name)
    // It is not over itself, as when the process is to stop.
    if (pending === undefined || pending.id === endedId) return
    const running = this.#operations.get(pending.id)
    // It has not been disturbed.
    if (running !== undefined && !running.superseded.signal.aborted) return
    const again = async (): Promise<void> => {
      await running?.ended
      const record = store.switchOf(service.name)
      // Another forced one may have come meanwhile, which puts it back in its turn.
      if (record?.id !== pending.id || this.#stopping.signal.aborted) return
      const isShut = hold?.isInForce === true
      this.#recover(
        service,
        record,
        isShut ? hold : service.beginSwitch(`${record.kind} ${record.id}`),
      )
    }
    again().catch((thrown: unknown) => {
      const { code, message } = toPontoonError(thrown)
      log.error({ service: service.name, code }, `the next start finishes a switch: ${message}`)
    })
  }

  /** For a forced switch that takes its place. */
  #noteHold(id: string, hold: SwitchHold): void {
    const running = this.#operations.get(id)
    if (running !== undefined) running.hold = hold
  }

  #run(id: string, of: RunOf, work: Work): void {
    const { service, config, kind } = of
    const { clock, store, secrets, log, events } = this.#parts
    const abort = new AbortController()
    const superseded = new AbortController()
    const operation: Operation = {
      id,
      service: service.name,
      kind,
      state: 'running',
      step: null,
      stepText: '',
      steps: [],
      report: null,
      startedAtMs: clock.wallMs(),
    }
    const update = (change: Partial<Operation>): void => {
      const kept = this.#operations.get(id)
      if (kept !== undefined) kept.operation = { ...kept.operation, ...change }
    }
    const tell = (change: Partial<Operation>): void => {
      update(change)
      events.publish('operation', { ...this.get(id) })
    }
    const watch: StepWatch = {
      beforeStep: async (step) => {
        tell({ step, stepText: stepTexts[step] })
        await this.#parts.beforeStep?.(step)
      },
      onStep: (report) => {
        // The next step tells it, or the end.
        update({ steps: [...this.get(id).steps, report] })
      },
    }
    const parts: SwitchParts = {
      service: service.name,
      config,
      secrets,
      store,
      participant: participantOf(service, (hold) => this.#noteHold(id, hold)),
      log,
      stopping: AbortSignal.any([this.#stopping.signal, superseded.signal]),
      clock,
      watch,
      stateFolder: this.#parts.stateFolder,
    }
    // Begins once it is listed below, so that its first step is told too.
    const begun = Promise.resolve().then(() => work(parts, abort.signal))
    const ended = begun.then(
      (report) => tell({ state: report.outcome, step: null, stepText: '', report }),
      (thrown: unknown) => {
        const error = toPontoonError(superseded.signal.reason ?? thrown)
        log.error({ service: service.name, err: error, operation: id }, `${kind} failed`)
        tell({ state: 'failed', stepText: error.message })
      },
    )
    this.#forgetOld()
    const { hold = null } = of
    const isRecovery = hold !== null
    this.#operations.set(id, { operation, abort, superseded, isRecovery, hold, ended })
  }

  /** One entry in the audit log with every step's duration, however it ended. */
  async #audited(
    name: string,
    kind: SwitchKind,
    options: SwitchOptions,
    actor: Actor,
    run: () => Promise<SwitchReport>,
  ): Promise<SwitchReport> {
    const { operator, services, log } = this.#parts
    const before = services.get(name)?.route
    const action = kind === 'cutover' ? 'switch.cutover' : 'switch.rollback'
    let report: SwitchReport | undefined
    try {
      return await operator.audited(action, name, { ...options }, actor, async () => {
        report = await run()
        const { outcome, steps, pauseMs, predictedPauseMs, reason, id, primaryLost } = report
        log.info({ service: name, outcome, pauseMs, steps, reason }, `${kind} ${outcome}`)
        if (outcome === 'refused')
          throw new PontoonError('MIGRATION_REFUSED', `${name}: ${kind} refused: ${reason}`)
        if (outcome === 'aborted')
          throw new PontoonError('SWITCH_ABORTED', `${name}: ${kind} aborted: ${reason}`)
        const told = primaryLost ? { guards: report.guards.map(({ text }) => text) } : {}
        const details = { id, outcome, steps, pauseMs, predictedPauseMs, ...told }
        return { result: report, before, after: report.route, details }
      })
    } catch (thrown) {
      // Audited as refused; for the operation it is an outcome like any other.
      if (report !== undefined) return report
      throw thrown
    } finally {
      services.get(name)?.stats.countSwitch(kind, countedAs(report))
    }
  }

  #forgetOld(): void {
    for (const [id, { operation }] of this.#operations) {
      if (this.#operations.size < switchLimits.operationsKept) break
      if (operation.state !== 'running') this.#operations.delete(id)
    }
    for (const [key, { id }] of this.#byKey) if (!this.#operations.has(id)) this.#byKey.delete(key)
  }
}

/** Ends it, and gives the gate if it has it shut still. Rejects with SWITCH_ABORTED. */
async function supersede(pending: Running | undefined, by: string): Promise<SwitchHold | null> {
  if (pending === undefined) return null
  pending.superseded.abort(
    new PontoonError('SWITCH_DECIDED', `${by}, forced, has taken the place of this one`),
  )
  const late = delay(switchLimits.takeOverMs, 'late', { ref: false })
  if ((await Promise.race([pending.ended, late])) === 'late')
    throw new PontoonError('SWITCH_ABORTED', `${pending.operation.kind} does not end`)
  return pending.hold?.isInForce === true ? pending.hold : null
}

/** Only who has committed it knows; an earlier process may have opened the new side and died. */
function hasNeverOpened(pending: Running | undefined): boolean {
  if (pending === undefined || pending.isRecovery) return false
  return pending.operation.steps.every(({ step }) => step !== 'unfence')
}

/** Forced ones that went through are told apart. */
function countedAs(report: SwitchReport | undefined): string {
  if (report === undefined) return 'failed'
  const { outcome, primaryLost, dryRun } = report
  return outcome === 'done' && primaryLost && !dryRun ? 'forced' : outcome
}

function participantOf(service: Service, onHold: (hold: SwitchHold) => void): Participant {
  return {
    get route() {
      return service.route
    },
    hold: (reason) => {
      const hold = service.beginSwitch(reason)
      onHold(hold)
      return hold
    },
    immovable: () => service.immovable?.() ?? [],
    end: (id) => {
      service.endSessions({ id })
    },
    backends: (side) => service.backends?.[side].pids() ?? [],
    resting: (side) => service.resting?.(side) ?? [],
    applyRoute: (route) => service.applyRoute(route),
    prepare: async (side, deadlineMs) => service.prepare?.(side, deadlineMs),
    warm: async (side, deadlineMs) => (await service.warm?.(side, deadlineMs)) ?? 0,
  }
}
