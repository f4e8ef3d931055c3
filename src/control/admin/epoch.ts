/** The epoch of a route as an entity tag (RFC 9110, section 8.8.3), there and back. */
import type { Route } from '../../routing/route.ts'
import { PontoonError } from '../../shared/errors.ts'

export function etagOf(route: Route): string {
  return `"${route.epoch}"`
}

/** Throws EPOCH_REQUIRED without an epoch. `*` would mean whatever the route is: not accepted. */
export function epochOfIfMatch(header: string | undefined): number {
  const trimmed = header?.trim() ?? ''
  if (trimmed === '' || trimmed === '*') {
    throw new PontoonError(
      'EPOCH_REQUIRED',
      'Read the service first and send its epoch, as in If-Match: "7"; * is not accepted.',
    )
  }
  const match = /^"(\d{1,15})"$|^(\d{1,15})$/.exec(trimmed)
  const epoch = match?.[1] ?? match?.[2]
  if (epoch === undefined) {
    throw new PontoonError('BAD_REQUEST', 'If-Match: expected one epoch, as in If-Match: "7".')
  }
  return Number(epoch)
}
