/**
 * Command line of the benchmark: which workloads, protocols, client counts and peers to run.
 * Its neighbours: matrix.ts turns the options into combinations, run.ts measures them.
 */
import { parseArgs } from 'node:util'
import { parseWholeNumber, UsageError } from '../command-line.ts'
import { integers, number, oneOf } from './option-values.ts'

export const workloadNames = ['select', 'tpcb'] as const
export const protocolNames = ['simple', 'extended', 'prepared'] as const
export const peerNames = ['direct', 'pgbouncer', 'relay', 'pontoon'] as const
const usualPeers = 'direct,pgbouncer,pontoon'

export type Workload = (typeof workloadNames)[number]
export type Protocol = (typeof protocolNames)[number]
export type PeerName = (typeof peerNames)[number]

export interface BenchOptions {
  readonly workloads: readonly Workload[]
  readonly protocols: readonly Protocol[]
  readonly clients: readonly number[]
  readonly peers: readonly PeerName[]
  readonly rounds: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly poolSize: number
  readonly scale: number
  readonly samplingRate: number
  /** Percent of reads that Pontoon sends to its target, which here is the same PostgreSQL. */
  readonly reads: number
  /** A new connection for every transaction (pgbench -C). */
  readonly connect: boolean
  /** Both proxies, and pgbench itself when direct, talk TLS to PostgreSQL. */
  readonly tlsServer: boolean
  readonly jsonFile: string | undefined
}

export const usage = `npm run bench:pg -- [options]

  --workload LIST       ${workloadNames.join(',')} (default: all)
  --protocol LIST       ${protocolNames.join(',')} (default: all)
  --clients LIST        pgbench clients (default: 1,16,100)
  --peers LIST          ${peerNames.join(',')} (default: all but relay)
  --rounds N            rounds, at least 1 (default: 5)
  --seconds N           length of one pgbench run (default: 5)
  --warmup N            unmeasured seconds per combination and peer (default: 1)
  --pool-size N         servers of each pooler (default: 20)
  --scale N             pgbench scale (default: 10)
  --sampling-rate N     share of transactions that are logged for p50 and p99 (default: 0.1)
  --reads N             percent of reads that Pontoon routes to its target (default: 0)
  --connect             a new connection for every transaction (pgbench -C)
  --tls-server          TLS between proxy and PostgreSQL
  --json FILE           write every run and the summary to FILE
  --help`

/** Returns the options, or undefined when help was asked for. Throws UsageError. */
export function parseOptions(argv: readonly string[]): BenchOptions | undefined {
  const values = parseValues(argv)
  if (values.help === true) return undefined
  return {
    workloads: oneOf('workload', values.workload, workloadNames),
    protocols: oneOf('protocol', values.protocol, protocolNames),
    clients: integers('clients', values.clients ?? '1,16,100'),
    peers: oneOf('peers', values.peers ?? usualPeers, peerNames),
    rounds: parseWholeNumber('rounds', values.rounds ?? '5', 1),
    seconds: parseWholeNumber('seconds', values.seconds ?? '5', 1),
    warmupSeconds: parseWholeNumber('warmup', values.warmup ?? '1', 0),
    poolSize: parseWholeNumber('pool-size', values['pool-size'] ?? '20', 1),
    scale: parseWholeNumber('scale', values.scale ?? '10', 1),
    samplingRate: number('sampling-rate', values['sampling-rate'] ?? '0.1', 0.000_001, 1),
    reads: number('reads', values.reads ?? '0', 0, 100),
    connect: values.connect === true,
    tlsServer: values['tls-server'] === true,
    jsonFile: values.json,
  }
}

function parseValues(argv: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...argv],
      options: {
        workload: text,
        protocol: text,
        clients: text,
        peers: text,
        rounds: text,
        seconds: text,
        warmup: text,
        'pool-size': text,
        scale: text,
        'sampling-rate': text,
        reads: text,
        connect: flag,
        'tls-server': flag,
        json: text,
        help: flag,
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
