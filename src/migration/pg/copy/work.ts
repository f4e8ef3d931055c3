/** What every part of a running copy is given. */
import type { Clock } from '../../../shared/clock.ts'
import type { MigrationContext } from '../side-login.ts'
import type { CopyJob } from './journal.ts'
import type { Tally } from './tally.ts'
import type { Throttle } from './throttle.ts'

export type CopyEvent =
  | { readonly kind: 'note'; readonly words: string }
  | { readonly kind: 'table'; readonly table: string; readonly rows: number }
  | { readonly kind: 'built'; readonly table: string; readonly tookMs: number }

/** Where a copy is, for whoever draws it. */
export interface CopyStage {
  readonly name: 'copy' | 'indexes' | 'sync' | 'foreign keys'
  readonly done: number
  readonly total: number
}

export interface CopyWork {
  readonly context: MigrationContext
  readonly job: CopyJob
  readonly folder: string
  readonly jobs: number
  readonly exclude: readonly string[]
  readonly throttle: Throttle
  readonly tally: Tally
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onEvent: (event: CopyEvent) => void
}

export function note(work: CopyWork, words: string): void {
  work.onEvent({ kind: 'note', words })
}
