/**
 * The names of everything that Pontoon makes in the databases of a service. Slots and roles are
 * shared by all databases of a cluster, so their names carry the service; so do the others, to
 * be told apart from what people made themselves.
 */
import { createHash } from 'node:crypto'
import type { Side } from '../../shared/side.ts'

export type Direction = 'forward' | 'reverse'
export const directions: readonly Direction[] = ['forward', 'reverse']

/** The direction in which changes leave that side. */
export function directionFrom(side: Side): Direction {
  return side === 'source' ? 'forward' : 'reverse'
}

/** Schema of Pontoon's own tables, on both sides. */
export const pontoonSchema = 'pontoon'

/** NAMEDATALEN - 1; slots allow only [a-z0-9_]. */
const nameBytesMax = 63
/** Leaves room for an epoch behind. */
const baseBytesMax = 52

/** Publication on the side that sends. */
export function publicationName(service: string, direction: Direction): string {
  return fit(`pontoon_${plain(service)}_${direction}`)
}

/** Publishes only the heartbeat of `direction`: proves the way before it carries data. */
export function probePublicationName(service: string, direction: Direction): string {
  return fit(`pontoon_${plain(service)}_${direction}_probe`)
}

/**
 * Subscription on the side that receives, and its slot on the side that sends. Where each switch
 * makes new ones, `epoch` is that of the switch.
 */
export function subscriptionName(service: string, direction: Direction, epoch?: number): string {
  const base = fit(`pontoon_${plain(service)}_${direction}`, baseBytesMax)
  return epoch === undefined ? base : `${base}_${epoch}`
}

export function probeSubscriptionName(service: string, direction: Direction): string {
  return fit(`pontoon_${plain(service)}_${direction}_probe`)
}

/** Replication origin of rows that `pontoon verify --repair` writes: reverse sync passes them by. */
export function repairOriginName(service: string): string {
  return fit(`pontoon_${plain(service)}_repair`)
}

/** Table of the beats and markers that travel in `direction`. */
export function heartbeatTable(direction: Direction): string {
  return `heartbeat_${direction}`
}

function plain(service: string): string {
  return service.replaceAll('-', '_')
}

function fit(name: string, bytesMax = nameBytesMax): string {
  if (name.length <= bytesMax) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 10)
  return `${name.slice(0, bytesMax - hash.length - 1)}_${hash}`
}
