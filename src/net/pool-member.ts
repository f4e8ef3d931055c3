/** A server of a pool (pool.ts) and what the pool knows of it. */
import { lifetimeJitter } from './pool-rules.ts'

export interface Member<Server> {
  readonly server: Server
  /** Out: somebody has it. Probing: it is asked for a sign of life. */
  state: 'out' | 'idle' | 'probing'
  /** It serves nobody again: a reconnect was asked for. */
  isRetired: boolean
  /** Share of maxLifetimeMs that it gets, so that servers opened together do not end together. */
  readonly lifetimeShare: number
  /** When it was last known to be alive (clock milliseconds). */
  seenAtMs: number
}

/** One that has just been opened; `random` is in [0, 1). */
export function newMember<Server>(
  server: Server,
  nowMs: number,
  isRetired: boolean,
  random: () => number = Math.random,
): Member<Server> {
  const lifetimeShare = 1 - lifetimeJitter * random()
  return { server, state: 'out', isRetired, lifetimeShare, seenAtMs: nowMs }
}
