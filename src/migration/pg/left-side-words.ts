/** What becomes of a side that a forced switch has left, in the words of all that speak of it. */
import type { Side } from '../../shared/side.ts'

/** A copy goes one way only, so the two differ. */
export function afterwardsOf(left: Side): string {
  return left === 'target'
    ? 'set the target up anew: an empty database, pontoon schema, pontoon copy --restart, and a ' +
        'cutover as the first time'
    : 'nothing copies to a source, so there is no way back to it, and the migration is over ' +
        '(docs/runbooks.md, "The primary is lost")'
}
