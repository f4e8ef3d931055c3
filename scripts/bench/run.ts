/**
 * Measures: starts PostgreSQL and the proxies, then lets every peer have its turn in every round
 * of every combination. All peers of a combination run within seconds of each other, so that
 * their ratios hold on a machine whose speed changes; the absolute figures do not.
 */
import { createAuthority } from '../../test/support/certificates.ts'
import { unreachable } from '../../src/shared/assert.ts'
import type { PostgresServer, PostgresTls } from '../../test/support/postgres.ts'
import { ensureTools } from '../lib/requirements.ts'
import { cpuTimeUs } from './cpu-time.ts'
import {
  benchDatabase,
  benchUser,
  directPeer,
  fill,
  pgbenchBinary,
  startBenchPostgres,
  tidyBeforeTpcb,
} from './direct.ts'
import {
  cannotRun,
  combinations,
  describeCombination,
  queriesPerTransaction,
  rotate,
} from './matrix.ts'
import type { Combination, Skip } from './matrix.ts'
import type { BenchOptions, PeerName } from './options.ts'
import type { Peer, ProxySettings } from './peer.ts'
import { runPgbench } from './pgbench.ts'
import type { PgbenchResult } from './pgbench.ts'
import { knowsPrepared, pgbouncerVersion, startPgbouncer } from './pgbouncer.ts'
import { startPontoon } from './pontoon.ts'
import { startRelay } from './relay.ts'

export interface Run extends Combination, PgbenchResult {
  readonly peer: PeerName
  readonly round: number
  /** CPU time of the proxy process per query; undefined without a proxy. */
  readonly cpuUsPerQuery: number | undefined
}

export interface Measurement {
  readonly runs: readonly Run[]
  readonly skips: readonly Skip[]
  readonly versions: Readonly<Record<string, string>>
}

const clientsPerWarmupSecond = 100

export type Progress = (line: string) => void

export async function measure(
  options: BenchOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Measurement> {
  const proxies = options.peers.includes('pgbouncer') ? (['pgbouncer'] as const) : []
  await ensureTools(['postgres', 'pgbench', ...proxies])
  const tls = options.tlsServer ? await serverCertificate() : false
  const postgres = await startBenchPostgres(options, tls)
  const peers: Peer[] = []
  try {
    signal.throwIfAborted()
    progress(`initialising pgbench, scale ${options.scale}`)
    await fill(postgres, options.scale, signal)
    for (const name of options.peers) {
      signal.throwIfAborted()
      peers.push(await startPeer(name, postgres, options))
    }
    return await measureAll(postgres, peers, options, progress, signal)
  } finally {
    for (const peer of peers.toReversed()) await peer.stop()
    await postgres.stop()
  }
}

async function serverCertificate(): Promise<PostgresTls> {
  const authority = await createAuthority()
  try {
    return await authority.server()
  } finally {
    authority.remove()
  }
}

function startPeer(name: PeerName, postgres: PostgresServer, options: BenchOptions): Promise<Peer> {
  const settings: ProxySettings = {
    postgresPort: postgres.port,
    user: benchUser,
    database: benchDatabase,
    poolSize: options.poolSize,
    clientsMax: Math.max(...options.clients) + 100,
    tlsServer: options.tlsServer,
    reads: options.reads,
  }
  switch (name) {
    case 'direct':
      return directPeer(postgres, options)
    case 'pgbouncer':
      return startPgbouncer(settings)
    case 'pontoon':
      return startPontoon(settings)
    case 'relay':
      return startRelay(settings)
    default:
      return unreachable(name)
  }
}

async function measureAll(
  postgres: PostgresServer,
  peers: readonly Peer[],
  options: BenchOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Measurement> {
  const runs: Run[] = []
  const skips: Skip[] = []
  const prepared = options.peers.includes('pgbouncer') && knowsPrepared(pgbouncerVersion())
  for (const combination of combinations(options)) {
    const able: Peer[] = []
    for (const peer of peers) {
      const reason = cannotRun(peer.name, combination, prepared)
      if (reason === undefined) able.push(peer)
      else {
        skips.push({ ...combination, peer: peer.name, reason })
        progress(`${describeCombination(combination)}: without ${peer.name}, ${reason}`)
      }
    }
    await warmUp(able, combination, options, signal)
    for (let round = 0; round < options.rounds; round += 1) {
      for (const peer of rotate(able, round)) {
        if (combination.workload === 'tpcb') await tidyBeforeTpcb(postgres)
        const run = await measureOne(peer, combination, round, options, signal)
        runs.push(run)
        progress(describeRun(run, options))
      }
    }
  }
  const versions = Object.fromEntries(peers.map((peer) => [peer.name, peer.version]))
  return { runs, skips, versions }
}

/** Fills pools and caches and lets the JIT compile; what it measures is thrown away. */
async function warmUp(
  peers: readonly Peer[],
  combination: Combination,
  options: BenchOptions,
  signal: AbortSignal,
): Promise<void> {
  if (options.warmupSeconds === 0) return
  // pgbench's clock runs while its clients connect, and hundreds of them take a while.
  const seconds = options.warmupSeconds + Math.floor(combination.clients / clientsPerWarmupSecond)
  for (const peer of peers) await measureOne(peer, combination, -1, { ...options, seconds }, signal)
}

async function measureOne(
  peer: Peer,
  combination: Combination,
  round: number,
  options: BenchOptions,
  signal: AbortSignal,
): Promise<Run> {
  const pid = peer.proxyPid
  const settings = { ...options, binary: pgbenchBinary() }
  try {
    const cpuBeforeUs = pid === undefined ? 0 : cpuTimeUs(pid)
    const result = await runPgbench(peer.target, combination, settings, signal)
    const queries = result.transactions * queriesPerTransaction[combination.workload]
    const cpuUsPerQuery = pid === undefined ? undefined : (cpuTimeUs(pid) - cpuBeforeUs) / queries
    return { ...combination, peer: peer.name, round, ...result, cpuUsPerQuery }
  } catch (error) {
    if (signal.aborted) throw error
    const what = `${describeCombination(combination)} through ${peer.name} failed`
    throw new Error(`${what}: ${String(error)}\nlog of ${peer.name}:\n${peer.log()}`, {
      cause: error,
    })
  }
}

function describeRun(run: Run, options: BenchOptions): string {
  const cpu =
    run.cpuUsPerQuery === undefined ? '' : `  ${run.cpuUsPerQuery.toFixed(1)} µs CPU/query`
  const round = `round ${run.round + 1}/${options.rounds}`
  const latency = `p50 ${run.p50Ms ?? '-'} ms  p99 ${run.p99Ms ?? '-'} ms`
  const name = run.peer.padEnd(9)
  return `${describeCombination(run)}  ${round}  ${name} ${Math.round(run.tps)} TPS  ${latency}${cpu}`
}
