/** What may not be called compared, since it was changed by DDL or a switch in the meantime. */
import { PontoonError } from '../../../shared/errors.ts'
import type { Chosen, ComparedTable, LeftOut } from './compared-table.ts'
import type { Setting } from './setting.ts'

/** Throws MIGRATION_REFUSED where the other side takes the writes by now. */
export function changedMeanwhile(
  before: Setting,
  chosen: Chosen,
  after: Setting,
  present: Chosen,
): readonly LeftOut[] {
  if (before.primary !== after.primary) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `the ${after.primary} takes the writes since a switch meanwhile: verify again`,
    )
  }
  const shapes = new Map(chosen.compared.map((table) => [table.label, shapeOf(table)]))
  const known = new Set(chosen.leftOut.map(({ table }) => table))
  const changed = present.compared.flatMap((table) => {
    const { label } = table
    if (shapes.get(label) === shapeOf(table) || known.has(label)) return []
    const what = shapes.has(label) ? 'changed by DDL' : 'made'
    return [{ table: label, reason: `it was ${what} meanwhile: verify again`, isDifference: false }]
  })
  return [...changed, ...present.leftOut.filter(({ table }) => !known.has(table))]
}

/** All that decides what is compared of it; not how large it is. */
function shapeOf({ from, key, columns, written }: ComparedTable): string {
  return JSON.stringify([from, key, columns, written])
}
