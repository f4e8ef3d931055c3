/** The route that a switch to a side makes of the one before. */
import type { Route } from '../../../routing/route.ts'
import type { Side } from '../../../shared/side.ts'

/** Reads go with the writes: 100 on the target after a cutover, 0 after a rollback. */
export function routeAfter(before: Route, to: Side): Route {
  const isTarget = to === 'target'
  return {
    ...before,
    epoch: before.epoch + 1,
    phase: isTarget ? 'managed' : 'self-hosted',
    primary: to,
    reads: isTarget ? 100 : 0,
    mirror: 0,
    dualWrite: 0,
  }
}
