/**
 * Bounds of the control plane: nobody who talks to the admin listener can make it hold more
 * than this. The relations between them are asserted below.
 */
import { assert } from '../shared/assert.ts'

export const adminLimits = {
  /** Largest request body; the largest real one is a route patch of some 100 bytes. */
  bodyBytesMax: 16_384,
  /** A request must have arrived whole after this long. */
  requestTimeoutMs: 10_000,
  connectionsMax: 256,
  /** Wrong tokens from one address within the window before it has to wait. */
  failedAuthMax: 10,
  failedAuthWindowMs: 60_000,
  /** Addresses remembered for that; beyond it the oldest is forgotten. */
  failedAuthAddressesMax: 1_000,
  clientsListedDefault: 100,
  clientsListedMax: 1_000,
  auditEntriesDefault: 50,
  auditEntriesMax: 1_000,
  /** How long the listeners wait for answers under way when they close. */
  closeMs: 1_000,
} as const

export const gateLimits = {
  pauseDefaultMs: 5_000,
  pauseMaxMs: 60_000,
  /** How long a pause waits for running transactions before it answers. */
  waitDefaultMs: 1_000,
  /** How long it waits for sessions that it was told to end. */
  endMs: 1_000,
} as const

export const switchLimits = {
  /** From the gate's closing to the commit point of a cutover. */
  deadlineDefaultMs: 5_000,
  deadlineMinMs: 100,
  deadlineMaxMs: 60_000,
  /** Ended operations that are still shown. */
  operationsKept: 100,
  /** How long a stop waits for a switch that is committed or being undone. */
  stopMs: 10_000,
  /** How long a forced switch waits for one whose place it takes: a login and a statement. */
  takeOverMs: 30_000,
} as const

export const eventLimits = {
  subscribersMax: 32,
  /** A subscriber that has this much unread is cut off; it may come back with Last-Event-ID. */
  subscriberBytesMax: 262_144,
  keptMax: 256,
  pictureEveryMs: 1_000,
  heartbeatMs: 15_000,
} as const

export const sideWatchLimits = {
  /** A side that answered is asked again after this long, one that did not much sooner. */
  reachableEveryMs: 60_000,
  unreachableEveryMs: 5_000,
} as const

export const syncWatchLimits = {
  /** The beat of the lag, and how often health is looked at. */
  everyMs: 1_000,
  /** Where there is no sync. */
  idleEveryMs: 10_000,
} as const

export const leftSideLimits = {
  /** How often a side that a forced switch has left is tried. */
  everyMs: 1_000,
} as const

assert(gateLimits.pauseDefaultMs <= gateLimits.pauseMaxMs, 'the default pause exceeds the longest')
assert(
  adminLimits.connectionsMax > eventLimits.subscribersMax,
  'event subscribers could take every admin connection',
)
