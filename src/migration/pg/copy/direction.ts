/** A copy goes from the source to the target and empties tables there: never once clients write there. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { readMark } from '../control-schema.ts'

/**
 * Rejects with MIGRATION_REFUSED when the target takes the writes. Of two marks the later one is
 * right: a side that a forced switch has left may not have been told.
 */
export async function refuseIntoPrimary(source: SqlClient, target: SqlClient): Promise<void> {
  const marks = [await readMark(source), await readMark(target)]
  const latest = Math.max(...marks.map((mark) => mark?.epoch ?? 0))
  if (!marks.some((mark) => mark?.epoch === latest && mark.primary === 'target')) return
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `The target takes the writes since epoch ${latest}: a copy would replace what was written there ` +
      'by what the source has. Nothing copies back to the source; where a forced switch has left ' +
      'it, docs/runbooks.md, "The primary is lost", says what can be done.',
  )
}
