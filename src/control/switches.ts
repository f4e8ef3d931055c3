/**
 * Cutovers and rollbacks of the services of this sidecar: starts them, shows how far they are,
 * aborts them, and finishes at the start what an earlier process has left undecided. The algorithm
 * is in migration/pg/switch; this gives it the service and keeps the books: one operation each,
 * one audit entry, events, counters.
 */
import { randomUUID } from 'node:crypto'
import type { ServiceConfig } from '../config/schema.ts'
import { recover } from '../migration/pg/switch/carry-out.ts'
import { stepTexts } from '../migration/pg/switch/model.ts'
import type {
  Participant,
  PinnedPolicy,
  StepName,
  StepReport,
  SwitchReport,
} from '../migration/pg/switch/model.ts'
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
  readonly ended: Promise<void>
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
    this.#refuseSecond(name)
    const id = randomUUID()
    this.#run(id, { service, config, kind }, (parts, signal) =>
      this.#audited(name, kind, options, actor, () =>
        runSwitch(parts, { id, kind, ...options, actor: actor.name }, signal),
      ),
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

  /** The one that runs for the service now. */
  runningOf(service: string): Operation | undefined {
    return [...this.#operations.values()]
      .map(({ operation }) => operation)
      .find((one) => one.service === service && one.state === 'running')
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
    const { id, kind } = record
    this.#run(id, { service, config, kind }, async (parts) => {
      const steps = new StepLog(parts.watch, () => this.#parts.clock.nowMs())
      const outcome = await recover(parts, { record, gate: hold, steps })
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
    throw new PontoonError('SWITCH_RUNNING', `${name}: ${kind} ${id} is under way`)
  }

  #run(
    id: string,
    of: { readonly service: Service; readonly config: ServiceConfig; readonly kind: SwitchKind },
    work: (parts: SwitchParts, signal: AbortSignal) => Promise<SwitchReport>,
  ): void {
    const { service, config, kind } = of
    const { clock, store, secrets, log, events } = this.#parts
    const abort = new AbortController()
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
      participant: participantOf(service),
      log,
      stopping: this.#stopping.signal,
      clock,
      watch,
      stateFolder: this.#parts.stateFolder,
    }
    // Begins once it is listed below, so that its first step is told too.
    const begun = Promise.resolve().then(() => work(parts, abort.signal))
    const ended = begun.then(
      (report) => tell({ state: report.outcome, step: null, stepText: '', report }),
      (thrown: unknown) => {
        const error = toPontoonError(thrown)
        log.error({ service: service.name, err: error, operation: id }, `${kind} failed`)
        tell({ state: 'failed', stepText: error.message })
      },
    )
    this.#forgetOld()
    this.#operations.set(id, { operation, abort, ended })
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
        const { outcome, steps, pauseMs, predictedPauseMs, reason, id } = report
        log.info({ service: name, outcome, pauseMs, steps, reason }, `${kind} ${outcome}`)
        if (outcome === 'refused')
          throw new PontoonError('MIGRATION_REFUSED', `${name}: ${kind} refused: ${reason}`)
        if (outcome === 'aborted')
          throw new PontoonError('SWITCH_ABORTED', `${name}: ${kind} aborted: ${reason}`)
        const details = { id, outcome, steps, pauseMs, predictedPauseMs }
        return { result: report, before, after: report.route, details }
      })
    } catch (thrown) {
      // Audited as refused; for the operation it is an outcome like any other.
      if (report !== undefined) return report
      throw thrown
    } finally {
      services.get(name)?.stats.countSwitch(kind, report?.outcome ?? 'failed')
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

function participantOf(service: Service): Participant {
  return {
    get route() {
      return service.route
    },
    hold: (reason) => service.beginSwitch(reason),
    immovable: () => service.immovable?.() ?? [],
    end: (id) => {
      service.endSessions({ id })
    },
    backends: (side) => service.backends?.[side].pids() ?? [],
    applyRoute: (route) => service.applyRoute(route),
    warm: async (side, deadlineMs) => (await service.warm?.(side, deadlineMs)) ?? 0,
  }
}
