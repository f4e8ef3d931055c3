/** Runs the steps of a switch one after the other and keeps how long each took. */
import type { StepName, StepReport } from './model.ts'

export interface StepWatch {
  /** A step begins; what this rejects with is the failure of the step. For tests of every crash. */
  readonly beforeStep?: ((step: StepName) => Promise<void> | void) | undefined
  readonly onStep: (report: StepReport) => void
}

export class StepLog {
  readonly #watch: StepWatch
  readonly #nowMs: () => number
  readonly #reports: StepReport[] = []
  #current: StepName | null = null

  constructor(watch: StepWatch, nowMs: () => number) {
    this.#watch = watch
    this.#nowMs = nowMs
  }

  get reports(): readonly StepReport[] {
    return [...this.#reports]
  }

  /** The step that runs, or the one that failed. */
  get current(): StepName | null {
    return this.#current
  }

  async run<T>(step: StepName, work: () => Promise<T> | T): Promise<T> {
    this.#current = step
    await this.#watch.beforeStep?.(step)
    const beganMs = this.#nowMs()
    const result = await work()
    const report = { step, tookMs: this.#nowMs() - beganMs }
    this.#reports.push(report)
    this.#watch.onStep(report)
    return result
  }
}
