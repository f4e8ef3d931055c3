/** Turns runs into medians, ratios and a table. Pure; bench-redis.ts prints and saves it. */
import { median, ratio } from '../../statistics.ts'
import { alignColumns, digits, groupBy } from '../table.ts'
import { describeCombination, redisPeerNames } from './options.ts'
import type { Combination, RedisPeerName } from './options.ts'
import type { RedisRun } from './run.ts'

export interface RedisSummaryRow extends Combination {
  readonly peer: RedisPeerName
  readonly perSecond: number | undefined
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly proxyCpuUs: number | undefined
  readonly redisCpuUs: number | undefined
  readonly loadCpuUs: number | undefined
  /** As many as the CPU time allows on two cores with nothing else to do. */
  readonly boundPerSecond: number | undefined
  /** Each the median of the rounds' own ratios. */
  readonly ofDirect: number | undefined
  readonly ofTwemproxy: number | undefined
  readonly boundOfTwemproxy: number | undefined
  readonly p99OfTwemproxy: number | undefined
  readonly ofPontoon: number | undefined
}

export function summarise(runs: readonly RedisRun[]): readonly RedisSummaryRow[] {
  return [...groupBy(runs, describeCombination).values()].flatMap((group) =>
    redisPeerNames.flatMap((peer) => {
      const own = group.filter((run) => run.peer === peer)
      const [first] = own
      if (first === undefined) return []
      const { command, pipeline, clients } = first
      return [{ command, pipeline, clients, peer, ...mediansOf(own), ...ratiosOf(own, group) }]
    }),
  )
}

function mediansOf(runs: readonly RedisRun[]) {
  const of = (pick: (run: RedisRun) => number | undefined): number | undefined =>
    median(runs.map(pick).filter((value) => value !== undefined))
  return {
    perSecond: of((run) => run.perSecond),
    p50Ms: of((run) => run.p50Ms),
    p99Ms: of((run) => run.p99Ms),
    proxyCpuUs: of((run) => run.cpuUsPerCommand.proxy),
    redisCpuUs: of((run) => run.cpuUsPerCommand.redis),
    loadCpuUs: of((run) => run.cpuUsPerCommand.load),
    boundPerSecond: of(boundPerSecond),
  }
}

const cores = 2

/**
 * Each of the three runs on one core at a time, and on a machine of this size they share two: so
 * either the one that needs most is the limit, or all of them together.
 */
export function boundPerSecond({ cpuUsPerCommand }: Pick<RedisRun, 'cpuUsPerCommand'>): number {
  const { proxy = 0, redis, load } = cpuUsPerCommand
  const us = Math.max(proxy, redis, load, (proxy + redis + load) / cores)
  return us > 0 ? 1_000_000 / us : Number.NaN
}

/** Compared within a round, where the machine was the same for both, and only then condensed. */
function ratiosOf(own: readonly RedisRun[], group: readonly RedisRun[]) {
  const of = (peer: RedisPeerName, pick: (run: RedisRun) => number): number | undefined => {
    if (own[0]?.peer === peer) return undefined
    const ratios = own.map((run) => {
      const other = group.find((one) => one.peer === peer && one.round === run.round)
      return ratio(pick(run), other === undefined ? undefined : pick(other))
    })
    return median(ratios.filter((value) => value !== undefined))
  }
  return {
    ofDirect: of('direct', (run) => run.perSecond),
    ofTwemproxy: of('twemproxy', (run) => run.perSecond),
    boundOfTwemproxy: of('twemproxy', boundPerSecond),
    p99OfTwemproxy: of('twemproxy', (run) => run.p99Ms),
    ofPontoon: of('pontoon', (run) => run.perSecond),
  }
}

const textColumns: ReadonlySet<number> = new Set([0, 3])

export function formatTable(rows: readonly RedisSummaryRow[]): string {
  const names = ['command', '-P', 'clients', 'peer', 'per second', 'p50 ms', 'p99 ms']
  const cpu = ['CPU µs proxy', 'Redis', 'load', 'at most']
  const ratios = ['of direct', 'of tw.', 'at most of tw.', 'p99 of tw.', 'of pontoon']
  const cells = rows.map((row) => [
    row.command,
    String(row.pipeline),
    String(row.clients),
    row.peer,
    digits(row.perSecond, 0),
    digits(row.p50Ms, 3),
    digits(row.p99Ms, 3),
    digits(row.proxyCpuUs, 2),
    digits(row.redisCpuUs, 2),
    digits(row.loadCpuUs, 2),
    digits(row.boundPerSecond, 0),
    digits(row.ofDirect, 2),
    digits(row.ofTwemproxy, 2),
    digits(row.boundOfTwemproxy, 2),
    digits(row.p99OfTwemproxy, 2),
    row.peer === 'pontoon-tls' ? digits(row.ofPontoon, 2) : '-',
  ])
  return alignColumns([[...names, ...cpu, ...ratios], ...cells], textColumns)
}
