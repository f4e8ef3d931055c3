/** What a pool (pool.ts) asks of its servers and of those who wait, and its limits. */
import type { ErrorCode, PontoonError } from '../shared/errors.ts'
import type { ServerCap } from './server-cap.ts'

export interface Poolable {
  /** When it was opened, for maxLifetimeMs (clock milliseconds). */
  readonly openedAtMs: number
  /** It was opened over a connection that was there already (pg/spare-connections.ts). */
  readonly isOverSpare?: boolean
  /** When it was last given back (clock milliseconds). */
  idleSinceMs: number
  /** False once it must not serve anybody again. */
  readonly isUsable: boolean
  close(): void
  /** Asks for a sign of life while nobody has it; rejects when none comes in time. */
  probe?(timeoutMs: number): Promise<void>
}

export interface PoolLimits {
  readonly size: number
  /** Servers that are kept open even when nobody needs them. */
  readonly minSize: number
  readonly queueMax: number
  readonly queueTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly maxLifetimeMs: number
  /** How long those who wait are held while no server can be had for a passing reason. */
  readonly holdMs: number
  /** An idle server that gave no sign of life for this long is asked for one. */
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
}

/** Both are called later, never while `wait` runs. */
export interface PoolWaiter<Server> {
  /** Returns false when it does not want the server any more (a gate has closed meanwhile). */
  onServer(server: Server): boolean
  onRefused(error: PontoonError): void
}

/**
 * Why a server was closed. yielded: for a pool under the same cap. surplus: the size was reduced.
 * unusable: it carried what cannot be undone, or broke the protocol.
 */
export type CloseReason =
  | 'idle'
  | 'lifetime'
  | 'lost'
  | 'probe'
  | 'reconnect'
  | 'shutdown'
  | 'surplus'
  | 'unusable'
  | 'yielded'

/** Told of what happens to the servers of a pool. */
export interface PoolObserver {
  opened(tookMs: number): void
  /** `isNew`: the last attempt did not fail for the same reason. */
  openFailed(error: PontoonError, isNew: boolean): void
  closed(reason: CloseReason): void
  probed(isAlive: boolean): void
}

export interface PoolOptions {
  /** Bounds that it shares with other pools. */
  readonly caps?: readonly ServerCap[]
  readonly observer?: PoolObserver
  /** In [0, 1). */
  readonly random?: () => number
}

/** Connections being opened at once, at first and at most (connect-pace.ts). */
export const connectingMin = 2
export const connectingMax = 10

/** The same while somebody is in a hurry: well within the queue in which a server listens (511). */
export const hurriedConnectingMax = 200

/** Idle servers asked for a sign of life at once, unless the host is suspect. */
export const probesMax = 4

/** While somebody waits, the attempt after a failed one comes this much later. */
export const retryAfterMs = 250

/** A server that is lost within this time of its opening was as good as not to be had. */
export const shortLifeMs = 1_000

/** The longest share of maxLifetimeMs that a server may fall short of. */
export const lifetimeJitter = 0.1

/** A pool under a full cap gives up a server for another one once that has waited this long. */
export const yieldAfterMs = 250

/** Idle servers of a pool that nobody uses any more are closed this much later. */
export const leftRestMs = 2_000

/** Reasons that pass by themselves: a side that restarts, fails over, or is full at present. */
export const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONNECT_FAILED',
  'CONNECT_TIMEOUT',
  'DNS_FAILED',
  'SERVER_IN_RECOVERY',
  'SERVER_LOST',
  'SERVER_UNAVAILABLE',
])

/** While nobody waits: soon again for what passes, seldom for what somebody has to mend. */
export function backgroundRetryMs(code: ErrorCode, failuresInRow: number): number {
  const doubledMs = 1_000 * 2 ** Math.min(failuresInRow - 1, 10)
  return Math.min(doubledMs, passing.has(code) ? 5_000 : 60_000)
}
