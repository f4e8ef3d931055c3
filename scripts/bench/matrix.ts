/**
 * Which combinations are measured, in which order the peers take their turns, and which peer
 * cannot take part. Pure; run.ts carries it out.
 */
import type { BenchOptions, PeerName, Protocol, Workload } from './options.ts'

export interface Combination {
  readonly workload: Workload
  readonly protocol: Protocol
  readonly clients: number
}

export interface Skip extends Combination {
  readonly peer: PeerName
  readonly reason: string
}

/** Statements per transaction of pgbench's built-in scripts. */
export const queriesPerTransaction: Readonly<Record<Workload, number>> = {
  select: 1,
  tpcb: 7,
}

export function combinations(options: BenchOptions): readonly Combination[] {
  return options.workloads.flatMap((workload) =>
    options.protocols.flatMap((protocol) =>
      options.clients.map((clients) => ({ workload, protocol, clients })),
    ),
  )
}

/**
 * The peers of one round: everybody starts once as often as the others, so that a machine that
 * slows down or a cache that warms up favours nobody.
 */
export function rotate<Peer>(peers: readonly Peer[], round: number): readonly Peer[] {
  const shift = peers.length === 0 ? 0 : round % peers.length
  return [...peers.slice(shift), ...peers.slice(0, shift)]
}

/** Why a peer cannot run a combination, or undefined when it can. */
export function cannotRun(
  peer: PeerName,
  combination: Combination,
  pgbouncerKnowsPrepared: boolean,
): string | undefined {
  if (peer === 'pgbouncer' && combination.protocol === 'prepared' && !pgbouncerKnowsPrepared) {
    return 'this PgBouncer has no prepared statements in transaction mode (needs 1.21)'
  }
  return undefined
}

export function describeCombination(combination: Combination): string {
  return `${combination.workload} ${combination.protocol} ${combination.clients} clients`
}
