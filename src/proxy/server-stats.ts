/** What the pools of one side have done with their servers; plain counters, read at scrape time. */
import type { CloseReason } from '../net/pool-rules.ts'
import type { ErrorCode } from '../shared/errors.ts'
import { BucketHistogram } from '../shared/histogram.ts'

export class ServerStats {
  opened = 0
  /** How long it took to open one, login included. */
  readonly openSeconds = new BucketHistogram()
  readonly openErrors = new Map<ErrorCode, number>()
  readonly closed = new Map<CloseReason, number>()
  /** Idle servers that were asked for a sign of life. */
  readonly probes = { alive: 0, dead: 0 }
}
