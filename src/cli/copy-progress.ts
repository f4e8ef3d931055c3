/** Draws a running copy with Progress. */
import { activeTables, type Tally } from '../migration/pg/copy/tally.ts'
import type { Throttle } from '../migration/pg/copy/throttle.ts'
import type { CopyEvent, CopyStage } from '../migration/pg/copy/work.ts'
import { unreachable } from '../shared/assert.ts'
import type { Streams } from './output.ts'
import { formatAmount } from './progress-amount.ts'
import { formatDuration } from './duration.ts'
import { Progress } from './progress.ts'

export interface CopyProgress {
  readonly onEvent: (event: CopyEvent) => void
  readonly onTally: (tally: Tally) => void
  readonly onStage: (stage: CopyStage) => void
  close(): void
}

const everyMs = 200

export function startCopyProgress({
  json,
  streams,
  throttle,
}: {
  readonly json: boolean
  readonly streams: Streams
  readonly throttle: Throttle
}): CopyProgress {
  const progress = new Progress({ json, streams })
  let tally: Tally | null = null
  let stage: CopyStage = { name: 'copy', done: 0, total: 0 }
  const timer = setInterval(() => {
    if (tally === null) return
    if (stage.name === 'copy') progress.report({ ...copying(tally), ...noteOf(throttle) })
    else progress.report({ ...stage, unit: 'steps' })
  }, everyMs)
  return {
    onEvent: (event) => show(progress, event),
    onTally: (found) => {
      tally = found
    },
    onStage: (found) => {
      stage = found
    },
    close: () => {
      clearInterval(timer)
      progress.close()
    },
  }
}

function copying(tally: Tally) {
  const { doneBytes, bytes, rows } = tally.sum()
  return {
    name: 'copy',
    unit: 'bytes' as const,
    done: doneBytes,
    total: bytes,
    rows,
    active: activeTables(tally),
  }
}

function noteOf(throttle: Throttle): { readonly note?: string } {
  if (throttle.isPaused) return { note: 'paused' }
  if (!Number.isFinite(throttle.allowed)) return {}
  const why = throttle.brakedBy === null ? '' : `: ${throttle.brakedBy}`
  return { note: `at most ${formatAmount(throttle.allowed, 'bytes')}/s${why}` }
}

function show(progress: Progress, event: CopyEvent): void {
  const { kind, ...fields } = event
  progress.event(kind, fields, words(event))
}

function words(event: CopyEvent): string {
  switch (event.kind) {
    case 'note':
      return event.words
    case 'table':
      return `${event.table}: ${formatAmount(event.rows, 'rows')} copied`
    case 'built':
      return `${event.table}: indexes, keys, statistics in ${formatDuration(event.tookMs)}`
    default:
      return unreachable(event)
  }
}
