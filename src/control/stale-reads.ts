/**
 * Reads that go to the side that takes no writes see what replication has brought there. Whoever
 * sends them where nothing brings anything is told, at the moment of asking.
 */
import type { SyncState } from '../migration/pg/sync/health.ts'
import type { Route } from '../routing/route.ts'
import { otherSide } from '../shared/side.ts'

/** Null also where nothing is known of the sync. */
export function staleReads(service: string, route: Route, sync: SyncState | null): string | null {
  const { primary, reads } = route
  const share = primary === 'source' ? reads : 100 - reads
  if (share === 0 || sync === null || sync === 'streaming') return null
  const other = otherSide(primary)
  return (
    `${share}% of the reads go to the ${other}, and nothing keeps it like the ${primary} ` +
    `just now (sync: ${sync}): they find old rows, or none. pontoon sync ${service} says more.`
  )
}
