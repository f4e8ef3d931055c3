/**
 * One pgbench run: starts it, waits, and reads its figures from what it prints and from its
 * per-transaction log files. A run that fails, or in which a transaction failed, is an error that
 * carries pgbench's own words: a figure from a broken run is worth nothing.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queriesPerTransaction } from './matrix.ts'
import type { Combination } from './matrix.ts'
import { execute } from '../processes.ts'
import { percentile } from '../statistics.ts'

export interface PgbenchTarget {
  readonly port: number
  readonly user: string
  readonly database: string
  readonly sslmode: 'disable' | 'require'
}

export interface PgbenchSettings {
  readonly binary: string
  readonly seconds: number
  readonly samplingRate: number
  readonly connect: boolean
  /** Servers of the poolers. */
  readonly poolSize: number
}

export interface PgbenchResult {
  readonly transactions: number
  readonly tps: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  /** How many logged transactions the percentiles stand on. */
  readonly samples: number
}

/** pgbench needs more than one thread only when one cannot keep the clients busy. */
const threadsMax = 2
/** A proxy that hangs must end the run, not the day. */
const overtimeMs = 30_000

export async function runPgbench(
  target: PgbenchTarget,
  combination: Combination,
  settings: PgbenchSettings,
  signal: AbortSignal,
): Promise<PgbenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'pontoon-pgbench-'))
  try {
    const timeoutMs = settings.seconds * 1_000 + overtimeMs
    const output = await execute(
      settings.binary,
      pgbenchArguments(target, combination, settings, join(folder, 'log')),
      { PGSSLMODE: target.sslmode, PGCONNECT_TIMEOUT: '20' },
      AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    )
    const latenciesUs = await readLatencies(folder)
    return { ...parseSummary(output), ...summarise(latenciesUs) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Before a client's first prepared transaction pgbench's thread waits for PQprepare. With more
 * clients than servers it can then wait for a server that another client of the same thread holds
 * in a transaction, which nobody continues: pgbench blocks itself, behind any transaction pooler.
 */
function needsThreadPerClient(combination: Combination, poolSize: number): boolean {
  const { workload, protocol, clients } = combination
  return queriesPerTransaction[workload] > 1 && protocol === 'prepared' && clients > poolSize
}

function pgbenchArguments(
  target: PgbenchTarget,
  combination: Combination,
  settings: PgbenchSettings,
  logPrefix: string,
): readonly string[] {
  const { workload, protocol, clients } = combination
  const threads = needsThreadPerClient(combination, settings.poolSize)
    ? clients
    : Math.min(threadsMax, clients)
  const args = ['-h', '127.0.0.1', '-p', `${target.port}`, '-U', target.user]
  args.push(
    '-n',
    '-M',
    protocol,
    '-c',
    `${clients}`,
    '-j',
    `${threads}`,
    '-T',
    `${settings.seconds}`,
  )
  args.push('-l', `--log-prefix=${logPrefix}`, `--sampling-rate=${settings.samplingRate}`)
  if (workload === 'select') args.push('-S')
  if (settings.connect) args.push('-C')
  return [...args, target.database]
}

/** Reads transactions and TPS from pgbench's closing lines; throws when some failed. */
export function parseSummary(output: string): Pick<PgbenchResult, 'transactions' | 'tps'> {
  const transactions = /^number of transactions actually processed: (\d+)/m.exec(output)?.[1]
  const failed = /^number of failed transactions: (\d+)/m.exec(output)?.[1] ?? '0'
  const tps = /^tps = ([\d.]+)/m.exec(output)?.[1]
  if (transactions === undefined || tps === undefined || Number(transactions) === 0) {
    const hint = 'when there was no time beside connecting, use more --seconds'
    throw new Error(`pgbench printed no result (${hint}):\n${output}`)
  }
  if (failed !== '0') throw new Error(`pgbench counted ${failed} failed transactions:\n${output}`)
  return { transactions: Number(transactions), tps: Number(tps) }
}

async function readLatencies(folder: string): Promise<Float64Array> {
  const texts = await Promise.all(
    (await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')),
  )
  return parseLatencies(texts)
}

/** Third column of each line: the transaction's time in microseconds. Returned in order of size. */
export function parseLatencies(logs: readonly string[]): Float64Array {
  const latencies: number[] = []
  for (const log of logs) {
    for (const line of log.split('\n')) {
      const time = line.split(' ', 3)[2]
      if (time !== undefined) latencies.push(Number(time))
    }
  }
  return Float64Array.from(latencies).toSorted()
}

function summarise(latenciesUs: Float64Array): Pick<PgbenchResult, 'p50Ms' | 'p99Ms' | 'samples'> {
  return {
    p50Ms: milliseconds(percentile(latenciesUs, 0.5)),
    p99Ms: milliseconds(percentile(latenciesUs, 0.99)),
    samples: latenciesUs.length,
  }
}

function milliseconds(us: number | undefined): number | undefined {
  return us === undefined ? undefined : us / 1_000
}
