/** What `pontoon schema` did, and what it did not and why. No part of it holds a secret. */
import type { Side } from '../../../shared/side.ts'
import type { Finding } from '../findings.ts'

export type ObjectState =
  /** Made now; with a dry run: would be. */
  | 'created'
  /** There already, and as on the source. */
  | 'equal'
  /** There already, with nothing to tell whether it is equal. */
  | 'not-compared'
  /** There already, and not as on the source. Left as it is. */
  | 'differs'
  | 'failed'
  | 'left-out'

export interface ObjectReport {
  /** As pg_dump calls it, or `ROLE`, `SETTING`, `PRIVILEGE`. */
  readonly kind: string
  readonly name: string
  readonly state: ObjectState
  /** Why, or what differs; empty where there is nothing to say. */
  readonly reason: string
}

/** A statement for Pontoon's own roles that was refused. */
export interface RefusedStatement {
  readonly side: Side
  readonly why: string
  readonly error: string
  readonly sql: string
}

export interface SchemaReport {
  readonly service: string
  readonly part: 'pre-data' | 'post-data'
  readonly isDryRun: boolean
  readonly objects: readonly ObjectReport[]
  readonly refused: readonly RefusedStatement[]
  /** What makes the rest of the migration unsound; with the first part only. */
  readonly findings: readonly Finding[]
  /** What to know or do, whole sentences. */
  readonly notes: readonly string[]
}

export function countOf(report: SchemaReport, state: ObjectState): number {
  return report.objects.filter((object) => object.state === state).length
}

/** Nothing is missing and nothing differs. */
export function isWhole(report: SchemaReport): boolean {
  return (
    report.refused.length === 0 &&
    countOf(report, 'failed') === 0 &&
    countOf(report, 'differs') === 0
  )
}
