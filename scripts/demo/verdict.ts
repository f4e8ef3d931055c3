/** What the demo must have shown to count as a success. Pure; run.ts collects the facts. */
import { targetPercent } from './statement-counts.ts'
import type { StatementCounts } from './statement-counts.ts'
import type { Latency, ProbePath } from './probe.ts'

export interface StepResult {
  readonly reads: number
  readonly requests: number
  readonly errors: number
  readonly counts: StatementCounts
  /** From the operator's command until the metrics showed the new percentage. */
  readonly shownInMetricsMs: number
  readonly latency: Readonly<Record<ProbePath, Latency>>
}

export interface OrderCounts {
  readonly acknowledged: number
  readonly onSource: number
  readonly onTarget: number
}

/** Sessions are dealt out exactly; how busy each one is differs a little. */
const tolerancePercent = 20
/** Transactions that had begun when the route changed still end on the side they were on. */
const edgePercent = 2
const metricsWithinMs = 1_000
const reportsMin = 20

/** Returns what was not as it should be; nothing means success. */
export function findFaults(steps: readonly StepResult[], orders: OrderCounts): readonly string[] {
  const faults = steps.flatMap((step) => faultsOfStep(step))
  if (orders.acknowledged === 0) faults.push('no order was placed')
  if (orders.onSource !== orders.acknowledged) {
    faults.push(`${orders.acknowledged} orders acknowledged, ${orders.onSource} on the source`)
  }
  if (orders.onTarget !== orders.onSource) {
    faults.push(`${orders.onSource} orders on the source, ${orders.onTarget} on the target`)
  }
  return faults
}

function faultsOfStep(step: StepResult): string[] {
  const name = `reads ${step.reads} %`
  const faults: string[] = []
  if (step.errors > 0) faults.push(`${name}: ${step.errors} errors`)
  const { report, own, write } = step.counts
  const share = targetPercent(report)
  const tolerance = step.reads === 0 || step.reads === 100 ? edgePercent : tolerancePercent
  if (report.source + report.target < reportsMin || share === undefined) {
    faults.push(`${name}: only ${report.source + report.target} back-office reads`)
  } else if (Math.abs(share - step.reads) > tolerance) {
    faults.push(`${name}: ${share.toFixed(1)} % of back-office reads came from the target`)
  }
  if (write.target > 0) faults.push(`${name}: ${write.target} writes went to the target`)
  if (own.target > 0) faults.push(`${name}: ${own.target} reads of fresh writes went to the target`)
  if (step.shownInMetricsMs > metricsWithinMs) {
    faults.push(`${name}: shown in metrics after ${Math.round(step.shownInMetricsMs)} ms only`)
  }
  return faults
}
