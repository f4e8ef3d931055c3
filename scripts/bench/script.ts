/**
 * What both benchmarks do around their measurement: say what machine this is, print the table, and
 * write everything to a file when asked. Used by bench-pg.ts and bench-redis.ts.
 */
import { writeFileSync } from 'node:fs'
import { runScript } from '../command-line.ts'
import { commit, machineFacts } from './machine.ts'

interface CommonOptions {
  readonly rounds: number
  readonly seconds: number
  readonly jsonFile: string | undefined
}

interface CommonMeasurement {
  readonly versions: Readonly<Record<string, string>>
}

export interface Benchmark<Options extends CommonOptions, Result extends CommonMeasurement> {
  /** As in package.json. */
  readonly script: string
  readonly usage: string
  /** Undefined when help was asked for. */
  parse(argv: readonly string[]): Options | undefined
  measure(options: Options, progress: (line: string) => void, signal: AbortSignal): Promise<Result>
  /** What is printed, and what is written beside the runs. */
  report(result: Result): { readonly table: string; readonly summary: unknown }
}

export function runBenchmark<Options extends CommonOptions, Result extends CommonMeasurement>(
  benchmark: Benchmark<Options, Result>,
): Promise<void> {
  return runScript(benchmark.usage, async (argv, signal) => {
    const options = benchmark.parse(argv)
    if (options === undefined) {
      console.log(benchmark.usage)
      return
    }
    const before = machineFacts()
    const startedAt = new Date().toISOString()
    console.log(`${before.cores} × ${before.cpu}, Linux ${before.kernel}, Node ${before.node}`)
    console.log(`commit ${commit()}, load average ${before.loadAverage.toFixed(2)}`)
    if (before.loadAverage > before.cores / 2) {
      console.log('note: this machine is busy; the ratios suffer less from that than the figures')
    }
    const measurement = await benchmark.measure(options, (line) => console.log(line), signal)
    const { table, summary } = benchmark.report(measurement)
    const versions = Object.entries(measurement.versions).map((entry) => entry.join(' '))
    console.log(
      `\nmedians of ${options.rounds} rounds of ${options.seconds} s; ${versions.join(', ')}`,
    )
    console.log(`load average ${machineFacts().loadAverage.toFixed(2)} at the end\n`)
    console.log(table)
    if (options.jsonFile === undefined) return
    const record = {
      startedAt,
      endedAt: new Date().toISOString(),
      command: ['npm', 'run', benchmark.script, '--', ...argv].join(' '),
      commit: commit(),
      machine: before,
      loadAverageAtEnd: machineFacts().loadAverage,
      options,
      ...measurement,
      summary,
    }
    writeFileSync(options.jsonFile, `${JSON.stringify(record, undefined, 2)}\n`)
    console.log(`\nwritten to ${options.jsonFile}`)
  })
}
