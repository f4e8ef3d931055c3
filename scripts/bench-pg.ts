/**
 * `npm run bench:pg -- [options]`: pgbench against PostgreSQL, PgBouncer and Pontoon in turn.
 * What is measured and why is in docs/benchmarks.md; the parts are in scripts/bench/.
 */
import { writeFileSync } from 'node:fs'
import { commit, machineFacts } from './bench/machine.ts'
import { parseOptions, usage } from './bench/options.ts'
import { formatTable, summarise } from './bench/report.ts'
import { measure } from './bench/run.ts'
import { runScript } from './command-line.ts'

await runScript(usage, async (argv, signal) => {
  const options = parseOptions(argv)
  if (options === undefined) {
    console.log(usage)
    return
  }
  const before = machineFacts()
  const startedAt = new Date().toISOString()
  console.log(`${before.cores} × ${before.cpu}, Linux ${before.kernel}, Node ${before.node}`)
  console.log(`commit ${commit()}, load average ${before.loadAverage.toFixed(2)}`)
  if (before.loadAverage > before.cores / 2) {
    console.log('note: this machine is busy; the ratios suffer less from that than the figures')
  }
  const measurement = await measure(options, (line) => console.log(line), signal)
  const summary = summarise(measurement.runs)
  const versions = Object.entries(measurement.versions).map((entry) => entry.join(' '))
  console.log(
    `\nmedians of ${options.rounds} rounds of ${options.seconds} s; ${versions.join(', ')}`,
  )
  console.log(`load average ${machineFacts().loadAverage.toFixed(2)} at the end\n`)
  console.log(formatTable(summary))
  if (options.jsonFile === undefined) return
  const record = {
    startedAt,
    endedAt: new Date().toISOString(),
    command: ['npm', 'run', 'bench:pg', '--', ...argv].join(' '),
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
