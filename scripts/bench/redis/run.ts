/**
 * Measures: starts Redis and the proxies, then lets every peer have its turn in every round of
 * every combination, as ../run.ts does for PostgreSQL. All peers of a combination run within
 * seconds of each other, so that their ratios hold on a machine whose speed changes.
 */
import { unreachable } from '../../../src/shared/assert.ts'
import { createAuthority } from '../../../test/support/certificates.ts'
import type { Authority } from '../../../test/support/certificates.ts'
import { freePort } from '../../../test/support/free-port.ts'
import { startRedis } from '../../../test/support/redis.ts'
import type { RedisServer } from '../../../test/support/redis.ts'
import { ensureTools } from '../../lib/requirements.ts'
import { cpuTimeUs, endedChildrenTimeUs } from '../cpu-time.ts'
import { rotate } from '../matrix.ts'
import { combinations, describeCombination } from './options.ts'
import type { Combination, RedisBenchOptions, RedisPeerName } from './options.ts'
import type { RedisPeer, RedisProxySettings } from './peers.ts'
import { startPontoon } from './pontoon.ts'
import { runRedisBenchmark } from './redis-benchmark.ts'
import type { LoadResult } from './redis-benchmark.ts'
import { startTwemproxy } from './twemproxy.ts'

export interface RedisRun extends Combination, LoadResult {
  readonly peer: RedisPeerName
  readonly round: number
  readonly cpuUsPerCommand: CpuUsPerCommand
}

/** CPU time of each process. On a busy machine it is steadier than what they got done. */
export interface CpuUsPerCommand {
  /** Undefined without a proxy. */
  readonly proxy: number | undefined
  readonly redis: number
  /** redis-benchmark itself. */
  readonly load: number
}

export interface RedisMeasurement {
  readonly runs: readonly RedisRun[]
  readonly versions: Readonly<Record<string, string>>
}

/** For Redis beside the clients of a run: connections of the proxies, and ours. */
const spareConnections = 200
/** What has served so many has been compiled; who measures the first ones measures compilers. */
const firstRequests = 300_000
/** Enough to know a peer's speed from; nothing is measured yet. */
const warmupRequests = 20_000
const requestsMax = 10_000_000

export async function measure(
  options: RedisBenchOptions,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<RedisMeasurement> {
  const twemproxy = options.peers.includes('twemproxy') ? (['nutcracker'] as const) : []
  await ensureTools(['redis-server', 'redis-benchmark', ...twemproxy])
  const authority = await createAuthority()
  const peers: RedisPeer[] = []
  let redis: RedisServer | undefined
  try {
    const tlsPort = await freePort()
    redis = await startBenchRedis(options, authority, tlsPort)
    const settings: RedisProxySettings = {
      redisPort: redis.port,
      redisTlsPort: tlsPort,
      caFile: authority.ca.certPath,
      poolSize: options.poolSize,
      clientsMax: Math.max(...options.clients) + spareConnections,
    }
    for (const name of options.peers) {
      signal.throwIfAborted()
      peers.push(await startPeer(name, redis, settings))
    }
    return await measureAll({ peers, redis, options, signal }, progress)
  } finally {
    for (const peer of peers.toReversed()) await peer.stop()
    await redis?.stop()
    authority.remove()
  }
}

async function startBenchRedis(
  options: RedisBenchOptions,
  authority: Authority,
  tlsPort: number,
): Promise<RedisServer> {
  const connections = Math.max(...options.clients) + spareConnections
  return startRedis({
    also: { tls: { certificate: await authority.server(), ca: authority.ca }, port: tlsPort },
    config: [`maxclients ${connections}`],
  })
}

async function startPeer(
  name: RedisPeerName,
  redis: RedisServer,
  settings: RedisProxySettings,
): Promise<RedisPeer> {
  switch (name) {
    case 'direct':
      return {
        name,
        version: await redis.version(),
        port: redis.port,
        proxyPid: undefined,
        log: () => redis.log(),
        // Redis is stopped by whoever started it, after the proxies in front of it.
        stop: () => Promise.resolve(),
      }
    case 'twemproxy':
      return startTwemproxy(settings)
    case 'pontoon':
    case 'pontoon-tls':
      return startPontoon(settings, name)
    default:
      return unreachable(name)
  }
}

interface Bench {
  readonly peers: readonly RedisPeer[]
  readonly redis: RedisServer
  readonly options: RedisBenchOptions
  readonly signal: AbortSignal
}

async function measureAll(
  bench: Bench,
  progress: (line: string) => void,
): Promise<RedisMeasurement> {
  const { peers, options } = bench
  const first = { command: 'set', pipeline: 16, clients: 50 } as const
  for (const peer of peers) await measureOne(bench, peer, first, -1, firstRequests)
  const runs: RedisRun[] = []
  for (const combination of combinations(options)) {
    const requests = new Map<RedisPeerName, number>()
    for (const peer of peers) {
      const warm = await measureOne(bench, peer, combination, -1, warmupRequests)
      const wanted = Math.round(warm.perSecond * options.seconds)
      requests.set(peer.name, Math.min(requestsMax, Math.max(warmupRequests, wanted)))
    }
    for (let round = 0; round < options.rounds; round += 1) {
      for (const peer of rotate(peers, round)) {
        const count = requests.get(peer.name) ?? warmupRequests
        const run = await measureOne(bench, peer, combination, round, count)
        runs.push(run)
        progress(describeRun(run, options.rounds))
      }
    }
  }
  return { runs, versions: Object.fromEntries(peers.map(({ name, version }) => [name, version])) }
}

async function measureOne(
  { redis, options, signal }: Bench,
  peer: RedisPeer,
  combination: Combination,
  round: number,
  requests: number,
): Promise<RedisRun> {
  const { keys, valueBytes } = options
  const settings = { port: peer.port, requests, keys, valueBytes }
  const spentUs = (): CpuUsPerCommand => ({
    proxy: peer.proxyPid === undefined ? undefined : cpuTimeUs(peer.proxyPid),
    redis: redis.pid === undefined ? 0 : cpuTimeUs(redis.pid),
    load: endedChildrenTimeUs(),
  })
  try {
    const before = spentUs()
    const result = await runRedisBenchmark(combination, settings, signal)
    const after = spentUs()
    const cpuUsPerCommand = {
      proxy: after.proxy === undefined ? undefined : (after.proxy - (before.proxy ?? 0)) / requests,
      redis: (after.redis - before.redis) / requests,
      load: (after.load - before.load) / requests,
    }
    return { ...combination, peer: peer.name, round, ...result, cpuUsPerCommand }
  } catch (error) {
    if (signal.aborted) throw error
    const what = `${describeCombination(combination)} through ${peer.name} failed`
    throw new Error(`${what}: ${String(error)}\nlog of ${peer.name}:\n${peer.log()}`, {
      cause: error,
    })
  }
}

function describeRun(run: RedisRun, rounds: number): string {
  const { proxy, redis, load } = run.cpuUsPerCommand
  const inFront = proxy === undefined ? '' : `proxy ${proxy.toFixed(2)}, `
  const cpu = `  CPU µs/command: ${inFront}Redis ${redis.toFixed(2)}, load ${load.toFixed(2)}`
  const latency = `p50 ${run.p50Ms} ms  p99 ${run.p99Ms} ms`
  const rate = `${run.peer.padEnd(11)} ${Math.round(run.perSecond)}/s`
  return `${describeCombination(run)}  round ${run.round + 1}/${rounds}  ${rate}  ${latency}${cpu}`
}
