/** When a verification cannot say anything true, or a repair would do harm. */
import { PontoonError } from '../../../shared/errors.ts'
import { list } from '../sync/condition.ts'
import type { Chosen } from './compared-table.ts'
import type { Setting } from './setting.ts'

interface Asked {
  readonly only?: readonly string[]
  readonly asIs?: boolean
  readonly repair?: boolean
}

/** Throws MIGRATION_REFUSED: changes that still come would seem to be missing, and meet the repair. */
export function refuseUnready(asked: Asked, setting: Setting, chosen: Chosen): void {
  if (chosen.unknown.length > 0) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `no such table to compare: ${chosen.unknown.join(', ')}. Names are schema.table. Excluded ` +
        'tables are not compared; partitions that differ between the sides, only with their table',
    )
  }
  const { only = [], asIs = false, repair = false } = asked
  const labels = new Set(chosen.compared.map(({ label }) => label))
  const copying = setting.copying.filter((name) => only.length === 0 || labels.has(name))
  const isRefused = !asIs || repair
  const otherwise = repair ? '' : ', or compare all the same with --as-is'
  if (setting.sync === 'stopped' && isRefused) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      'sync is set up but stopped, so what has changed since would seem to differ: start it with ' +
        `pontoon sync${otherwise}`,
    )
  }
  if (copying.length > 0 && isRefused) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `tables are still copied by the server (${list(copying)}): wait for them, ` +
        `pontoon sync shows them${otherwise}`,
    )
  }
}
