/**
 * One run of redis-benchmark, and its figures from the CSV that it prints. A run that prints no
 * figures, or whose requests got errors, is an error that carries its own words.
 */
import { execute } from '../../processes.ts'
import type { Combination } from './options.ts'

export interface LoadSettings {
  readonly port: number
  readonly requests: number
  readonly keys: number
  readonly valueBytes: number
}

export interface LoadResult {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** A proxy that hangs must end the run, not the day. */
const timeoutMs = 120_000

export async function runRedisBenchmark(
  combination: Combination,
  settings: LoadSettings,
  signal: AbortSignal,
): Promise<LoadResult> {
  const output = await execute(
    'redis-benchmark',
    loadArguments(combination, settings),
    {},
    AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  )
  return { requests: settings.requests, ...parseFigures(output) }
}

export function loadArguments(
  { command, pipeline, clients }: Combination,
  { port, requests, keys, valueBytes }: LoadSettings,
): string[] {
  const load = ['-t', command, '-c', clients, '-P', pipeline, '-n', requests]
  const data = ['-r', keys, '-d', valueBytes]
  return ['-h', '127.0.0.1', '-p', port, ...load, ...data, '--csv', '--precision', 3].map(String)
}

/** "test","rps","avg_latency_ms","min_…","p50_…","p95_…","p99_…","max_…", then one line of values. */
export function parseFigures(output: string): Omit<LoadResult, 'requests'> {
  const lines = output.split('\n').filter((line) => line.startsWith('"'))
  const [head, values] = lines.map((line) => line.replaceAll('"', '').split(','))
  const figure = (name: string): number => {
    const value = Number(values?.[head?.indexOf(name) ?? -1])
    if (!Number.isFinite(value)) throw new Error(`redis-benchmark printed no ${name}:\n${output}`)
    return value
  }
  if (/^Error from server|^Server closed/m.test(output)) throw new Error(output)
  return {
    perSecond: figure('rps'),
    p50Ms: figure('p50_latency_ms'),
    p99Ms: figure('p99_latency_ms'),
  }
}
