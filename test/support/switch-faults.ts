/**
 * One cell of the fault matrix: a switch under writers, broken exactly before one of its steps,
 * mended, and then everything that has to hold whatever happened. Neighbours: switch-pair.ts (the
 * databases), switch-sidecar.ts (the process), switch-verdict.ts (what has to hold).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '../../src/control/switches.ts'
import { parseState, type State } from '../../src/store/state-format.ts'
import { startWriters, type RecordReport } from './record-client.ts'
import { faults, type Fault } from './switch-fault-list.ts'
import { FenceWatch } from './switch-fence-watch.ts'
import { SwitchPair, type PairOptions } from './switch-pair.ts'
import { SwitchSidecar } from './switch-sidecar.ts'
import { problemsOf } from './switch-verdict.ts'
import { Transfers } from './transfer-client.ts'
import { until } from './until.ts'

export type SwitchKind = 'cutover' | 'rollback'

export interface Cell {
  readonly kind: SwitchKind
  /** Broken before this step; `undo` after the operator has aborted before `applied`. */
  readonly step: string
  readonly fault: string
  /** Kills the process that recovers, too: before this step of the recovery. */
  readonly recoveryStep?: string
  /** What was undone is asked for again, and has to succeed. Default true. */
  readonly asksAgain?: boolean
}

export interface CellResult {
  readonly cell: Cell
  /** Empty: everything holds. */
  readonly problems: readonly string[]
  /** How the switch ended that was broken. */
  readonly outcome: 'done' | 'undone'
  /** Why, as far as its own report says so: the process that took it may be dead. */
  readonly reason: string | null
  /** The longest that any client went without an acknowledged write. */
  readonly longestGapMs: number
}

/** No client waits longer than this beside the time that something is down; 15 s are the gate's. */
const longestGapMsMax = 22_000
const settledMs = 90_000
const acknowledgedBefore = 20
const logCharsMax = 6_000
/** What the driver says when its own 30 s are over. */
const clientGaveUp = /^(Query read timeout|timeout expired)$/

export class FaultBench {
  readonly pair: SwitchPair
  readonly sidecar: SwitchSidecar

  private constructor(pair: SwitchPair, sidecar: SwitchSidecar) {
    this.pair = pair
    this.sidecar = sidecar
  }

  static async start(options: PairOptions): Promise<FaultBench> {
    const pair = await SwitchPair.start({ ...options, relays: true })
    const bench = new FaultBench(pair, new SwitchSidecar(pair.configFile, pair.folder))
    try {
      await bench.sidecar.start()
    } catch (error) {
      await bench.stop()
      throw error
    }
    return bench
  }

  async stop(): Promise<void> {
    await this.sidecar.stop()
    await this.pair.stop()
  }

  /** What the process has written down, and nothing that it holds in memory. */
  get state(): State {
    const file = join(this.pair.folder, 'state', 'state.json')
    return parseState(readFileSync(file, 'utf8'), file)
  }

  get primary(): 'source' | 'target' {
    return this.state.routes.get('orders')?.primary ?? 'source'
  }

  /** The ends of the logs of all that runs. */
  logs(): string {
    const { source, target } = this.pair
    return Object.entries({ sidecar: this.sidecar, source, target })
      .map(([name, one]) => `${name}:\n${one.log().slice(-logCharsMax)}`)
      .join('\n')
  }

  async run(cell: Cell): Promise<CellResult> {
    const { pair } = this
    const from = cell.kind === 'cutover' ? 'source' : 'target'
    if (this.primary !== from) await this.complete(cell.kind === 'cutover' ? 'rollback' : 'cutover')
    const url = pair.url()
    const writers = await startWriters({ url, writers: 4, createTable: false, intervalMs: 10 })
    const transfers = new Transfers(url)
    const downBeforeMs = this.sidecar.downMs
    await writers.untilAcknowledged(acknowledgedBefore)
    const problems: string[] = []
    const fences = new FenceWatch(pair)
    let reason: string | null = null
    try {
      reason = await this.#break(cell)
      await writers.untilAcknowledged(acknowledgedBefore)
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
      if (this.sidecar.isRunning) this.sidecar.go()
      else await this.sidecar.start()
    }
    await transfers.stop()
    const bothOpen = await fences.stop()
    if (bothOpen > 0) problems.push(`both sides were open (seen ${bothOpen} times)`)
    const { primary } = this
    const report = await writers.stop({ checkUrl: pair[primary].url('shop') })
    problems.push(...(await problemsOf(pair, primary, report)))
    const downMs = this.sidecar.downMs - downBeforeMs
    problems.push(...waitsOf(report, faults.get(cell.fault), downMs))
    if (primary === from && cell.asksAgain !== false) await this.#next(cell.kind, problems)
    const outcome = primary === from ? 'undone' : 'done'
    return { cell, problems, outcome, reason, longestGapMs: Math.round(report.longestGapMs) }
  }

  /** A switch that nothing is wrong with; one that is refused is tried again for a while. */
  async complete(kind: SwitchKind, forMs = 30_000): Promise<void> {
    const deadline = performance.now() + forMs
    for (;;) {
      const { state, report } = await this.#ended(await this.ask(kind))
      if (state === 'done') return
      const why = `${kind} ${state}: ${report?.reason ?? ''}`
      if (performance.now() > deadline) throw new Error(why)
      await sleep(500)
    }
  }

  async ask(kind: SwitchKind, body: object = {}): Promise<Operation> {
    const answer = await fetch(`${this.pair.adminUrl}/v1/services/orders/${kind}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    const text = await answer.text()
    if (answer.status !== 202) throw new Error(text)
    const operation: Operation = JSON.parse(text)
    return operation
  }

  async abort({ id }: Operation): Promise<void> {
    await fetch(`${this.pair.adminUrl}/v1/operations/${id}/abort`, { method: 'POST' })
  }

  async #next(kind: SwitchKind, problems: string[]): Promise<void> {
    try {
      await this.complete(kind)
    } catch (error) {
      problems.push(`next: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  async #break({ kind, step, fault, recoveryStep }: Cell): Promise<string | null> {
    const operation = await this.#begin(kind, step === 'undo' ? 'applied' : step)
    if (step === 'undo') {
      await this.abort(operation)
      this.sidecar.go(['undo'])
      await this.sidecar.untilStanding('undo')
    }
    await faults.get(fault)?.run(this, operation)
    if (recoveryStep !== undefined) {
      await this.sidecar.kill9()
      await this.sidecar.start([recoveryStep])
      await this.sidecar.untilStanding(recoveryStep)
      await this.sidecar.kill9()
    }
    let reason: string | null = null
    if (!this.sidecar.isRunning) await this.sidecar.start()
    else if (await this.#isKnown(operation))
      reason = (await this.#ended(operation)).report?.reason ?? null
    await until(() => !this.state.switches.has('orders'), 'the switch is over', settledMs)
    return reason
  }

  /** Not to a process that was started after it. */
  async #isKnown({ id }: Operation): Promise<boolean> {
    const { status } = await fetch(`${this.pair.adminUrl}/v1/operations/${id}`)
    return status !== 404
  }

  /** What may be refused for a moment, such as lag, is asked for again. */
  async #begin(kind: SwitchKind, step: string): Promise<Operation> {
    for (let attempt = 1; ; attempt += 1) {
      this.sidecar.go([step])
      const operation = await this.ask(kind)
      const ended = await this.#untilStanding(step, operation)
      if (ended === null) return operation
      if (attempt === 3) throw new Error(`${step} not reached: ${ended.report?.reason ?? ''}`)
    }
  }

  /** Null once it stands; the operation when it ended before. */
  async #untilStanding(step: string, { id }: Operation): Promise<Operation | null> {
    let ended: Operation | null = null
    await until(
      async () => {
        if (this.sidecar.standing === step) return true
        const operation = await this.#operation(id)
        ended = operation.state === 'running' ? null : operation
        return ended !== null
      },
      `the switch is about to ${step}`,
      settledMs,
    )
    return ended
  }

  async #operation(id: string): Promise<Operation> {
    const polled = await fetch(`${this.pair.adminUrl}/v1/operations/${id}`)
    const text = await polled.text()
    if (!polled.ok) throw new Error(text)
    const operation: Operation = JSON.parse(text)
    return operation
  }

  async #ended({ id }: Operation): Promise<Operation> {
    await until(
      async () => (await this.#operation(id)).state !== 'running',
      `the end of operation ${id}`,
      settledMs,
    )
    return await this.#operation(id)
  }
}

/** Clients may be told that something is wrong, but are not kept waiting for it. */
function waitsOf(
  { errors, longestGapMs }: RecordReport,
  fault: Fault | undefined,
  downMs: number,
): readonly string[] {
  const problems: string[] = []
  if (longestGapMs > longestGapMsMax + downMs + (fault?.outageMs ?? 0))
    problems.push(`no write was acknowledged for ${Math.round(longestGapMs)} ms`)
  const given = errors.filter(({ message }) => clientGaveUp.test(message))
  if (given.length > 0 && fault?.isSilent !== true)
    problems.push(`${given.length} times a client was not answered at all`)
  return problems
}
