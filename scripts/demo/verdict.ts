/** What the demo must have shown to count as a success. Pure; run.ts collects the facts. */
import type { Side } from '../../src/shared/side.ts'
import { otherSide, sides } from '../../src/shared/side.ts'
import type { Experience } from './application.ts'
import { expectedMoney } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import { targetPercent } from './statement-counts.ts'
import type { StatementCounts } from './statement-counts.ts'

/** The application at work for a while with the route unchanged. */
export interface Stretch extends Experience {
  readonly name: string
  readonly reads: number
  readonly primary: Side
  readonly counts: StatementCounts
}

export interface SwitchResult extends Experience {
  readonly kind: 'cutover' | 'rollback'
  /** How long the gate was shut. */
  readonly pauseMs: number
  readonly attempts: number
}

export interface Outcome {
  readonly stretches: readonly Stretch[]
  readonly switches: readonly SwitchResult[]
  readonly requests: number
  readonly errors: number
  /** The first few, in words. */
  readonly messages: readonly string[]
  readonly evidence: Readonly<Record<Side, Evidence>>
  /** Of the last `pontoon verify`. */
  readonly isEqual: boolean
}

/** Sessions are dealt out exactly; how busy each one is differs a little. */
const tolerancePercent = 20
/** Transactions that had begun when the route changed still end on the side they were on. */
const edgePercent = 2
const reportsMin = 20

/** Returns what was not as it should be; nothing means success. */
export function findFaults(outcome: Outcome): readonly string[] {
  const { stretches, errors, messages, evidence, isEqual } = outcome
  const faults = stretches.flatMap((stretch) => faultsOfStretch(stretch))
  if (errors > 0) faults.push(`the application saw ${errors} errors`, ...messages)
  for (const side of sides) faults.push(...faultsOfSide(side, evidence[side]))
  if (!isEqual) faults.push('pontoon verify found differences between the sides')
  return faults
}

function faultsOfStretch({ name, reads, primary, counts }: Stretch): string[] {
  const faults: string[] = []
  const { report, own, write } = counts
  const share = targetPercent(report)
  const isWhole = reads === 0 || reads === 100
  if (report.source + report.target < reportsMin || share === undefined) {
    faults.push(`${name}: only ${report.source + report.target} back-office reads`)
  } else if (Math.abs(share - reads) > (isWhole ? edgePercent : tolerancePercent)) {
    faults.push(`${name}: ${share.toFixed(1)} % of back-office reads came from the target`)
  } else if (reads > 0 && report.target === 0) {
    faults.push(`${name}: no back-office read came from the target`)
  }
  const other = otherSide(primary)
  if (write[primary] === 0) faults.push(`${name}: no writes on the ${primary}`)
  if (write[other] > 0) faults.push(`${name}: ${write[other]} writes went to the ${other}`)
  if (own[other] > 0) faults.push(`${name}: ${own[other]} reads of fresh writes on the ${other}`)
  return faults
}

function faultsOfSide(side: Side, evidence: Evidence): string[] {
  const { acknowledged, lost, duplicated, unexpected, money, unbalanced } = evidence
  const faults: string[] = []
  if (acknowledged === 0) faults.push('the application wrote nothing')
  if (lost > 0) faults.push(`${side}: ${lost} records lost`)
  if (duplicated > 0) faults.push(`${side}: ${duplicated} records duplicated`)
  if (unexpected > 0) faults.push(`${side}: ${unexpected} records that nobody wrote`)
  if (money !== expectedMoney) faults.push(`${side}: ${money} in all accounts`)
  if (unbalanced > 0) faults.push(`${side}: ${unbalanced} balances and totals do not add up`)
  return faults
}
