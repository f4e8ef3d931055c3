/**
 * The verdict on numbered records: each acknowledged one must be there exactly once, each other
 * one at most once, and nothing else may be there. Pure. Neighbour: record-client.ts.
 */

export interface Attempt {
  readonly writer: number
  readonly number: number
  acknowledged: boolean
}

export interface StoredRecord {
  readonly writer: number
  readonly number: number
}

export interface RecordEvidence {
  readonly attempts: readonly Attempt[]
  readonly stored: readonly StoredRecord[]
  readonly errors: readonly Error[]
  readonly longestGapMs: number
}

export interface RecordReport {
  readonly attempted: number
  readonly acknowledged: number
  /** Stored although never acknowledged: allowed, the answer got lost. */
  readonly storedUnacknowledged: number
  /** Records are named 'writer/number'. Acknowledged and not there: never allowed. */
  readonly lost: readonly string[]
  /** There more than once: never allowed. */
  readonly duplicated: readonly string[]
  /** There and never written by us: never allowed. */
  readonly unexpected: readonly string[]
  readonly errors: readonly Error[]
  /** The longest time any one writer went without an acknowledgement, its start and end included. */
  readonly longestGapMs: number
}

export function checkRecords(evidence: RecordEvidence): RecordReport {
  const counts = new Map<string, number>()
  for (const record of evidence.stored) {
    const name = nameOf(record)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const attempted = new Set(evidence.attempts.map(nameOf))
  const acknowledged = evidence.attempts.filter((attempt) => attempt.acknowledged)
  const doubtful = evidence.attempts.filter((attempt) => !attempt.acknowledged)
  const names = [...counts.keys()]
  return {
    attempted: evidence.attempts.length,
    acknowledged: acknowledged.length,
    storedUnacknowledged: doubtful.filter((attempt) => counts.has(nameOf(attempt))).length,
    lost: acknowledged.map(nameOf).filter((name) => !counts.has(name)),
    duplicated: names.filter((name) => (counts.get(name) ?? 0) > 1),
    unexpected: names.filter((name) => !attempted.has(name)),
    errors: evidence.errors,
    longestGapMs: evidence.longestGapMs,
  }
}

function nameOf(record: StoredRecord): string {
  return `${record.writer}/${record.number}`
}
